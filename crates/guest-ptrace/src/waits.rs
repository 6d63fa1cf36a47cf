//! wait4(2) and waitid(2) of processes that trace.
//!
//! What virtual tracees have to tell comes from the machine's table; what real children have to tell comes from the kernel, in the very call that
//! the guest has made. So a call for which the table has something is answered at its entry; any other is made, and blocks in the kernel, where
//! signals end it as ever and it costs nothing. If the table gets something meanwhile the waiter is interrupted (PTRACE_INTERRUPT): its call
//! returns ERESTARTSYS, and that is replaced.
//!
//! A process that only traces what are no children of its own would get ECHILD: there the call becomes a ppoll(2) without anything to wait for,
//! and at its return the registers are what they were.

use tipstaff_abi::{Arch, Sysno, errno};
use tipstaff_trace::{Registers, Status};

use crate::machine::{Report, Select, Stop, Who};
use crate::moves::{read, write};
use crate::signals::{CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, CLD_TRAPPED, SIGCHLD};

const WNOHANG: u64 = 1;
const WUNTRACED: u64 = 2;
const WEXITED: u64 = 4;
const WCONTINUED: u64 = 8;
const WNOWAIT: u64 = 0x0100_0000;
const WNOTHREAD: u64 = 0x2000_0000;
const WALL: u64 = 0x4000_0000;
const WCLONE: u64 = 0x8000_0000;
const WAIT4: u64 = WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | WCLONE;
const WAITID: u64 = WAIT4 | WEXITED | WNOWAIT;

pub(crate) const ERESTARTSYS: i64 = -512;
/// What ppoll(2) answers to a signal.
pub(crate) const ERESTARTNOHAND: i64 = -514;
pub(crate) const EINTR: i64 = -(errno::EINTR as i64);
pub(crate) const ECHILD: i64 = -(errno::ECHILD as i64);

/// Numbers of the calls that are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub ptrace: u32,
    pub wait4: u32,
    pub waitid: u32,
    pub sigaction: u32,
    pub clone: u32,
    pub ppoll: u32,
    pub open: u32,
    pub openat: u32,
    pub openat2: u32,
    pub memfd_create: u32,
    pub dup3: u32,
    pub close: u32,
    pub sigtimedwait: u32,
    pub sigpending: u32,
    pub signalfd: u32,
    pub signalfd4: u32,
    pub sigqueue: u32,
    pub seccomp: u32,
    pub ioctl: u32,
    pub mmap: u32,
    /// Calls that a signal ends with EINTR whatever SA_RESTART says.
    pub not_restarted: [u32; 4],
}

impl Numbers {
    pub fn of(arch: Arch) -> Self {
        let number = |name| Sysno::by_name(arch, name).map_or(u32::MAX, |number| number.0);
        Self {
            ptrace: number("ptrace"),
            wait4: number("wait4"),
            waitid: number("waitid"),
            sigaction: number("rt_sigaction"),
            clone: number("clone"),
            ppoll: number("ppoll"),
            open: number("open"),
            openat: number("openat"),
            openat2: number("openat2"),
            memfd_create: number("memfd_create"),
            dup3: number("dup3"),
            close: number("close"),
            sigtimedwait: number("rt_sigtimedwait"),
            sigpending: number("rt_sigpending"),
            signalfd: number("signalfd"),
            signalfd4: number("signalfd4"),
            sigqueue: number("rt_sigqueueinfo"),
            seccomp: number("seccomp"),
            ioctl: number("ioctl"),
            mmap: number("mmap"),
            not_restarted: ["epoll_wait", "epoll_pwait", "epoll_pwait2", "rt_sigtimedwait"].map(number),
        }
    }
}

/// A wait that a thread is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub process: i32,
    pub select: Select,
    pub flags: u64,
    /// waitid(2), else wait4(2).
    pub by_id: bool,
    /// Where results go: status or siginfo, and rusage.
    pub result: u64,
    pub usage: u64,
    /// As it was at the entry, where its return is watched.
    pub registers: Option<Registers>,
    /// Its return is watched.
    pub watched: bool,
    /// It is a ppoll now.
    pub poll: bool,
    /// It has been interrupted by us.
    pub kicked: bool,
    /// While nobody watched it, an end came that it may have told of.
    pub raced: bool,
}

impl Wait {
    /// A call as it is entered. None: the kernel will refuse it, and says how.
    pub fn entered((tid, process): (i32, i32), by_id: bool, args: [u64; 6]) -> Option<Self> {
        let arg = |index: usize| args[index];
        let (who, flags, result, usage) = if by_id {
            let number = arg(1) as i32;
            let who = match arg(0) as u32 {
                0 => Who::Any,
                1 => Who::One(number),
                2 if number >= 0 => Who::Group(number),
                3 => Who::Thread(pidfd(tid, number)),
                _ => return None,
            };
            (who, u64::from(arg(3) as u32), arg(2), arg(4))
        } else {
            let who = match arg(0) as i32 {
                -1 => Who::Any,
                i32::MIN => return None,
                group if group <= 0 => Who::Group(-group),
                one => Who::One(one),
            };
            (who, u64::from(arg(2) as u32), arg(1), arg(3))
        };
        let wrong = if by_id {
            flags & !WAITID != 0 || flags & (WEXITED | WUNTRACED | WCONTINUED) == 0
        } else {
            flags & !WAIT4 != 0
        };
        if wrong {
            return None;
        }
        let thread = (flags & WNOTHREAD != 0).then_some(tid);
        let exits = !by_id || flags & WEXITED != 0;
        Some(Self {
            process,
            select: Select { who, process, thread, exits },
            flags,
            by_id,
            result,
            usage,
            registers: None,
            watched: false,
            poll: false,
            kicked: false,
            raced: false,
        })
    }

