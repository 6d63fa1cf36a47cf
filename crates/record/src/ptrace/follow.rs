//! From stops to the book.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tipstaff_abi::{Arch, SyscallSet, Sysno};
use tipstaff_decode::World;
use tipstaff_recording::{Phase, Reason};
use tipstaff_sys::pidfd;
use tipstaff_trace::{Address, Call, End, Forked, Halted, Left, Observer, Resume, Stop, Stopped, Task};

use super::{DATA, ENOSYS, arch_of, is_restart, lock};
use crate::book::{Book, Exe};
use crate::look::{self, Uses};
use crate::{Options, process};

/// Longer paths are no paths.
const PATH_MAX: usize = 4096;

pub(super) struct Follow {
    book: Arc<Mutex<Book>>,
    options: Options,
    /// What a process begins in.
    phase: Phase,
    /// A filter of ours makes every call a seccomp stop; else every call is an entry and a return.
    filtered: bool,
    processes: HashMap<i32, Process>,
    open: HashMap<i32, Open>,
    /// The execve that began it all has been entered, but by whom is not said until it has succeeded.
    beginning: Option<(Call, Uses)>,
    worth_decoding: Vec<SyscallSet>,
    seccomp: Vec<(Arch, u32)>,
    /// The command's process.
    pub(super) first: Option<i32>,
    pub(super) first_end: Option<End>,
    /// We are letting go: calls that are broken off by that have not returned.
    pub(super) leaving: bool,
}

#[derive(Clone, Copy)]
struct Process {
    executable: Exe,
    phase: Phase,
}

/// A call that is followed to its return.
struct Open {
    arch: Arch,
    number: u32,
    uses: Uses,
}

impl Follow {
    pub(super) fn new(book: Arc<Mutex<Book>>, options: Options, phase: Phase, launched: bool) -> Self {
        let archs = Arch::native().map_or(&[][..], Arch::with_compat);
        let seccomp = archs.iter().filter_map(|&arch| Some((arch, Sysno::by_name(arch, "seccomp")?.0))).collect();
        Self {
            book,
            options,
            phase,
            filtered: launched,
            processes: HashMap::new(),
            open: HashMap::new(),
            beginning: None,
            worth_decoding: archs.iter().map(|&arch| look::classes(arch)).collect(),
            seccomp,
            first: None,
            first_end: None,
            leaving: false,
        }
    }

    /// The calls that a process's threads are in, before they are stopped, and how many of them nobody can tell.
    pub(super) fn in_flight(&self, pid: i32) -> (Vec<(u32, [u64; 6])>, u64) {
        let mut calls = Vec::new();
        let mut unknown = 0;
        for tid in process::threads(pid) {
            match process::current_call(pid, tid) {
                Ok(call) => calls.extend(call),
                Err(_) => unknown += 1,
            }
        }
        (calls, unknown)
    }

    /// A process that ran already is traced from now on.
    pub(super) fn found(&mut self, pid: i32, (calls, unknown): (Vec<(u32, [u64; 6])>, u64)) {
        let Process { executable, phase } = self.process(pid);
        let mut book = lock(&self.book);
        for (number, words) in calls {
            if let Some(arch) = arch_of(pid) {
                book.made(executable, phase, arch, number, &words, |_| None);
            }
        }
        book.completeness.lacks(Reason::CallsInFlight, unknown);
        if phase == Phase::Workload && !book.completeness.shortfalls().any(|s| s.reason == Reason::AttachedRunning) {
            book.completeness.lacks(Reason::AttachedRunning, 1);
        }
        let filtered = process::is_filtered(pid);
        if filtered && !book.completeness.shortfalls().any(|s| s.reason == Reason::AlreadyFiltered) {
            book.completeness.lacks(Reason::AlreadyFiltered, 1);
        }
    }

    fn process(&mut self, pid: i32) -> Process {
        if let Some(known) = self.processes.get(&pid) {
            return *known;
        }
        let executable = lock(&self.book).executable(process::executable(pid), false);
        let new = Process { executable, phase: self.phase };
        self.processes.insert(pid, new);
        new
    }

    fn onward(&self) -> Resume {
        if self.filtered { Resume::Free } else { Resume::ToSyscall }
    }

    fn entered(&mut self, task: &Task, stop: &Halted, call: Call) -> Resume {
        if self.first.is_none() && self.filtered && self.beginning.is_none() && self.processes.is_empty() {
            let uses = if self.is_worth_decoding(&call) { self.uses(stop, &call) } else { Uses::default() };
            self.beginning = Some((call, uses));
            return self.onward();
        }
        let Process { executable, phase } = self.process(task.process());
        let memory = stop.memory();
        let behind = |address| Some(u64::from_ne_bytes(memory.read_array(Address(address))?));
        lock(&self.book).made(executable, phase, call.arch, call.number, &call.args, behind);
        if phase == Phase::Setup && self.installs_filter(&call) {
            self.processes.insert(task.process(), Process { executable, phase: Phase::Runtime });
        }
        let uses = if self.is_worth_decoding(&call) { self.uses(stop, &call) } else { Uses::default() };
        if !self.options.results && uses.is_empty() {
            return self.onward();
        }
        self.open.insert(task.tid(), Open { arch: call.arch, number: call.number, uses });
        Resume::ToSyscall
    }

    /// seccomp(2) with SECCOMP_SET_MODE_FILTER, or prctl(2) with PR_SET_SECCOMP: what follows is under a filter.
    fn installs_filter(&self, call: &Call) -> bool {
        const SET_MODE_FILTER: u32 = 1;
        const PR_SET_SECCOMP: u32 = 22;
        if self.seccomp.contains(&(call.arch, call.number)) {
            return call.args[0] as u32 == SET_MODE_FILTER;
        }
        call.name() == Some("prctl") && call.args[0] as u32 == PR_SET_SECCOMP
    }

