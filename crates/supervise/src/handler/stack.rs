//! Handlers in their order.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tipstaff_abi::{Arch, SyscallSet, Sysno, errno};

use super::{Action, Deferred, Entry, Handler, Return, Rewriter};

/// The handlers of one box, in the order in which they are asked.
#[derive(Default)]
pub struct Handlers {
    seats: Vec<Seat>,
}

struct Seat {
    who: Who,
    wants: SyscallSet,
    returns: SyscallSet,
}

enum Who {
    Handler(Box<dyn Handler>),
    Rewriter(Box<dyn Rewriter>),
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.seats.iter().map(Seat::name)).finish()
    }
}

/// What came of asking.
pub(crate) struct Asked {
    pub verdict: Verdict,
    /// Somebody wants to see the return.
    pub shown: bool,
    /// Number or arguments were changed.
    pub changed: bool,
    /// Somebody read guest memory before the decision.
    pub looked: bool,
    /// Who panicked, if anybody did.
    pub fault: Option<String>,
}

/// What is to be done.
pub(crate) enum Verdict {
    Make,
    Errno { errno: u16, by: String },
    Return(i64),
    Kill { by: String },
    Defer { deferred: Deferred, by: String },
}

impl Seat {
    fn name(&self) -> &str {
        match &self.who {
            Who::Handler(handler) => handler.name(),
            Who::Rewriter(rewriter) => rewriter.name(),
        }
    }
}

impl Handlers {
    /// Adds one that decides.
    pub fn push(&mut self, handler: Box<dyn Handler>, arch: Arch) {
        let wants = handler.wants(arch);
        self.seats.push(Seat { wants, returns: SyscallSet::new(arch), who: Who::Handler(handler) });
    }

    /// Adds one that changes calls too.
    pub fn push_rewriter(&mut self, rewriter: Box<dyn Rewriter>, arch: Arch) {
        let (wants, returns) = (rewriter.wants(arch), rewriter.returns(arch));
        self.seats.push(Seat { wants, returns, who: Who::Rewriter(rewriter) });
    }

    /// What all of them want to see.
    #[must_use]
    pub fn wants(&self, arch: Arch) -> SyscallSet {
        self.seats.iter().fold(SyscallSet::new(arch), |all, seat| all.union(&seat.wants))
    }

    pub(crate) fn ask(&mut self, entry: &mut Entry<'_>) -> Asked {
        let (mut shown, mut fault) = (false, None);
        let mut verdict = Verdict::Make;
        for seat in &mut self.seats {
            let number = Sysno(entry.trap.number);
            if !seat.wants.contains(number) || seat.wants.arch() != entry.trap.arch {
                continue;
            }
            shown |= seat.returns.contains(number);
            let answer = catch_unwind(AssertUnwindSafe(|| match &mut seat.who {
                Who::Handler(handler) => handler.on_syscall(&mut entry.trap),
                Who::Rewriter(rewriter) => rewriter.on_entry(entry),
            }));
            let by = seat.name().to_owned();
            verdict = match answer {
                Ok(Action::Pass) => continue,
                Ok(Action::Allow) => Verdict::Make,
                Ok(Action::Errno(errno)) => Verdict::Errno { errno: errno.clamp(1, 4095), by },
                Ok(Action::Return(value)) => Verdict::Return(value),
                Ok(Action::Kill) => Verdict::Kill { by },
                Ok(Action::Defer(deferred)) => Verdict::Defer { deferred, by },
                Err(panic) => {
                    fault = Some(format!("handler {by}: {}", words(&*panic)));
                    Verdict::Errno { errno: errno::EPERM, by }
                }
            };
            break;
        }
        Asked { verdict, shown, changed: entry.changed, looked: entry.trap.looked.get(), fault }
    }

    /// Shows a return; in the reverse order, so that whoever changed the arguments last sees the result first.
    pub(crate) fn show(&mut self, returned: &mut Return<'_>) -> Option<String> {
        let number = Sysno(returned.trap.number);
        let mut fault = None;
        for seat in self.seats.iter_mut().rev().filter(|seat| seat.returns.contains(number)) {
            if let Who::Rewriter(rewriter) = &mut seat.who
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| rewriter.on_return(returned)))
            {
                fault = Some(format!("handler {}: {}", rewriter.name(), words(&*panic)));
                // What it would have hidden or changed is not shown as it is.
                returned.set_value(-i64::from(errno::EPERM));
            }
        }
        fault
    }
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked")
}
