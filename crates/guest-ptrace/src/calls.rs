//! ptrace(2), called by a guest.

use tipstaff_abi::errno::{EIO, EPERM, ESRCH};
use tipstaff_sys::ptrace::{self, Go};
use tipstaff_sys::signal;
use tipstaff_trace::seam::{Engine, Stopping};
use tipstaff_trace::{Registers, Resume, Stop as Real, Task, Tracer};

use crate::access;
use crate::machine::{Step, Stop, Tracee};
use crate::mediator::{Asking, Mediator, Todo};
use crate::moves::Move;
use crate::names;
use crate::request::{self, Request};
use crate::signals::{SI_KERNEL, SIGSTOP, from_tracer};

const SIGKILL: i32 = 9;

const fn failed(errno: u16) -> i64 {
    -(errno as i64)
}

/// What a request has come to so far.
enum Outcome {
    Returns(i64),
    /// The kernel is asked about it first.
    Asks(Box<Asking>),
    /// It returns when another task has stopped.
    Later,
    /// The kernel answers it.
    Native,
}

impl Mediator {
    pub(crate) fn act_on(&mut self, todo: Todo, tracer: &mut Tracer, engine: &mut dyn Engine) {
        match todo {
            Todo::Request(caller) => {
                let Some(registers) = tracer.held(caller).and_then(|stop| stop.registers().ok()) else { return };
                match self.request(caller, &registers, tracer, engine) {
                    Outcome::Returns(value) => self.reply(caller, value, tracer, engine),
                    Outcome::Asks(asking) => self.ask(caller, asking, tracer),
                    Outcome::Native => self.leave(caller, tracer, engine),
                    Outcome::Later => {}
                }
            }
            Todo::Granted(caller, asking) => match self.granted(caller, &asking, tracer) {
                Outcome::Returns(value) => self.reply(caller, value, tracer, engine),
                Outcome::Asks(_) | Outcome::Later | Outcome::Native => {}
            },
            Todo::Reply(caller, value) => self.reply(caller, value, tracer, engine),
            Todo::Buried(tid) => tracer.bury(tid),
            // Another of its process stops first, and has not been seen yet.
            Todo::Grouped(tid) if self.machine.follows(tid) && tracer.held(tid).is_some() => self.grouped.push(tid),
            Todo::Grouped(tid) => tracer.settle(tid, |task, stop| match stop {
                Real::Group(group) => {
                    let stopping = Stopping { task, awaited: engine.awaits(tid) };
                    self.show(stopping, Stop::Group(group.signal()), false, Resume::AsBefore)
                }
                // It was killed in it, and is shown another since.
                _ => Resume::Hold,
            }),
            Todo::Opened(tid, value, opening) => self.opened(tid, value, opening, tracer, engine),
            Todo::Orphan(target, stop) => {
                match stop {
                    Some((from, signal)) => self.resume(target, Go::Free, signal, from, tracer, engine),
                    None => drop(self.leftover.insert(target)),
                }
                self.refresh(target);
            }
        }
    }

    /// Ends the call that a thread is held in, at its entry or, when the kernel was asked, at its return.
    fn reply(&mut self, caller: i32, value: i64, tracer: &mut Tracer, engine: &mut dyn Engine) {
        let number = self.numbers.ptrace.cast_signed();
        tracer.settle(caller, |task, stop| {
            let Ok(mut registers) = stop.registers() else { return Resume::AsBefore };
            if matches!(stop, Real::Left(_)) {
                registers.set_number(number);
                registers.set_result(value);
                let _ = stop.set_registers(&registers);
                let resume = engine.returned(task, stop);
                return self.shown_exit(Stopping { task, awaited: engine.awaits(caller) }, stop, resume);
            }
            let stopping = Stopping { task, awaited: engine.awaits(caller) };
            self.answer(stopping, stop, registers, value, Resume::Free)
        });
    }

    /// The call that a thread is held before is made as it is.
    fn leave(&mut self, caller: i32, tracer: &mut Tracer, engine: &dyn Engine) {
        // It may be an attach, and then there is one more to wait for.
        if let Some(process) = tracer.tasks().get(caller).map(Task::process) {
            self.has_child(process);
        }
        tracer.settle(caller, |task, _| self.go(Stopping { task, awaited: engine.awaits(caller) }, Resume::Free));
    }

    fn ask(&mut self, caller: i32, asking: Box<Asking>, tracer: &mut Tracer) {
        let mut registers = asking.registers;
        let asked = access::ask(&mut registers, self.arch);
        self.asking.insert(caller, asking);
        tracer.settle(caller, |_, stop| {
            if !asked || stop.set_registers(&registers).is_err() {
                return Resume::Kill;
            }
            Resume::ToSyscall
        });
    }

