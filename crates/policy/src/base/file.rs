//! No set-id files and no device nodes.
//!
//! A name can be exchanged for a device too: RENAME_WHITEOUT leaves character device 0/0, for which mknod(2) asks no privilege since Linux 5.8, and
//! which layered file systems and image builders take for "nothing below".
//!
//! Inside, no_new_privs makes set-id bits mean nothing; but a file made by a box that runs as root stays when the box is
//! gone, and then gives whoever finds it root.

use tipstaff_abi::errno::EPERM;
use tipstaff_seccomp::{Condition, Op};

use super::Rules;

/// S_ISUID, S_ISGID: each alone is enough.
const SET_ID: [u32; 2] = [0o4000, 0o2000];

const S_IFMT: u64 = 0o170_000;
/// S_IFCHR, S_IFBLK.
const DEVICES: [u32; 2] = [0o020_000, 0o060_000];

/// O_CREAT and the bit of O_TMPFILE that is its own, the same on x86 and ARM. Without either, the mode's register
/// holds whatever was left there.
const CREATING: [u32; 2] = [0o100, 0o20_000_000];

const RENAME_WHITEOUT: u32 = 4;

/// (call, argument that holds the mode).
const CHMOD: [(&str, u8); 4] = [("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2)];
const MKNOD: [(&str, u8); 2] = [("mknod", 1), ("mknodat", 2)];
/// (call, argument of the flags); the mode follows it.
const OPEN: [(&str, u8); 2] = [("open", 1), ("openat", 2)];

pub(super) fn rules(rules: &mut Rules) {
    for bit in SET_ID {
        for (call, mode) in CHMOD {
            rules.deny("mode", call, &[Condition::bits(mode, bit)], EPERM);
        }
        rules.deny("open", "creat", &[Condition::bits(1, bit)], EPERM);
        for (call, flags) in OPEN {
            for creating in CREATING {
                let both = [Condition::bits(flags, creating), Condition::bits(flags + 1, bit)];
                rules.deny("open", call, &both, EPERM);
            }
        }
        for (call, mode) in MKNOD {
            rules.deny("mknod", call, &[Condition::bits(mode, bit)], EPERM);
        }
    }
    rules.deny("rename", "renameat2", &[Condition::bits(4, RENAME_WHITEOUT)], EPERM);
    for (call, mode) in MKNOD {
        for device in DEVICES {
            rules.deny("mknod", call, &[Condition::w32(mode, Op::MaskedEq(S_IFMT), device)], EPERM);
        }
    }
}
