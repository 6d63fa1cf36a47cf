//! ioctls that reach past the box.
//!
//! The request is an unsigned int in the kernel, so bits above 31 are ignored by it and must be by us
//! (CVE-2019-10063 and CVE-2019-7303 are that mistake). Devices are Landlock's matter (IOCTL_DEV); these few work on
//! terminals and descriptors that a guest is given.

use tipstaff_abi::errno::EPERM;
use tipstaff_seccomp::{Condition, Op};

use super::Rules;

/// Types into the terminal of whoever started us (CVE-2017-5226).
const TIOCSTI: u32 = 0x5412;
/// Pastes into the console, to the same end (CVE-2023-1523).
const TIOCLINUX: u32 = 0x541c;
/// Takes the console's output.
const TIOCCONS: u32 = 0x541d;
/// Loads line disciplines, a long record of kernel bugs.
const TIOCSETD: u32 = 0x5423;
/// Are `F_SETOWN` under other names: see `task`.
const FIOSETOWN: u32 = 0x8901;
const SIOCSPGRP: u32 = 0x8902;
/// Makes a userfaultfd without the call of that name.
const USERFAULTFD_IOC_NEW: u32 = 0xaa00;

pub(super) fn rules(rules: &mut Rules) {
    for request in [TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD, FIOSETOWN, SIOCSPGRP, USERFAULTFD_IOC_NEW] {
        rules.deny("ioctl", "ioctl", &[Condition::w32(1, Op::Eq, request)], EPERM);
    }
}
