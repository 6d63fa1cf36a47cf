//! From stops to events.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Instant;

use tipstaff_abi::{Arch, errno};
use tipstaff_decode::{Call, Returned, World};
use tipstaff_render::{Event, Sink, What};
use tipstaff_sys::signal;
use tipstaff_trace::seam::Front;
use tipstaff_trace::{End, ForkKind, Forked, Halted, Left, Observer, Resume, SignalDelivery, Stop, Stopped, Task};

use super::calls::Calls;
use super::explain::Explain;
use super::inject::{Applied, Injections};
use super::outputs::Outputs;
use super::world::{TraceeFiles, TraceeMemory, is_set_user_id, program};
use crate::say;

/// The kernel's own errnos: the call is made again, or fails with EINTR once a handler has run.
const RESTARTS: std::ops::RangeInclusive<i64> = -516..=-512;

/// What a tracer makes of the number of a call that is not to be made.
const SKIPPED: u32 = u32::MAX;

/// How a trace is followed.
pub struct Settings {
    pub began: Instant,
    pub show: Calls,
    pub injections: Injections,
    /// A filter says which calls stop, and this is the data of its RET_TRACE; else every call does.
    pub filter: Option<u16>,
    /// None: every signal.
    pub signals: Option<HashSet<i32>>,
    pub fds: bool,
    pub string_limit: usize,
    pub list_limit: usize,
    /// Say it when a set-user-ID program is executed, once: traced without CAP_SYS_PTRACE it gains nothing (execve(2)).
    pub warn_set_user_id: bool,
}

/// Sees the stops, decodes them, and tells the outputs.
pub struct Follow {
    settings: Settings,
    outputs: Outputs,
    /// [`Outputs::sink`] wants entries.
    entries: bool,
    all: bool,
    injecting: bool,
    pub why: Option<Explain>,
    open: HashMap<i32, Open>,
    /// Threads that stand until a moment, and how they go on then.
    pub held: Vec<(Instant, i32, Resume)>,
    /// An output that cannot be written. Nothing is told to any of them from then on.
    pub failed: Option<io::Error>,
    /// We are letting go: calls that are broken off by that have not returned.
    pub leaving: bool,
    unwritten: bool,
    /// The process whose end is the trace's.
    pub first: Option<i32>,
    pub first_end: Option<End>,
}

/// A call that has not returned.
struct Open {
    call: Call,
    at_ns: u64,
    shown: bool,
    applied: Applied,
}

impl Follow {
    pub fn new(settings: Settings, outputs: Outputs, why: Option<Explain>) -> Self {
        Self {
            entries: outputs.sink.wants_entries(),
            all: settings.show.is_all(),
            injecting: !settings.injections.calls().is_none(),
            settings,
            outputs,
            why,
            open: HashMap::new(),
            held: Vec::new(),
            failed: None,
            leaving: false,
            unwritten: false,
            first: None,
            first_end: None,
        }
    }

    /// The trace is over: what is left is written, to the other outputs also if one has failed.
    pub fn finish(&mut self) -> io::Result<()> {
        let finished = self.outputs.sink.finish();
        self.failed.take().map_or(finished, Err)
    }

    /// Whether the outputs keep something back, which [`Self::pause`] would bring out.
    pub fn keeps_back(&self) -> bool {
        self.unwritten
    }

    /// Nothing has happened for a while.
    pub fn pause(&mut self) {
        self.unwritten = false;
        if self.failed.is_none()
            && let Err(e) = self.outputs.sink.pause()
        {
            self.failed = Some(e);
        }
    }

    fn now(&self) -> u64 {
        // 584 years.
        self.settings.began.elapsed().as_nanos() as u64
    }

    fn tell(&mut self, event: &Event) {
        if let Some(why) = &mut self.why {
            why.event(event);
        }
        self.put(event);
    }

    fn put(&mut self, event: &Event) {
        self.unwritten = self.outputs.buffered;
        if self.failed.is_none()
            && let Err(e) = self.outputs.sink.event(event)
        {
            self.failed = Some(e);
        }
    }

    fn occurred(&mut self, task: &Task, what: What) {
        let event = Event { at_ns: self.now(), pid: task.process(), tid: task.tid(), what };
        self.tell(&event);
    }

    /// Between calls that are wanted.
    fn onward(&self) -> Resume {
        if self.settings.filter.is_some() { Resume::Free } else { Resume::ToSyscall }
    }

