//! An exec that somebody has looked at, under the notify engine: its caller is traced for just that long.
//!
//! The caller waits with its notification. It is seized (PTRACE_SEIZE with PTRACE_O_TRACEEXEC), then its call is let through; at
//! PTRACE_EVENT_EXEC, where no code of the new program has run, what runs is compared with what was approved, and the thread is let go. An exec
//! that fails makes no event, so PTRACE_INTERRUPT asks for a stop on the way back to user mode. Should we die in between, PTRACE_O_EXITKILL kills it.
//!
//! A thread that has a tracer already (a debugger in the box) cannot be seized: its exec is refused with EPERM.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tipstaff_abi::{Arch, errno};
use tipstaff_notify::Notification;
use tipstaff_sys::wait::{self, Change};
use tipstaff_sys::{Errno, ptrace, signal};

use super::birth::{Birth, Births};
use super::exec::{Approved, Runs};
use super::said::{another, refused};
use super::voice::Voice;

/// Execs and forks that are watched at once; more wait for their turn.
const WATCHERS: usize = 8;
const SIGKILL: i32 = 9;
const SIGTRAP: i32 = 5;

/// An exec on its way.
pub(super) struct Exec {
    pub call: Notification,
    pub tid: i32,
    pub approved: Approved,
}

pub(super) struct Guard {
    jobs: Sender<Job>,
    queue: Arc<Mutex<Receiver<Job>>>,
    watchers: usize,
    voice: Voice,
    births: Births,
}

enum Job {
    Exec(Exec),
    Birth(Birth),
}

impl Job {
    /// Nobody can watch it: the call must not wait for ever.
    fn refuse(self) {
        let (Self::Exec(Exec { call, .. }) | Self::Birth(Birth { call, .. })) = self;
        let _ = call.refuse(errno::EAGAIN.into());
    }
}

impl Guard {
    pub fn new(voice: Voice) -> Self {
        let (jobs, queue) = mpsc::channel();
        let births = Births::new(voice.clone());
        Self { jobs, queue: Arc::new(Mutex::new(queue)), watchers: 0, voice, births }
    }

    /// The new processes that are on their way.
    pub fn births(&self) -> &Births {
        &self.births
    }

    /// Lets a call through that makes a process, and registers what it makes.
    pub fn deliver(&mut self, birth: Birth) {
        self.take(Job::Birth(birth));
    }

    /// Lets an exec through, and watches what it becomes.
    pub fn watch(&mut self, exec: Exec) {
        self.take(Job::Exec(exec));
    }

    fn take(&mut self, job: Job) {
        if self.watchers < WATCHERS {
            let (queue, voice, births) = (Arc::clone(&self.queue), self.voice.clone(), self.births.clone());
            let work = move || {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match job {
                        Ok(Job::Exec(exec)) => watch(exec, &voice),
                        Ok(Job::Birth(birth)) => births.attend(birth),
                        Err(_) => return,
                    }
                }
            };
            match thread::Builder::new().name("watch".into()).spawn(work) {
                Ok(_) => self.watchers += 1,
                // Whoever is there serves it.
                Err(_) if self.watchers > 0 => {}
                Err(_) => return job.refuse(),
            }
        }
        let _ = self.jobs.send(job);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.births.close();
    }
}

fn watch(exec: Exec, voice: &Voice) {
    let Exec { call, tid, approved } = exec;
    let data = *call.data();
    if let Err(e) = ptrace::seize(tid, ptrace::option::TRACEEXEC | ptrace::option::EXITKILL) {
        if e != Errno::SRCH {
            let arch = Arch::of(data.arch, data.nr.cast_unsigned()).unwrap_or(Arch::X86_64);
            let who = "that looks at execs: the caller has a tracer, so what it executes cannot be verified";
            voice.denied(refused(Some("execve"), 0, arch, who, Some(errno::EPERM)), data.args, tid);
        }
        let _ = call.refuse(errno::EPERM.into());
        return;
    }
    // Whoever still waits is the caller; else its number may be somebody else's already, who is let go at once.
    let caller = call.is_waiting();
    if caller {
        // What was approved is compared afterwards.
        call.proceed_unjudged();
    } else {
        let _ = call.refuse(errno::EPERM.into());
    }
    let _ = ptrace::interrupt(tid);
    loop {
        match wait::any(None) {
            Ok((pid, Change::Stopped(what))) => {
                let (stop, event) = (what & 0xff, what >> 8);
                if caller && event == ptrace::event::EXEC {
                    match approved.compare(pid) {
                        Runs::Approved => drop(ptrace::detach(pid, 0)),
                        Runs::Nothing => {}
                        Runs::Another => {
                            voice.denied(another(Arch::native()), data.args, pid);
                            // Why, before the kill.
                            voice.kill();
                            let _ = signal::kill_thread(pid, pid, SIGKILL);
                        }
                    }
                } else {
                    // The exec has failed. A signal that it was about to take it takes; a group-stop holds on without us.
                    let deliver = if event == 0 && stop != SIGTRAP { stop } else { 0 };
                    let _ = ptrace::detach(pid, deliver);
                }
            }
            Ok((_, Change::Ended(_))) | Err(Errno::INTR) => {}
            // Nobody is traced by this thread any more.
            Err(_) => return,
        }
    }
}