    fn request(&mut self, caller: i32, registers: &Registers, tracer: &mut Tracer, engine: &mut dyn Engine) -> Outcome {
        let arg = |index| registers.arg(self.arch, index);
        let (number, pid, address, data) = (arg(0), arg(1) as i32, arg(2), arg(3));
        let (request, _) = request::of(number);
        let Some(process) = tracer.tasks().get(caller).map(Task::process) else { return Outcome::Later };
        match request {
            Request::TraceMe => return self.trace_me(caller, process, tracer),
            // get_robust_list(2) takes 0 for the caller.
            Request::Attach | Request::Seize if pid <= 0 => return Outcome::Returns(failed(ESRCH)),
            Request::Attach | Request::Seize => {
                let target = self.names.find(caller, pid, tracer.tasks().iter().map(Task::tid));
                if target.is_none() && self.beyond {
                    return Outcome::Native;
                }
                let mut options = 0;
                if request == Request::Seize && target.is_some() {
                    if address != 0 {
                        return Outcome::Returns(failed(EIO));
                    }
                    match request::options(data, EIO.into()) {
                        Ok(asked) => options = asked,
                        Err(errno) => return Outcome::Returns(-i64::from(errno)),
                    }
                }
                if target.and_then(|tid| tracer.tasks().get(tid)).is_some_and(|task| task.process() == process) {
                    return Outcome::Returns(failed(EPERM));
                }
                return Outcome::Asks(Box::new(Asking {
                    registers: *registers,
                    target,
                    seize: request == Request::Seize,
                    options,
                }));
            }
            _ => {}
        }
        let target = self.machine.called(caller, pid);
        if target.is_none() && self.beyond {
            return Outcome::Native;
        }
        let step = self.machine.request(caller, number, target, address, data);
        let Some(target) = target else { return Outcome::Returns(failed(ESRCH)) };
        Outcome::Returns(match step {
            Step::Done(value) => value,
            Step::Move(request) => match self.machine.tracee(target) {
                Some(tracee) => {
                    tracer.take_turns(caller, target);
                    let value = Move { caller, target, address, data, mark: self.mark }.make(request, tracee);
                    // It may have moved registers.
                    if let Some(stop) = tracer.held(target) {
                        stop.forget_registers();
                    }
                    value
                }
                None => failed(ESRCH),
            },
            Step::Interrupt => {
                let _ = ptrace::interrupt(target);
                0
            }
            Step::Kill => {
                // For the thread, as the kernel has it: one that is about to end anyway takes nobody along.
                if let Some(process) = tracer.tasks().get(target).map(Task::process) {
                    let _ = signal::kill_thread(process, target, SIGKILL);
                }
                0
            }
            // Killed in the meantime, which nobody has told us yet.
            _ if tracer.held(target).is_none() => failed(ESRCH),
            Step::Listen => {
                tracer.release(target, Resume::Listen);
                0
            }
            Step::Resume { go, signal, from } => {
                self.resume(target, go, signal, from, tracer, engine);
                self.refresh(target);
                0
            }
            Step::Detach { signal, from } => {
                self.resume(target, Go::Free, signal, from, tracer, engine);
                self.refresh(target);
                0
            }
        })
    }

    /// Ends a stop that a guest's tracer stood at.
    fn resume(&mut self, target: i32, go: Go, signal: i32, from: Stop, tracer: &mut Tracer, engine: &mut dyn Engine) {
        let traced = self.machine.tracee(target).map(|tracee| tracee.tracer);
        match (from, traced) {
            // Now the call is what the guests want, and the handlers are asked.
            (Stop::Seccomp, _) if self.service.is_some() && self.asks_listener_again(target, tracer) => {}
            (Stop::Seccomp, _) => {
                engine.judge(tracer, target, &mut |stopping, stop, resume| self.judged(stopping, stop, resume));
            }
            // So it is where every call stops, at its entry; and there the kernel takes a signal: ptrace_report_syscall().
            (Stop::Entry, _) if self.decides_at_entry(target) => {
                engine.judge(tracer, target, &mut |stopping, stop, resume| {
                    let process = stopping.task.process();
                    match self.judged(stopping, stop, resume) {
                        Resume::ToSyscall => Resume::Exactly { go: Go::Syscall, signal },
                        Resume::Exactly { go, .. } => Resume::Exactly { go, signal },
                        other => {
                            if signal != 0 {
                                let _ = signal::kill_thread(process, target, signal);
                            }
                            other
                        }
                    }
                });
            }
            (Stop::Group(_), None) => {
                self.leftover.insert(target);
                tracer.release(target, Resume::AsBefore);
            }
            _ => {
                if from == Stop::Event(ptrace::event::EXIT) {
                    self.leaves(target);
                }
                if let (Stop::Signal(was), true) = (from, signal != 0)
                    && signal != was
                {
                    // Whoever let go of it is its tracer for the last time.
                    let sender = traced.unwrap_or(target);
                    let info = from_tracer(signal, self.names.seen(target, sender), names::uid(target, sender));
                    if let Some(Real::Signal(stop)) = tracer.held(target) {
                        let _ = stop.set_info(&info);
                    }
                }
                let go = if engine.awaits(target) && matches!(go, Go::Free | Go::Step | Go::Block) {
                    Go::Syscall
                } else {
                    // A signal that has a handler goes there first.
                    if signal == 0 || go == Go::Free { self.real(target, go) } else { go }
                };
                tracer.release(target, Resume::Exactly { go, signal });
            }
        }
    }

