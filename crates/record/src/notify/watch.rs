//! From notifications to the book.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tipstaff_abi::{Arch, SyscallSet, Sysno};
use tipstaff_decode::World;
use tipstaff_notify::Notification;
use tipstaff_recording::{Access, Phase, Reason};
use tipstaff_sys::pidfd;

use super::SIGKILL;
use crate::book::{Book, Exe};
use crate::ptrace::{kind_name, lock};
use crate::{Options, look, process};

const PATH_MAX: usize = 4096;

/// How long the calls of threads that were killed are looked for.
const EXCUSED: Duration = Duration::from_secs(1);

/// How long an end is waited for.
const ENDING: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Who is killed while a call of his waits shows it at once or, on a busy machine, a moment later.
const DYING: Duration = Duration::from_millis(200);

/// From notifications to the book.
pub(super) struct Watch {
    book: Arc<Mutex<Book>>,
    options: Options,
    /// The command's file.
    program: OsString,
    /// The command's process, until it has executed its program: what it calls before is its launch's, but for the execve itself.
    launching: Option<Launching>,
    /// Processes by thread.
    threads: HashMap<i32, i32>,
    processes: HashMap<i32, Process>,
    worth_decoding: Vec<SyscallSet>,
    /// Processes that are ending, by parent.
    ending: HashMap<i32, Vec<OwnedFd>>,
    /// So many threads have been killed by their process's exec or end, or will have been.
    killed: usize,
    /// Until then one of them may be the caller of a call that was lost.
    excused: Instant,
}

#[derive(Clone, Copy)]
struct Launching {
    pid: i32,
    /// Its stack and its call, when it asked for its program.
    asked: Option<(Option<u64>, Arch, u32, [u64; 6])>,
}

struct Process {
    executable: Exe,
    /// It has asked for an exec, with its stack where it was then: whether that came to pass shows at its next call.
    asked_exec: Option<Option<u64>>,
}

impl Watch {
    pub(super) fn new(book: Arc<Mutex<Book>>, options: Options, program: OsString, first: i32) -> Self {
        let archs = Arch::native().map_or(&[][..], Arch::with_compat);
        Self {
            book,
            options,
            program,
            launching: Some(Launching { pid: first, asked: None }),
            threads: HashMap::new(),
            processes: HashMap::new(),
            ending: HashMap::new(),
            killed: 0,
            excused: Instant::now(),
            worth_decoding: archs.iter().map(|&arch| look::classes(arch)).collect(),
        }
    }

    /// Whether nothing has to be looked up for this call, which is so for nearly all.
    pub(super) fn is_quick(&self, call: &Notification) -> bool {
        let data = call.data();
        let number = data.number();
        let (Some(arch), Some(tid)) = (Arch::of(data.arch, number), call.pid().map(u32::cast_signed)) else {
            return true;
        };
        let Some(pid) = self.threads.get(&tid) else { return false };
        let known = self.processes.get(pid).is_some_and(|process| process.asked_exec.is_none());
        let decodes = self.options.files && self.is_worth_decoding(arch, number);
        let name = Sysno(number).name(arch);
        let looks = matches!(name, Some("execve" | "execveat" | "exit_group")) || self.ending.contains_key(pid);
        known && !looks && self.launching.is_none() && !decodes
    }

    fn is_worth_decoding(&self, arch: Arch, number: u32) -> bool {
        self.worth_decoding.iter().any(|set| set.arch() == arch && set.contains(Sysno(number)))
    }