    fn entered(&mut self, task: &Task, stop: &Halted, raw: tipstaff_trace::Call) -> Resume {
        if self.failed.is_some() {
            return self.onward();
        }
        if self.open.get(&task.tid()).is_some_and(|open| (open.call.number, open.call.raw) == (raw.number, raw.args)) {
            // Of a guest's tracer that waits: it is entered again before it has returned.
            return Resume::ToSyscall;
        }
        let shown = self.all || self.settings.show.contains(raw.arch, raw.number);
        let applied = self.inject(task, stop, &raw);
        if !shown && applied == Applied::default() {
            return self.onward();
        }
        let at_ns = self.now();
        let mut call = if self.outputs.bare {
            name_only(&raw)
        } else {
            with_world(&self.settings, stop, |world| tipstaff_decode::enter(raw.arch, raw.number, raw.args, world))
        };
        if shown && self.entries {
            let event = Event { at_ns, pid: task.process(), tid: task.tid(), what: What::Entered(call) };
            self.tell(&event);
            let What::Entered(told) = event.what else { return Resume::ToSyscall };
            call = told;
        }
        self.open.insert(task.tid(), Open { call, at_ns, shown, applied });
        self.hold(task, applied.delay_enter, Resume::ToSyscall)
    }

    /// Changes the call as the command line says.
    fn inject(&mut self, task: &Task, stop: &Halted, raw: &tipstaff_trace::Call) -> Applied {
        if !self.injecting {
            return Applied::default();
        }
        let Some(applied) = self.settings.injections.entered(task.tid(), raw.arch, raw.number) else {
            return Applied::default();
        };
        if let Some(result) = applied.result
            && let Ok(mut registers) = stop.registers()
        {
            // The kernel makes no call -1, and leaves the result register as it is.
            registers.set_number(-1);
            registers.set_result(result);
            // It died: the next wait says so.
            let _ = stop.set_registers(&registers);
        }
        if let Some(signal) = applied.signal {
            let _ = signal::kill_thread(task.process(), task.tid(), signal);
        }
        applied
    }

    fn hold(&mut self, task: &Task, delay: Option<std::time::Duration>, then: Resume) -> Resume {
        match delay {
            Some(delay) => {
                self.held.push((Instant::now() + delay, task.tid(), then));
                Resume::Hold
            }
            None => then,
        }
    }

    fn left(&mut self, task: &Task, stop: &Stopped<Left>) -> Resume {
        let value = stop.returned().value;
        if self.leaving && RESTARTS.contains(&value) {
            return self.onward();
        }
        let Some(mut open) = self.open.remove(&task.tid()) else { return self.onward() };
        let now = self.now();
        if self.outputs.bare {
            open.call.returned = Some(plain_result(value));
        } else {
            let settings = &self.settings;
            with_world(settings, stop, |world| tipstaff_decode::leave(&mut open.call, value, world));
        }
        if open.shown {
            let took_ns = now.saturating_sub(open.at_ns);
            let what = What::Returned { call: open.call, took_ns };
            let event = Event { at_ns: open.at_ns, pid: task.process(), tid: task.tid(), what };
            if let Some(why) = &mut self.why {
                let longer = with_world(&self.settings, stop, |world| Explain::longer(&event, world));
                why.event(longer.as_ref().unwrap_or(&event));
            }
            self.put(&event);
        }
        let onward = self.onward();
        self.hold(task, open.applied.delay_exit, onward)
    }

    fn signalled(&mut self, task: &Task, stop: &Stopped<SignalDelivery>) {
        let number = stop.signal();
        let wanted = self.settings.signals.as_ref().is_none_or(|set| set.contains(&number));
        if self.outputs.bare || !wanted {
            return;
        }
        // It died: the next wait says so.
        let Ok(info) = stop.info() else { return };
        let info = tipstaff_decode::siginfo(Arch::native().unwrap_or(Arch::X86_64), info.bytes());
        self.occurred(task, What::Signal { number, info });
    }

    fn forked(&mut self, task: &Task, stop: &Stopped<Forked>) {
        let child = stop.child();
        // Only a clone can make a thread.
        let thread = stop.fork_kind() == ForkKind::Clone && signal::thread_of(task.process(), child);
        let child_pid = if thread { task.process() } else { child };
        self.occurred(task, What::Forked { child, child_pid });
    }

