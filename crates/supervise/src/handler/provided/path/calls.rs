//! Which calls take paths, where, and what for.

use super::Need;
use crate::handler::{AT_FDCWD, Found, Last, Trap};

const O_ACCMODE: u64 = 0o3;
const O_CREAT: u64 = 0o100;
const O_EXCL: u64 = 0o200;
const O_TRUNC: u64 = 0o1000;
const O_NOFOLLOW: u64 = 0o400_000;
const O_PATH: u64 = 0o10_000_000;
const TMPFILE: u64 = 0o20_000_000;
const RESOLVE_IN_ROOT: u64 = 0x10;
const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const AT_SYMLINK_FOLLOW: u64 = 0x400;
const AT_EMPTY_PATH: u64 = 0x1000;

/// A path of a call.
#[derive(Debug)]
pub(super) struct Row {
    pub call: &'static str,
    /// The argument with the directory; None: the working directory.
    dirfd: Option<u8>,
    path: u8,
    what: What,
    last: At,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Always(Need),
    /// open(2): flags in this argument.
    Open(u8),
    /// openat2(2): struct open_how behind this argument.
    How(u8),
}

/// What becomes of a link at the end.
#[derive(Clone, Copy, Debug)]
enum At {
    Follow,
    Keep,
    /// Followed unless this argument has this flag.
    Unless(u8, u64),
    /// Followed if this argument has this flag.
    If(u8, u64),
}

const STAT: What = What::Always(Need::Stat);
const READ: What = What::Always(Need::Read);
const WRITE: What = What::Always(Need::Write);
const EXEC: What = What::Always(Need::Exec);
use At::{Follow, If, Keep, Unless};

const fn row(call: &'static str, path: u8, what: What, last: At) -> Row {
    Row { call, dirfd: None, path, what, last }
}

const fn at(call: &'static str, dirfd: u8, what: What, last: At) -> Row {
    Row { call, dirfd: Some(dirfd), path: dirfd + 1, what, last }
}

const fn no_follow(flags: u8) -> At {
    Unless(flags, AT_SYMLINK_NOFOLLOW)
}

