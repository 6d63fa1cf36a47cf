//! What happens to a call.

use std::fmt;

use tipstaff_abi::{bpf, errno};

/// What happens to a call.
///
/// Where several filters are installed, the kernel takes the action that stands *last* here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The call happens.
    Allow,
    /// The call happens, and the kernel's audit log gets a line.
    Log,
    /// A tracer is asked, with these 16 bits; without a tracer the call fails with ENOSYS.
    Trace(u16),
    /// The listener is asked; without a listener the call fails with ENOSYS.
    Notify,
    /// The call fails with this errno (0 to 4,095; 0 makes it seem to succeed).
    Errno(u16),
    /// The thread gets SIGSYS with these bits in `si_errno`.
    Trap(u16),
    /// The thread dies, which leaves its process in a strange state: prefer [`Action::KillProcess`].
    KillThread,
    /// The process dies by SIGSYS.
    KillProcess,
}

impl Action {
    /// The largest errno: the kernel caps larger data at this value without a word.
    pub const MAX_ERRNO: u16 = 4095;

    /// What a filter returns to the kernel for this action.
    #[must_use]
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Allow => bpf::SECCOMP_RET_ALLOW,
            Self::Log => bpf::SECCOMP_RET_LOG,
            Self::Trace(data) => bpf::SECCOMP_RET_TRACE | data as u32,
            Self::Notify => bpf::SECCOMP_RET_USER_NOTIF,
            Self::Errno(errno) => bpf::SECCOMP_RET_ERRNO | errno as u32,
            Self::Trap(data) => bpf::SECCOMP_RET_TRAP | data as u32,
            Self::KillThread => bpf::SECCOMP_RET_KILL_THREAD,
            Self::KillProcess => bpf::SECCOMP_RET_KILL_PROCESS,
        }
    }

    /// What the kernel does on a filter's result. It kills the process on a result that it does not know.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        let data = (raw & bpf::SECCOMP_RET_DATA) as u16;
        match raw & bpf::SECCOMP_RET_ACTION_FULL {
            bpf::SECCOMP_RET_ALLOW => Self::Allow,
            bpf::SECCOMP_RET_LOG => Self::Log,
            bpf::SECCOMP_RET_TRACE => Self::Trace(data),
            bpf::SECCOMP_RET_USER_NOTIF => Self::Notify,
            bpf::SECCOMP_RET_ERRNO if data > Self::MAX_ERRNO => Self::Errno(Self::MAX_ERRNO),
            bpf::SECCOMP_RET_ERRNO => Self::Errno(data),
            bpf::SECCOMP_RET_TRAP => Self::Trap(data),
            bpf::SECCOMP_RET_KILL_THREAD => Self::KillThread,
            _ => Self::KillProcess,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Allow => f.write_str("allow"),
            Self::Log => f.write_str("log"),
            Self::Trace(data) => write!(f, "trace {data}"),
            Self::Notify => f.write_str("notify"),
            Self::Errno(number) => match errno::name(i32::from(number)) {
                Some(name) => write!(f, "errno {name}"),
                None => write!(f, "errno {number}"),
            },
            Self::Trap(data) => write!(f, "trap {data}"),
            Self::KillThread => f.write_str("kill thread"),
            Self::KillProcess => f.write_str("kill process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_values_go_both_ways() {
        let all = [
            Action::Allow,
            Action::Log,
            Action::Trace(0xffff),
            Action::Notify,
            Action::Errno(4095),
            Action::Trap(7),
            Action::KillThread,
            Action::KillProcess,
        ];
        for action in all {
            assert_eq!(Action::from_raw(action.to_raw()), action);
        }
        assert_eq!(Action::from_raw(0x1234_0000), Action::KillProcess);
        assert_eq!(Action::from_raw(0x0005_ffff), Action::Errno(4095));
    }

    #[test]
    fn order_is_the_kernels_precedence() {
        // The kernel compares the action half as a signed number and keeps the smallest.
        let rank = |action: Action| (action.to_raw() & bpf::SECCOMP_RET_ACTION_FULL).cast_signed();
        let all = [
            Action::Allow,
            Action::Log,
            Action::Trace(0),
            Action::Notify,
            Action::Errno(0),
            Action::Trap(0),
            Action::KillThread,
            Action::KillProcess,
        ];
        assert!(all.is_sorted() && all.is_sorted_by_key(|&action| std::cmp::Reverse(rank(action))));
    }
}