    fn is_worth_decoding(&self, call: &Call) -> bool {
        self.options.files
            && self.worth_decoding.iter().any(|set| set.arch() == call.arch && set.contains(Sysno(call.number)))
    }

    fn uses(&self, stop: &Halted, call: &Call) -> Uses {
        let memory = Memory(stop.memory());
        let world = World { memory: &memory, files: None, string_limit: PATH_MAX, list_limit: 1 };
        look::uses(&tipstaff_decode::enter(call.arch, call.number, call.args, &world))
    }

    fn left(&mut self, task: &Task, stop: &Stopped<Left>) -> Resume {
        let value = stop.returned().value;
        let broken_off = self.leaving && is_restart(value);
        if let Some(open) = self.open.remove(&task.tid()).filter(|_| !broken_off) {
            if self.options.results {
                lock(&self.book).returned(open.arch, open.number, value);
            }
            self.used(task, open.uses, Some(value));
        }
        self.onward()
    }

    /// `value`: what the call returned, if it did.
    fn used(&mut self, task: &Task, uses: Uses, value: Option<i64>) {
        const EINPROGRESS: i64 = -115;
        const EFAULT: i64 = -14;
        if uses.is_empty() {
            return;
        }
        let failed = value.map(|value| (-4095..0).contains(&value) && value != EINPROGRESS);
        for named in uses.files {
            let path = process::absolute(task.tid(), named.directory, &named.path);
            let mut book = lock(&self.book);
            for access in named.access {
                // A name that is there already is not made.
                book.file(path.clone(), access, failed);
            }
        }
        for (fd, mut used) in uses.sockets {
            used.kind = socket_kind(task, fd);
            lock(&self.book).socket(used);
        }
        if value != Some(EFAULT) {
            lock(&self.book).completeness.lacks(Reason::PathsUnread, uses.unread);
        }
    }

    fn forked(&mut self, task: &Task, stop: &Stopped<Forked>) {
        let child = stop.child();
        if !tipstaff_sys::signal::thread_of(task.process(), child) {
            let parent = self.process(task.process());
            self.processes.insert(child, parent);
        }
    }

    fn executed(&mut self, task: &Task, former: i32) {
        if let Some(open) = self.open.remove(&former) {
            self.open.insert(task.tid(), open);
        }
        let path = process::executable(task.process());
        let mut book = lock(&self.book);
        let executable = book.executable(path, true);
        let beginning = self.beginning.take();
        if let Some((call, _)) = &beginning {
            book.made(executable, Phase::Workload, call.arch, call.number, &call.args, |_| None);
            if self.options.results {
                book.returned(call.arch, call.number, 0);
            }
        }
        drop(book);
        if let Some((_, uses)) = beginning {
            self.used(task, uses, Some(0));
        }
        self.processes.insert(task.process(), Process { executable, phase: Phase::Workload });
    }
}

/// SOCK_STREAM and so on, asked of a copy of the descriptor.
fn socket_kind(task: &Task, fd: i32) -> Option<String> {
    let pidfd = pidfd::for_files(task.tid(), || task.process()).ok()?;
    let socket = pidfd::get_fd(std::os::fd::AsFd::as_fd(&pidfd), fd).ok()?;
    kind_name(rustix::net::sockopt::socket_type(socket).ok()?)
}

pub(crate) fn kind_name(kind: rustix::net::SocketType) -> Option<String> {
    use rustix::net::SocketType as T;
    let name = match kind {
        T::STREAM => "SOCK_STREAM",
        T::DGRAM => "SOCK_DGRAM",
        T::SEQPACKET => "SOCK_SEQPACKET",
        T::RAW => "SOCK_RAW",
        _ => return None,
    };
    Some(name.to_owned())
}

struct Memory<'stop>(tipstaff_trace::Memory<'stop>);

impl tipstaff_decode::Memory for Memory<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        self.0.read(Address(address), into)
    }
}

impl Observer for Follow {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        match stop {
            // Another filter's, newer than ours. Without its tracer the call fails with ENOSYS: seccomp(2).
            Stop::Seccomp(stop) if stop.data() != DATA => {
                if let Ok(mut registers) = stop.registers() {
                    registers.set_number(-1);
                    registers.set_result(-ENOSYS);
                    // It died: the next wait says so.
                    let _ = stop.set_registers(&registers);
                }
                self.onward()
            }
            // During the launch both come, and the entry did what there is to do.
            Stop::Seccomp(stop) if stop.entered() => Resume::AsBefore,
            Stop::Seccomp(stop) => {
                let call = *stop.call();
                self.entered(task, stop, call)
            }
            Stop::Entered(stop) => {
                let call = *stop.call();
                self.entered(task, stop, call)
            }
            Stop::Left(stop) => self.left(task, stop),
            Stop::Forked(stop) => {
                self.forked(task, stop);
                Resume::AsBefore
            }
            Stop::Executed(stop) => {
                let former = stop.former();
                self.executed(task, former);
                Resume::AsBefore
            }
            _ => Resume::AsBefore,
        }
    }

    fn on_end(&mut self, task: &Task, end: End) {
        // An exec in another thread takes its leader's place: the process goes on under the same id.
        if !matches!(end, End::Replaced { .. }) {
            if self.first == Some(task.tid()) {
                self.first_end = Some(end);
            }
            if task.process() == task.tid() {
                self.processes.remove(&task.process());
            }
        }
        if let Some(open) = self.open.remove(&task.tid()).filter(|_| end != End::Detached) {
            self.used(task, open.uses, None);
        }
    }
}