/// Section 2 of the manual, call by call. A call with two paths has two rows.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("open", 0, What::Open(1), Unless(1, O_NOFOLLOW)), at("openat", 0, What::Open(2), Unless(2, O_NOFOLLOW)),
    at("openat2", 0, What::How(2), Follow), row("creat", 0, WRITE, Follow),
    at("open_tree", 0, STAT, no_follow(2)), at("open_tree_attr", 0, STAT, no_follow(2)),
    row("execve", 0, EXEC, Follow), at("execveat", 0, EXEC, no_follow(4)), row("uselib", 0, EXEC, Follow),

    row("stat", 0, STAT, Follow), row("lstat", 0, STAT, Keep), at("newfstatat", 0, STAT, no_follow(3)),
    at("statx", 0, STAT, no_follow(2)), row("access", 0, STAT, Follow), at("faccessat", 0, STAT, Follow),
    at("faccessat2", 0, STAT, no_follow(3)), row("readlink", 0, STAT, Keep), at("readlinkat", 0, STAT, Keep),
    row("statfs", 0, STAT, Follow), row("chdir", 0, STAT, Follow), row("chroot", 0, STAT, Follow),
    row("inotify_add_watch", 1, STAT, Unless(2, 0x0200_0000)), at("fanotify_mark", 3, STAT, Unless(1, 4)),
    at("name_to_handle_at", 0, STAT, If(4, AT_SYMLINK_FOLLOW)), at("fspick", 0, STAT, Unless(2, 2)),
    at("file_getattr", 0, STAT, no_follow(4)), row("quotactl", 1, STAT, Follow),
    row("getxattr", 0, STAT, Follow), row("lgetxattr", 0, STAT, Keep), at("getxattrat", 0, STAT, no_follow(2)),
    row("listxattr", 0, STAT, Follow), row("llistxattr", 0, STAT, Keep), at("listxattrat", 0, STAT, no_follow(2)),

    row("truncate", 0, WRITE, Follow), row("mkdir", 0, WRITE, Keep), at("mkdirat", 0, WRITE, Keep),
    row("mknod", 0, WRITE, Keep), at("mknodat", 0, WRITE, Keep), row("rmdir", 0, WRITE, Keep),
    row("unlink", 0, WRITE, Keep), at("unlinkat", 0, WRITE, Keep),
    // What a symbolic link says is only text; it is looked up when somebody follows it.
    row("symlink", 1, WRITE, Keep), at("symlinkat", 1, WRITE, Keep),
    // A second name of a file can be written where the first could not.
    row("link", 0, WRITE, Keep), row("link", 1, WRITE, Keep),
    at("linkat", 0, WRITE, If(4, AT_SYMLINK_FOLLOW)), at("linkat", 2, WRITE, Keep),
    row("rename", 0, WRITE, Keep), row("rename", 1, WRITE, Keep),
    at("renameat", 0, WRITE, Keep), at("renameat", 2, WRITE, Keep),
    at("renameat2", 0, WRITE, Keep), at("renameat2", 2, WRITE, Keep),
    row("chmod", 0, WRITE, Follow), at("fchmodat", 0, WRITE, Follow), at("fchmodat2", 0, WRITE, no_follow(3)),
    row("chown", 0, WRITE, Follow), row("lchown", 0, WRITE, Keep), at("fchownat", 0, WRITE, no_follow(4)),
    row("utime", 0, WRITE, Follow), row("utimes", 0, WRITE, Follow), at("futimesat", 0, WRITE, Follow),
    at("utimensat", 0, WRITE, no_follow(3)), at("file_setattr", 0, WRITE, no_follow(4)),
    row("setxattr", 0, WRITE, Follow), row("lsetxattr", 0, WRITE, Keep), at("setxattrat", 0, WRITE, no_follow(2)),
    row("removexattr", 0, WRITE, Follow), row("lremovexattr", 0, WRITE, Keep),
    at("removexattrat", 0, WRITE, no_follow(2)),
    row("mount", 1, WRITE, Follow), row("umount2", 0, WRITE, Unless(1, 8)), row("pivot_root", 0, WRITE, Follow),
    row("pivot_root", 1, WRITE, Follow), at("move_mount", 0, WRITE, If(4, 1)), at("move_mount", 2, WRITE, If(4, 0x10)),
    at("mount_setattr", 0, WRITE, no_follow(2)), row("acct", 0, WRITE, Follow),
    row("swapon", 0, READ, Follow), row("swapoff", 0, READ, Follow),
];

/// What a call would do to which path.
pub(super) struct Wish {
    pub need: Need,
    pub found: Found,
}

impl Row {
    /// None: the call names no path here (a descriptor alone, or NULL where that is allowed). Err: the errno of the lookup.
    pub fn wish(&self, trap: &Trap<'_>) -> Result<Option<Wish>, u16> {
        let args = trap.args();
        let arg = |index: u8| args.get(usize::from(index)).copied().unwrap_or(0);
        if arg(self.path) == 0 && matches!(self.call, "utimensat" | "futimesat" | "acct" | "quotactl" | "fanotify_mark")
        {
            return Ok(None);
        }
        let path = match trap.path(self.path.into()) {
            Ok(path) => path,
            // Since 6.11 NULL stands for an empty path in some calls.
            Err(_) if arg(self.path) == 0 && self.empty_means_dirfd(trap) => "".into(),
            Err(errno) => return Err(errno),
        };
        let dirfd = self.dirfd.map_or(AT_FDCWD, |index| arg(index) as i32);
        if path.as_os_str().is_empty() {
            if !self.empty_means_dirfd(trap) {
                return Err(tipstaff_abi::errno::ENOENT);
            }
            // A file that is open already. To execute it, or to give it a name, is something new.
            let need = match self.what {
                What::Always(need @ Need::Exec) => need,
                What::Always(need) if self.call == "linkat" => need,
                _ => return Ok(None),
            };
            return trap.find_fd(dirfd).map(|found| Some(Wish { need, found }));
        }
        let mut last = match self.last {
            Follow => Last::Follow,
            Keep => Last::Keep,
            Unless(index, flag) if arg(index) & flag == 0 => Last::Follow,
            If(index, flag) if arg(index) & flag != 0 => Last::Follow,
            Unless(..) | If(..) => Last::Keep,
        };
        let (flags, resolve) = match self.what {
            What::Always(need) => {
                return trap.look(dirfd, &path, last, false).map(|found| Some(Wish { need, found }));
            }
            What::Open(index) => (arg(index) & 0xffff_ffff, 0),
            What::How(index) => {
                let mut how = [0u8; 24];
                let size = arg(index + 1).min(24) as usize;
                if trap.read(arg(index), &mut how[..size]) < size {
                    return Err(tipstaff_abi::errno::EFAULT);
                }
                let word = |at: usize| how[at..at + 8].iter().rev().fold(0, |word, b| word << 8 | u64::from(*b));
                (word(0), word(16))
            }
        };
        if flags & O_NOFOLLOW != 0 || flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL {
            last = Last::Keep;
        }
        let found = trap.look(dirfd, &path, last, resolve & RESOLVE_IN_ROOT != 0)?;
        Ok(Some(Wish { need: opening(flags), found }))
    }