    fn executed(&mut self, task: &Task, former_tid: i32) {
        if former_tid != task.tid()
            && let Some(open) = self.open.remove(&former_tid)
        {
            self.open.insert(task.tid(), open);
        }
        if self.settings.warn_set_user_id && is_set_user_id(task.process()) {
            self.settings.warn_set_user_id = false;
            say::note("traced without CAP_SYS_PTRACE, set-user-ID programs gain nothing");
        }
        let (path, argv) = if self.outputs.programs { program(task.process()) } else { Default::default() };
        self.occurred(task, What::Executed { former_tid, path, argv });
    }
}

impl Observer for Follow {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        match stop {
            // What it becomes is seen where the filter stops it.
            Stop::Entered(_) if self.settings.filter.is_some() => {}
            Stop::Entered(stop) => {
                let raw = *stop.call();
                return self.entered(task, stop, raw);
            }
            // Another filter's, newer than ours. Without its tracer the call fails with ENOSYS: seccomp(2).
            Stop::Seccomp(stop) if !self.is_ours(stop.call(), stop.data()) => {
                if let Ok(mut registers) = stop.registers() {
                    registers.set_number(-1);
                    registers.set_result(-38);
                    // It died: the next wait says so.
                    let _ = stop.set_registers(&registers);
                }
            }
            Stop::Seccomp(stop) => {
                let raw = *stop.call();
                return self.entered(task, stop, raw);
            }
            Stop::Left(stop) => return self.left(task, stop),
            Stop::Signal(stop) => self.signalled(task, stop),
            Stop::Group(stop) => {
                let signal = stop.signal();
                self.occurred(task, What::Stopped { signal });
            }
            Stop::Forked(stop) => self.forked(task, stop),
            Stop::Executed(stop) => {
                let former = stop.former();
                self.executed(task, former);
            }
            Stop::Interrupted(_) | Stop::VforkDone(_) | Stop::Exiting(_) => {}
        }
        Resume::AsBefore
    }

    fn on_attach(&mut self, task: &Task) {
        self.occurred(task, What::Attached);
    }

    fn on_end(&mut self, task: &Task, end: End) {
        if self.first == Some(task.tid()) {
            self.first_end = Some(end);
        }
        let open = self.open.remove(&task.tid());
        if let Some(open) = open.filter(|open| open.shown && end != End::Detached) {
            let took_ns = self.now().saturating_sub(open.at_ns);
            let what = What::Returned { call: open.call, took_ns };
            self.tell(&Event { at_ns: open.at_ns, pid: task.process(), tid: task.tid(), what });
        }
        match end {
            End::Exited(status) => self.occurred(task, What::Exited { status }),
            End::Killed { signal, core } => self.occurred(task, What::Killed { signal, core }),
            End::Detached => self.occurred(task, What::Detached),
            // The exec that took its place is an event; of a lost one nothing is known.
            End::Replaced { .. } | End::Lost => {}
        }
    }
}

impl Front for Follow {
    fn is_ours(&self, _: &tipstaff_trace::Call, data: u16) -> bool {
        self.settings.filter == Some(data)
    }

    fn awaits(&self, tid: i32) -> bool {
        self.open.contains_key(&tid)
    }

    fn judged(&mut self, task: &Task, stop: &mut Stop) -> Option<Resume> {
        // A tracer of its own has seen it, and may have changed it or kept it from being made.
        let now = stop.call_now()?;
        let call = if now.number == SKIPPED { *stop.call()? } else { now };
        Some(self.entered(task, stop, call))
    }

    fn decides(&self) -> bool {
        false
    }
}

fn with_world<T>(settings: &Settings, stop: &Halted, decode: impl FnOnce(&World<'_>) -> T) -> T {
    let memory = TraceeMemory(stop.memory());
    let files = TraceeFiles(stop.tid());
    decode(&World {
        memory: &memory,
        files: settings.fds.then_some(&files),
        string_limit: settings.string_limit,
        list_limit: settings.list_limit,
    })
}

/// A call for outputs that only count.
fn name_only(raw: &tipstaff_trace::Call) -> Call {
    let name = raw.name().map_or_else(|| format!("syscall_{:#x}", raw.number).into(), Into::into);
    Call { arch: raw.arch, number: raw.number, name, raw: raw.args, args: Vec::new(), returned: None }
}

fn plain_result(value: i64) -> Returned {
    let failed = (-4095..0).contains(&value);
    // The kernel's own errnos, which mean a restart, have no name here.
    let errno = failed.then(|| errno::name(-value as i32).unwrap_or("ERESTART"));
    Returned { value, errno, shown: None }
}