    pub fn hangs(&self) -> bool {
        self.flags & WNOHANG == 0
    }

    /// Whether it is for any child, whatever its exit signal, and asks for nothing but ends: then the kernel knows of none but where there is none.
    pub fn asks_for_any_end(&self) -> bool {
        let Select { who, thread, .. } = self.select;
        let plain = self.flags & (WALL | WUNTRACED | WCONTINUED | WNOWAIT) == WALL;
        plain && !self.by_id && who == Who::Any && thread.is_none()
    }

    /// WNOWAIT: what is told stays to be told.
    pub fn keeps(&self) -> bool {
        self.flags & WNOWAIT != 0
    }

    /// Writes what the call tells, and says what it returns.
    pub fn tell(&self, tid: i32, report: &Report) -> i64 {
        self.try_tell(tid, report).unwrap_or_else(|fault| fault)
    }

    fn try_tell(&self, tid: i32, report: &Report) -> Result<i64, i64> {
        if self.usage != 0 {
            let bytes: Vec<u8> = report.usage.iter().flat_map(|word| word.to_ne_bytes()).collect();
            write(tid, self.usage, &bytes)?;
        }
        if !self.by_id {
            if self.result != 0 {
                write(tid, self.result, &report.status.to_ne_bytes())?;
            }
            return Ok(report.number.into());
        }
        if self.result != 0 {
            let (code, status) = cause(report.status);
            let words = [SIGCHLD, 0, code, 0, report.number, report.uid.cast_signed(), status];
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            // Between si_code and si_pid is a hole, which the kernel leaves alone.
            write(tid, self.result, &bytes[..12])?;
            write(tid, self.result + 16, &bytes[16..])?;
        }
        Ok(0)
    }

    /// What a call tells that found nothing and does not hang.
    pub fn nothing(&self, tid: i32) -> i64 {
        if self.by_id && self.result != 0 {
            let done = write(tid, self.result, &[0; 12]).and_then(|()| write(tid, self.result + 16, &[0; 12]));
            return done.err().unwrap_or(0);
        }
        0
    }

    /// The kernel has told of this child's end.
    pub fn ended_child(&self, tid: i32, returned: i64) -> Option<i32> {
        if !self.by_id {
            return (returned > 0).then_some(returned as i32);
        }
        let mut words = [0; 12];
        if returned != 0 || self.result == 0 || read(tid, self.result + 8, &mut words).is_err() {
            return None;
        }
        let int = |at: usize| i32::from_ne_bytes(std::array::from_fn(|n| words[at + n]));
        matches!(int(0), CLD_EXITED | CLD_KILLED | CLD_DUMPED).then(|| int(8))
    }

    /// The kernel has told of a stopping signal of this child: what its parent sees with WUNTRACED.
    pub fn stopped_child(&self, tid: i32, returned: i64) -> Option<i32> {
        let int = |address: u64| {
            let mut bytes = [0; 4];
            read(tid, address, &mut bytes).ok().map(|()| i32::from_ne_bytes(bytes))
        };
        if self.flags & WUNTRACED == 0 || self.result == 0 {
            return None;
        }
        if self.by_id {
            (returned == 0 && int(self.result + 8)? == CLD_STOPPED).then(|| int(self.result + 16))?
        } else {
            (returned > 0 && int(self.result)? & 0xff == 0x7f).then_some(returned as i32)
        }
    }
}

/// The process that a pidfd of a thread refers to; 0 for none. proc_pid_fdinfo(5) counts in the namespace of the reader.
fn pidfd(tid: i32, fd: i32) -> i32 {
    let info = std::fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).unwrap_or_default();
    crate::names::numbers(&info, "Pid:").first().copied().unwrap_or(0)
}

/// As wait4(2) has it.
pub(crate) fn word(status: Status) -> i32 {
    match status {
        Status::Exited(code) => code << 8,
        Status::Signaled { signal, core } => signal | if core { 0x80 } else { 0 },
    }
}

/// si_code and si_status of a status.
pub(crate) fn cause(status: i32) -> (i32, i32) {
    match status & 0x7f {
        0x7f => (CLD_TRAPPED, status >> 8),
        0 => (CLD_EXITED, status >> 8 & 0xff),
        signal if status & 0x80 != 0 => (CLD_DUMPED, signal),
        signal => (CLD_KILLED, signal),
    }
}

/// What SIGCHLD says of a stop or an end: code and status.
pub(crate) fn told(stop: Option<Stop>, status: i32) -> (i32, i32) {
    match stop {
        Some(Stop::Group(signal)) => (CLD_STOPPED, signal),
        Some(Stop::Trap) => (CLD_STOPPED, 0),
        Some(_) => (CLD_TRAPPED, status >> 8 & 0x7f),
        None => cause(status),
    }
}