    fn empty_means_dirfd(&self, trap: &Trap<'_>) -> bool {
        let args = trap.args();
        let flags = match self.call {
            "newfstatat" | "faccessat2" | "fchmodat2" | "utimensat" => args[3],
            "statx" | "open_tree" | "open_tree_attr" | "mount_setattr" => args[2],
            "getxattrat" | "setxattrat" | "listxattrat" | "removexattrat" => args[2],
            "execveat" | "linkat" | "fchownat" | "name_to_handle_at" | "file_getattr" | "file_setattr" => args[4],
            // No flag is needed: symlink(7).
            "readlinkat" => AT_EMPTY_PATH,
            // FSPICK_EMPTY_PATH; MOVE_MOUNT_F_EMPTY_PATH and MOVE_MOUNT_T_EMPTY_PATH.
            "fspick" if args[2] & 8 != 0 => AT_EMPTY_PATH,
            "move_mount" if args[4] & if self.path == 1 { 4 } else { 0x40 } != 0 => AT_EMPTY_PATH,
            _ => 0,
        };
        flags & AT_EMPTY_PATH != 0
    }
}

/// What opening with these flags needs.
fn opening(flags: u64) -> Need {
    if flags & O_PATH != 0 {
        return Need::Stat;
    }
    let changes = flags & (O_CREAT | O_TRUNC | TMPFILE) != 0;
    if flags & O_ACCMODE == 0 && !changes { Need::Read } else { Need::Write }
}

#[cfg(test)]
mod tests {
    use tipstaff_abi::{Arch, Sysno, family};

    use super::*;

    #[test]
    fn every_call_exists_and_every_argument_is_one() {
        for row in ROWS {
            assert!(Sysno::by_name(Arch::X86_64, row.call).is_some(), "{}", row.call);
            assert!(row.path < 6 && row.dirfd.is_none_or(|dirfd| dirfd + 1 == row.path), "{}", row.call);
        }
    }

    #[test]
    fn no_variant_of_a_family_is_forgotten() {
        // By handle and by descriptor there is no path; i386's own calls are killed with the rest of their architecture.
        let pathless =
            |name: &str| name.starts_with('f') && !name.ends_with("at") && !name.contains("_") || name == "fchmod";
        let handles = ["open_by_handle_at", "fsopen", "fsconfig", "fsmount", "umount"];
        for of in
            ["open", "exec", "mode", "owner", "mknod", "times", "xattr", "xattr_read", "file_attr", "mount", "tree"]
        {
            for call in family::by_name(of).expect("a family").calls {
                let known = ROWS.iter().any(|row| row.call == *call);
                let native = Sysno::by_name(Arch::X86_64, call).is_some();
                assert!(known || !native || pathless(call) || handles.contains(call), "{of}: {call}");
            }
        }
    }

    #[test]
    fn open_flags_say_what_is_needed() {
        assert_eq!(opening(0), Need::Read);
        assert_eq!(opening(1), Need::Write);
        assert_eq!(opening(2), Need::Write);
        assert_eq!(opening(3), Need::Write, "both permissions are checked: open(2)");
        assert_eq!(opening(O_TRUNC), Need::Write);
        assert_eq!(opening(O_CREAT), Need::Write);
        assert_eq!(opening(O_PATH | O_CREAT), Need::Stat, "O_PATH ignores it");
        assert_eq!(opening(0o200_000), Need::Read, "O_DIRECTORY");
    }
}