    /// A thread that a guest's tracer was shown at the entry of a call is about to make it.
    fn decides_at_entry(&mut self, tid: i32) -> bool {
        self.every && !self.unmade.remove(&tid)
    }

    fn trace_me(&mut self, caller: i32, process: i32, tracer: &Tracer) -> Outcome {
        if self.machine.tracee(caller).is_some() || self.lone.contains(&caller) {
            return Outcome::Returns(failed(EPERM));
        }
        let Some(parent) = names::parent(caller) else { return Outcome::Returns(failed(ESRCH)) };
        if tracer.tasks().get(parent).is_none() {
            if self.beyond && parent != tipstaff_sys::ids::pid() {
                // Who may wait for it, and cannot have it.
                return Outcome::Native;
            }
            // Outside the box. It would never wait for us.
            self.lone.insert(caller);
            return Outcome::Returns(0);
        }
        if !access::may_be_traced_by(caller, parent) {
            return Outcome::Returns(failed(EPERM));
        }
        // The thread that made this process, while it lives.
        let leader = tracer.tasks().get(process).and_then(Task::parent);
        let maker = leader.filter(|&maker| tracer.tasks().get(maker).is_some_and(|task| task.process() == parent));
        self.attach((caller, process), (maker.unwrap_or(parent), parent), false, 0, false);
        Outcome::Returns(0)
    }

    fn attach(
        &mut self,
        (tid, process): (i32, i32),
        (tracer, tracer_process): (i32, i32),
        seized: bool,
        options: u32,
        stopped: bool,
    ) {
        let tracee = Tracee {
            process,
            tracer,
            tracer_process,
            seized,
            options,
            mode: Go::Free,
            stop: None,
            listening: false,
            code: None,
            trap: 0,
            interrupted: false,
            stopping: false,
            leads: false,
            grouped: stopped,
            known: stopped,
            fresh: false,
            child: process == tid && names::parent(tid) == Some(tracer_process),
            number: self.names.seen(tracer, tid),
            other: 0,
            since: 0,
            uid: names::uid(tracer, tid),
            usage: [0; 18],
        };
        self.leftover.remove(&tid);
        self.machine.attach(tid, tracee);
        self.refresh(tid);
    }

    /// The kernel has nothing against it.
    fn granted(&mut self, caller: i32, asking: &Asking, tracer: &mut Tracer) -> Outcome {
        // Nothing outside the box is there.
        let Some(target) = asking.target else { return Outcome::Returns(failed(EPERM)) };
        let Some(by) = tracer.tasks().get(caller).map(Task::process) else { return Outcome::Later };
        let Some((process, stopped)) = tracer.tasks().get(target).map(|task| (task.process(), task.is_stopped()))
        else {
            return Outcome::Returns(failed(ESRCH));
        };
        if self.machine.tracee(target).is_some() || self.lone.contains(&target) {
            return Outcome::Returns(failed(EPERM));
        }
        if let Some(Real::Left(_)) = tracer.held(caller) {
            // What was asked in between is forgotten.
            if let Some(stop) = tracer.held(caller) {
                let _ = stop.set_registers(&asking.registers);
            }
        }
        self.attach((target, process), (caller, by), asking.seize, asking.options, stopped);
        if !asking.seize {
            self.send_thread(process, target, SIGSTOP, SI_KERNEL, [0; 2]);
        }
        if stopped {
            // It comes into a stop that requests can be made in before the call returns: JOBCTL_TRAPPING.
            self.trapping.insert(target, caller);
            let _ = ptrace::interrupt(target);
            return Outcome::Later;
        }
        Outcome::Returns(0)
    }
}
