//! Tracing a program that runs already, and letting go of it.

use std::fs;

use tipstaff_sys::{Errno, ids, ptrace};

use crate::config::Turn;
use crate::launch::{OPTIONS, WITHOUT_FILTER};
use crate::observer::{Observer, Resume};
use crate::state::Running;
use crate::task::{Origin, State, Task};
use crate::tracer::Tracer;
use crate::{Error, proc};

/// Why a process cannot be traced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// ESRCH.
    #[error("there is no process {0}")]
    Gone(i32),
    /// A thread cannot trace its own process.
    #[error("process {0} is the tracer itself")]
    Itself(i32),
    /// EPERM: somebody traces it.
    #[error("process {pid} is already traced by process {by}{}", name.as_ref().map(|n| format!(" ({n})")).unwrap_or_default())]
    Traced {
        /// The process.
        pid: i32,
        /// Its tracer.
        by: i32,
        /// Its tracer's command name.
        name: Option<String>,
    },
    /// EPERM: it belongs to somebody else.
    #[error("process {pid} belongs to user {uid}: tracing it needs that user or CAP_SYS_PTRACE")]
    OtherUser {
        /// The process.
        pid: i32,
        /// Its real user id.
        uid: u32,
    },
    /// EPERM: Yama.
    #[error("process {pid} is no child of ours, and /proc/sys/kernel/yama/ptrace_scope is {scope}")]
    PtraceScope {
        /// The process.
        pid: i32,
        /// 1: descendants only; 2: with CAP_SYS_PTRACE only; 3: never.
        scope: u8,
    },
    /// EPERM, and none of the above: a kernel thread, a program that is not dumpable or holds capabilities that we lack, or a security
    /// module.
    #[error(
        "process {0} may not be traced: a kernel thread, not dumpable, more privileged, or refused by a security module"
    )]
    Refused(i32),
    /// Something else.
    #[error("attach to {pid}: {errno}")]
    Other {
        /// The process.
        pid: i32,
        /// Why.
        errno: Errno,
    },
}

/// Why tracees cannot be let go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetachError {
    /// Without a tracer every call that the filter wants traced would fail with ENOSYS.
    #[error("process {0} was started under our filter, and cannot run on without its tracer")]
    Filtered(i32),
    /// Tracing failed.
    #[error(transparent)]
    Trace(#[from] Error),
}

impl Tracer {
    /// Traces every thread of a running process; tasks that they make from now on are traced too. Each thread stops once, by no signal
    /// ([`Reason::Attached`](crate::Reason)); a call that blocks is restarted. If one thread refuses, those already seized are let go.
    /// The end of a child of this very process is reaped by this tracer or by that child's parent thread, whoever comes first: wait(2).
    pub fn attach(&mut self, pid: i32, observer: &mut dyn Observer) -> Result<(), AttachError> {
        let process = proc::field(pid, "Tgid").ok_or(AttachError::Gone(pid))? as i32;
        let options = if self.config.foreign { OPTIONS } else { WITHOUT_FILTER };
        let mut seized = Vec::new();
        // Threads appear while we read; those that a seized thread makes come by its events. So until a round finds nobody new.
        loop {
            let mut news = false;
            for tid in threads(process) {
                if self.tasks.get(tid).is_some() || !self.is_ours_to_seize(tid) {
                    continue;
                }
                match Running::seize(tid, options) {
                    Ok(running) => {
                        running.interrupt();
                        let task = Task::new(tid, process, None, Origin::Attached, self.config.start);
                        self.tasks.insert(task);
                        seized.push(tid);
                        news = true;
                    }
                    Err(Errno::SRCH) => {}
                    // It has become ours, or has ended, a moment ago.
                    Err(Errno::PERM) if !self.is_ours_to_seize(tid) => {}
                    Err(errno) => {
                        let why = why(process, tid, errno);
                        self.give_up(&seized);
                        return Err(why);
                    }
                }
            }
            if !news {
                break;
            }
        }
        if seized.is_empty() {
            return Err(AttachError::Gone(pid));
        }
        for task in seized.iter().filter_map(|&tid| self.tasks.get(tid)) {
            observer.on_attach(task);
        }
        Ok(())
    }

    /// Traces a process of one thread that waits for it, before its program is executed, under a filter of ours that it is about to install.
    /// It does not stop for this. From then on it is as if it had been launched: it dies with this tracer's thread.
    pub fn take(&mut self, pid: i32) -> Result<(), Errno> {
        let running = Running::seize(pid, OPTIONS | ptrace::option::EXITKILL)?;
        let origin = Origin::Launched { filtered: true };
        let task = Task {
            state: State::Running(running),
            fresh: false,
            ..Task::new(pid, pid, None, origin, self.config.start)
        };
        self.tasks.insert(task);
        Ok(())
    }

    /// Not traced by us already, and not a dead leader of threads that live.
    fn is_ours_to_seize(&self, tid: i32) -> bool {
        let ours = proc::field(tid, "TracerPid") == Some(ids::tid().into());
        !ours && !matches!(proc::state(tid), None | Some('Z' | 'X'))
    }

    fn give_up(&mut self, seized: &[i32]) {
        for &tid in seized {
            let Some(task) = self.tasks.remove(tid) else { continue };
            if let State::Running(running) = task.state
                && let Ok(crate::Wait::Stopped(stop)) = running.wait()
            {
                stop.detach();
            }
        }
    }

    /// Lets go of everything: each task runs on, stays in its group-stop, or gets the signal that was just about to be delivered. Takes
    /// until each has stopped once more; the observer sees these stops. Refused, with nothing done, if a filter of ours is in force.
    pub fn detach(&mut self, observer: &mut dyn Observer) -> Result<(), DetachError> {
        let filtered = Origin::Launched { filtered: true };
        if let Some(task) = self.tasks.iter().find(|task| task.origin() == filtered) {
            return Err(DetachError::Filtered(task.process()));
        }
        Ok(self.leave(observer)?)
    }

    /// Detaches, or kills where that is impossible.
    pub(crate) fn leave(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        self.leaving = true;
        for tid in self.tasks.tids() {
            if self.tasks.get(tid).is_some_and(Task::is_held) {
                self.release(tid, Resume::Detach);
            } else {
                // ESRCH: it has ended, which the wait will tell.
                let _ = ptrace::interrupt(tid);
            }
        }
        let left = loop {
            match self.step(observer) {
                Ok(Turn::Empty) => break Ok(()),
                Ok(_) => {}
                Err(e) => break Err(e),
            }
        };
        self.leaving = false;
        left
    }
}

fn threads(process: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn why(pid: i32, tid: i32, errno: Errno) -> AttachError {
    if errno != Errno::PERM {
        return AttachError::Other { pid, errno };
    }
    if pid == ids::pid() {
        return AttachError::Itself(pid);
    }
    if let Some(by) = proc::field(tid, "TracerPid").filter(|&by| by != 0) {
        let name = fs::read_to_string(format!("/proc/{by}/comm")).ok().map(|name| name.trim_end().to_owned());
        return AttachError::Traced { pid, by: by as i32, name };
    }
    let me = ids::uid();
    if let Some(uid) = proc::field(tid, "Uid").filter(|&uid| me != 0 && uid != i64::from(me)) {
        return AttachError::OtherUser { pid, uid: uid as u32 };
    }
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
    match scope.and_then(|scope| scope.trim().parse().ok()) {
        Some(scope) if scope > 0 => AttachError::PtraceScope { pid, scope },
        _ => AttachError::Refused(pid),
    }
}
