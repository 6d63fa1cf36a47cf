//! What a runtime itself calls between the installation of a container's filter and the container's program: a profile that lacks it starts nothing.
//!
//! A recording without a filter does not show this: there is no installation in it, so no moment from which calls count. The sets are those of the
//! installing thread, up to and with its execve(2), measured with runc 1.1.5 and crun 1.8.1 on x86-64 over many starts, as root and as another user
//! inside. With `noNewPrivileges` the filter comes last; without, installing it needs CAP_SYS_ADMIN, so ids and capabilities are set afterwards.

use std::str::FromStr;

use tipstaff_abi::Sysno;

use crate::learn::{ALWAYS, Arguments, Learned, LearnedCall};

/// A runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    /// runc, which Docker and containerd use.
    Runc,
    /// crun, which Podman and CRI-O use.
    Crun,
}

/// Not a runtime with a known set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the runtime {0:?} needs is not known; known are runc and crun")]
pub struct UnknownRuntime(String);

impl FromStr for Runtime {
    type Err = UnknownRuntime;

    fn from_str(name: &str) -> Result<Self, UnknownRuntime> {
        Self::ALL.into_iter().find(|known| known.as_str() == name).ok_or_else(|| UnknownRuntime(name.to_owned()))
    }
}

const RUNC: [&str; 12] = [
    "close",
    "epoll_ctl",
    "execve",
    "fstatfs",
    "futex",
    "getdents64",
    "getpid",
    "openat",
    "write",
    // Go's scheduler: a thread that runs for long is sent a signal, and the end of the handler is a call. Refused, the runtime crashes.
    "rt_sigreturn",
    // The same where the machine is busy.
    "nanosleep",
    "sched_yield",
];

const RUNC_PRIVILEGED: [&str; 14] = [
    "capget",
    "capset",
    "chdir",
    "faccessat2",
    "fcntl",
    "fstat",
    "getcwd",
    "getppid",
    "newfstatat",
    "prctl",
    "read",
    "setgid",
    "setgroups",
    "setuid",
];

const CRUN: [&str; 2] = ["close", "execve"];

const CRUN_PRIVILEGED: [&str; 9] = [
    "capset",
    "prctl",
    "rt_sigaction",
    "rt_sigprocmask",
    "setresgid",
    "setresuid",
    "write",
    // Where it is created first and started later: it waits for its start under the filter.
    "pselect6",
    "read",
];

impl Runtime {
    /// Those with a known set.
    pub const ALL: [Self; 2] = [Self::Runc, Self::Crun];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }

    /// What it calls under the filter.
    pub fn needs(self, no_new_privileges: bool) -> impl Iterator<Item = &'static str> {
        let (always, privileged): (&[_], &[_]) = match self {
            Self::Runc => (&RUNC, &RUNC_PRIVILEGED),
            Self::Crun => (&CRUN, &CRUN_PRIVILEGED),
        };
        always.iter().chain(if no_new_privileges { &[] } else { privileged }).copied()
    }
}

impl Learned {
    /// Adds what these runtimes need to start a container under the profile. A call that is there already, for certain arguments, is then there for any.
    pub fn add_runtimes(&mut self, runtimes: &[Runtime], no_new_privileges: bool) {
        for runtime in runtimes {
            let note = format!("{} starts the container with it", runtime.as_str());
            runtime.needs(no_new_privileges).for_each(|name| self.add_whole(name, &note));
        }
    }

    /// Adds what every profile allows ([`ALWAYS`]): a document that is made has it by itself, one that is extended may not.
    pub fn add_always(&mut self) {
        ALWAYS.iter().for_each(|name| self.add_whole(name, "the kernel's, or a program's last"));
    }

    fn add_whole(&mut self, name: &str, note: &str) {
        let Some(nr) = Sysno::by_name(self.arch, name) else { return };
        match self.calls.iter_mut().find(|call| call.arch == self.arch && call.nr == nr.0) {
            Some(call) => call.arguments = Arguments::Any,
            None => self.calls.push(LearnedCall {
                arch: self.arch,
                nr: nr.0,
                arguments: Arguments::Any,
                note: note.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::ArgIs;
    use tipstaff_abi::Arch;

    #[test]
    fn every_name_is_one() {
        for runtime in Runtime::ALL {
            assert_eq!(runtime.as_str().parse(), Ok(runtime));
            for name in runtime.needs(false) {
                assert!(Sysno::by_name(Arch::X86_64, name).is_some(), "{name}");
            }
            assert!(runtime.needs(true).count() < runtime.needs(false).count());
        }
        assert!("youki".parse::<Runtime>().is_err());
    }

    #[test]
    fn what_is_limited_is_widened_and_what_is_there_is_not_doubled() {
        let nr = |name| Sysno::by_name(Arch::X86_64, name).expect("a call").0;
        let limited = Arguments::Tuples(vec![vec![ArgIs::int(0, 15)]]);
        let call = |name, arguments| LearnedCall { arch: Arch::X86_64, nr: nr(name), arguments, note: String::new() };
        let calls = vec![call("prctl", limited.clone()), call("clone", limited.clone())];
        let mut learned = Learned { arch: Arch::X86_64, calls, about: Vec::new() };
        learned.add_runtimes(&Runtime::ALL, false);
        let of = |name| learned.calls.iter().filter(|call| call.nr == nr(name)).collect::<Vec<_>>();
        assert_eq!(of("prctl")[..], [&call("prctl", Arguments::Any)]);
        assert_eq!(of("clone")[..], [&call("clone", limited)]);
        assert_eq!(of("execve").len(), 1);
        learned.add_always();
        let of = |name| learned.calls.iter().filter(|call| call.nr == nr(name)).count();
        assert_eq!((of("rt_sigreturn"), of("restart_syscall")), (1, 1));
        assert!(learned.document(&Default::default()).is_ok());
    }
}