    /// A call was gone before it could be received. Of a caller who is killed nothing is lost; anybody else was interrupted by a signal, and has
    /// got EINTR for a call that nobody knows, if the signal's handler has no SA_RESTART.
    pub(super) fn lost(&mut self) {
        let until = Instant::now() + DYING;
        while !lock(&self.book).completeness.has(Reason::Dropped) {
            if self.killed > 0 && Instant::now() < self.excused {
                self.killed -= 1;
                return;
            }
            let dying = self.threads.keys().copied().find(|&tid| process::is_dying(tid));
            if let Some(tid) = dying {
                self.threads.remove(&tid);
                return;
            }
            if Instant::now() > until {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        lock(&self.book).completeness.lacks(Reason::Dropped, 1);
    }

    /// An exec or an end kills the other threads of a process. What is lost of them is told only when no call waits any more.
    fn kills_others(&mut self, pid: i32) {
        self.killed += process::threads(pid).len().saturating_sub(1);
        self.excused = Instant::now() + EXCUSED;
    }

    pub(super) fn called(&mut self, call: Notification) {
        let data = *call.data();
        let number = data.number();
        let (Some(arch), Some(tid)) = (Arch::of(data.arch, number), call.pid().map(u32::cast_signed)) else {
            lock(&self.book).completeness.lacks(Reason::ForeignCalls, 1);
            return call.proceed_unjudged();
        };
        let mut words = data.args;
        if matches!(arch, Arch::I386 | Arch::Arm) {
            // The kernel reads the low halves; 64-bit code can leave anything in the high ones.
            words = words.map(|word| u64::from(word as u32));
        }
        let name = Sysno(number).name(arch);
        let process = self.process_of(tid);
        self.await_children(process);
        let asks_exec = matches!(name, Some("execve" | "execveat"));
        if let Some(launching) = self.launching.as_mut().filter(|launching| launching.pid == process) {
            let stack = process::stack(process);
            match launching.asked {
                Some((before, arch, number, words)) if before != stack => {
                    self.launching = None;
                    self.begun(process, arch, number, &words);
                }
                _ => {
                    launching.asked = asks_exec.then_some((stack, arch, number, words));
                    return call.proceed_unjudged();
                }
            }
        }
        let executable = self.executable(process);
        let behind = |address| {
            let mut bytes = [0; 8];
            matches!(call.read(address, &mut bytes), Ok(8)).then(|| u64::from_ne_bytes(bytes))
        };
        lock(&self.book).made(executable, Phase::Workload, arch, number, &words, behind);
        if asks_exec {
            self.kills_others(process);
            let stack = process::stack(process);
            if let Some(known) = self.processes.get_mut(&process) {
                known.asked_exec = Some(stack);
            }
        }
        if self.options.files && self.is_worth_decoding(arch, number) {
            let memory = Memory(&call);
            let world = World { memory: &memory, files: None, string_limit: PATH_MAX, list_limit: 1 };
            self.used(&call, tid, process, &tipstaff_decode::enter(arch, number, words, &world));
        }
        match name {
            Some("exit") => drop(self.threads.remove(&tid)),
            Some("exit_group") => {
                self.kills_others(process);
                self.threads.retain(|_, of| *of != process);
                self.processes.remove(&process);
            }
            _ => {}
        }
        call.proceed_unjudged();
    }

    pub(super) fn process_of(&mut self, tid: i32) -> i32 {
        *self
            .threads
            .entry(tid)
            .or_insert_with(|| process::status(tid, "Tgid").and_then(|pid| i32::try_from(pid).ok()).unwrap_or(tid))
    }

    /// Who gets SIGCHLD when this call is let go on.
    pub(super) fn told_of(&mut self, call: &Notification) -> Option<i32> {
        let (number, tid) = (call.data().number(), call.pid()?.cast_signed());
        let ends = Arch::of(call.data().arch, number).and_then(|arch| Sysno(number).name(arch)) == Some("exit_group");
        if !ends {
            return None;
        }
        let parent = i32::try_from(process::status(tid, "PPid")?).ok()?;
        if !self.processes.contains_key(&parent) {
            return None;
        }
        let pidfd = pidfd::open(self.process_of(tid)).ok()?;
        self.ending.entry(parent).or_default().push(pidfd);
        Some(parent)
    }

    /// A call of somebody who is about to get SIGCHLD waits for that: received, it cannot be interrupted, and let go on it is treated as the kernel treats it. His
    /// next call, a few microseconds later, would be found by the signal before we have received it, and a shell that gets EINTR from fork(2) gives up.
    fn await_children(&mut self, pid: i32) {
        for child in self.ending.remove(&pid).into_iter().flatten() {
            // Nothing that a process does on its way out takes longer, but for what hangs.
            let _ = poll(&mut [PollFd::new(&child, PollFlags::IN)], Some(&ENDING));
            // The end is told by pidfd and by signal under one lock, which this call takes as well.
            let _ = rustix::process::getpriority_pgrp(None);
        }
    }

    fn executable(&mut self, pid: i32) -> Exe {
        let executed = match self.processes.get_mut(&pid) {
            None => false,
            Some(known) => match known.asked_exec.take() {
                None => return known.executable,
                Some(stack) if stack == process::stack(pid) => return known.executable,
                Some(_) => true,
            },
        };
        self.runs(pid, executed)
    }

    /// The command's program runs.
    fn begun(&mut self, pid: i32, arch: Arch, number: u32, words: &[u64; 6]) {
        let executable = self.runs(pid, true);
        let mut book = lock(&self.book);
        book.made(executable, Phase::Workload, arch, number, words, |_| None);
        if self.options.files {
            book.file(process::absolute(pid, None, self.program.as_bytes()), Access::Exec, None);
        }
    }

    /// Looks up what a process runs. `executed`: since its last call.
    fn runs(&mut self, pid: i32, executed: bool) -> Exe {
        if executed {
            // The other threads are gone, whichever of them it was that called; it has the leader's number.
            self.threads.retain(|&tid, of| *of != pid || tid == pid);
        }
        let path = process::executable(pid);
        let mut book = lock(&self.book);
        let executable = book.executable(path, executed);
        drop(book);
        self.processes.insert(pid, Process { executable, asked_exec: None });
        executable
    }

    fn used(&mut self, call: &Notification, tid: i32, pid: i32, decoded: &tipstaff_decode::Call) {
        let uses = look::uses(decoded);
        for named in uses.files {
            let path = process::absolute(tid, named.directory, &named.path);
            let mut book = lock(&self.book);
            named.access.iter().for_each(|&access| book.file(path.clone(), access, None));
        }
        for (fd, mut used) in uses.sockets {
            used.kind = pidfd::for_files(tid, || pid)
                .and_then(|pidfd| pidfd::get_fd(pidfd.as_fd(), fd))
                .ok()
                .and_then(|socket| kind_name(rustix::net::sockopt::socket_type(socket).ok()?));
            lock(&self.book).socket(used);
        }
        // A caller that is gone has used nothing.
        if call.is_waiting() {
            lock(&self.book).completeness.lacks(Reason::PathsUnread, uses.unread);
        }
    }

    /// Kills every process that has called and lives, if it is under a filter: a number may be another's by now, but hardly such a one's.
    pub(super) fn kill_all(&self) {
        for &pid in self.threads.values().chain(self.processes.keys()) {
            if let Ok(pidfd) = pidfd::open(pid)
                && process::is_filtered(pid)
            {
                let _ = pidfd::send_signal(pidfd.as_fd(), SIGKILL);
            }
        }
    }

    /// Everybody has ended.
    pub(super) fn finish(&mut self) {
        let mut book = lock(&self.book);
        let archs = Arch::native().map_or(&[][..], Arch::with_compat);
        for &arch in archs {
            for (handler, returns) in
                [("rt_sigaction", "rt_sigreturn"), ("sigaction", "sigreturn"), ("signal", "sigreturn")]
            {
                let numbers = Sysno::by_name(arch, handler).zip(Sysno::by_name(arch, returns));
                if let Some((_, returns)) = numbers.filter(|(handler, _)| book.has(arch, handler.0)) {
                    let nobody = book.executable(Default::default(), false);
                    book.needed(nobody, Phase::Workload, arch, returns.0);
                }
            }
        }
    }
}

/// The memory of a caller.
struct Memory<'a>(&'a Notification);

impl tipstaff_decode::Memory for Memory<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        self.0.read(address, into).unwrap_or(0)
    }
}
