//! `memory_account = "exact"`: a request for memory that does not fit under the limit fails with ENOMEM.
//!
//! Nothing is added up and taken away. What counts is what the kernel has promised each address space, as proc_pid_smaps(5) tells it: private
//! writable mappings by their size (VM_ACCOUNT), reserved and read-only ones as far as pages of them are there, shared objects once by
//! their size, page tables and kernel stacks. So munmap(2), exit(2), execve(2) and a call that fails are in it, and fork(2) has copied it, without being
//! asked about; and no figure drifts, since each look starts anew. A look is made only when the last one's figure and what was allowed since
//! would pass the limit, or when the last one is old.
//!
//! What programs reserve is no use: PROT_NONE and MAP_NORESERVE mappings are not asked about; and what is put over a reservation in large
//! pieces (MAP_FIXED; mprotect(2) of what was PROT_NONE), as heaps and stacks of threads are, counts as far as its pages are there. The ranges of
//! those are the one thing that is kept here.
//!
//! This is an answer for programs that check what malloc(3) returns, and no fence: samples, or a control group, look at what is in use and
//! kill. So calls may be left to the kernel after their registers were read.

mod areas;
mod clerk;
mod ledger;
mod objects;
mod ranges;
mod request;
mod truth;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use tipstaff_abi::{Arch, SyscallSet, errno};
use tipstaff_sys::clock;

use crate::handler::{Action, Deferred, Handler, Later, Trap};
use crate::policy_fn::Restrict;
use clerk::Clerk;
use ledger::{Asked, Decision, Ledger};
use request::{CALLS, Request};

/// A decision that has not come by then is a refusal.
const DEADLINE: Duration = Duration::from_secs(2);

/// The first request that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct First {
    /// CLOCK_MONOTONIC, in nanoseconds.
    pub at_ns: u64,
    /// The limit in force, in bytes.
    pub limit: u64,
    /// What the box would have had, in bytes.
    pub observed: u64,
}

/// Whether requests were refused.
#[derive(Debug, Default)]
pub struct Shortage(Mutex<Option<First>>);

impl Shortage {
    pub(crate) fn first(&self) -> Option<First> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, limit: u64, observed: u64) {
        let now = First { at_ns: clock::monotonic_ns(), limit, observed };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(now);
    }
}

/// Refuses with ENOMEM what does not fit.
#[derive(Debug)]
pub struct Account {
    shared: Arc<Shared>,
    /// Looks, away from the session's loop; started when it is needed first.
    clerk: Option<Clerk>,
}

#[derive(Debug)]
struct Shared {
    ledger: Mutex<Ledger>,
    shortage: Arc<Shortage>,
    restrict: Restrict,
}

impl Account {
    /// For a box that may have `limit` bytes, or what `restrict` says later; and where refusals are noted.
    #[must_use]
    pub fn new(limit: u64, arch: Arch, restrict: Restrict) -> (Self, Arc<Shortage>) {
        let shortage = Arc::new(Shortage::default());
        let ledger = Mutex::new(Ledger::new(limit, arch));
        (Self { shared: Arc::new(Shared { ledger, shortage: Arc::clone(&shortage), restrict }), clerk: None }, shortage)
    }
}

impl Handler for Account {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, CALLS.iter().copied())
    }

    fn on_start(&mut self, ancestor: i32) {
        self.shared.lock().keeper = ancestor;
    }

    fn on_syscall(&mut self, trap: &mut Trap<'_>) -> Action {
        let Some(request) = trap.name().and_then(|name| Request::of(name, trap.args())) else { return Action::Pass };
        let tid = trap.tid();
        let ledger = match self.shared.ledger.try_lock() {
            Ok(ledger) => Some(ledger),
            Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        // A first thread has its process's number: nothing has to be read.
        let is_first = ledger.as_ref().is_some_and(|ledger| ledger.knows(tid));
        let asked = Asked { tid, pid: if is_first { tid } else { trap.pid() }, request };
        // In the loop only what needs no look: one at many processes, or many mappings, takes its time.
        if ledger.is_some_and(|mut ledger| ledger.at_once(&asked)) {
            return Action::Pass;
        }
        if self.clerk.is_none() {
            self.clerk = Clerk::start(Arc::clone(&self.shared)).ok();
        }
        // brk(2) has no errno: it returns the break, and 0 is below every one.
        let otherwise = if matches!(request, Request::Break(_)) { 0 } else { -i64::from(errno::ENOMEM) };
        let Some(clerk) = &self.clerk else { return Action::Return(otherwise) };
        let desk = clerk.desk();
        Action::Defer(Deferred {
            work: Later::Own(Box::new(move |reply| desk.ask(asked, reply))),
            deadline: DEADLINE,
            otherwise: Box::new(Action::Return(otherwise)),
            late: None,
            recall: None,
        })
    }

    fn name(&self) -> &str {
        "limits.memory_account"
    }
}

impl Shared {
    /// What a panic has left half done, the next look mends.
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: it depends on calls that are under way. Not so when this is the `last` time that somebody asks: then they count as made.
    fn decide(&self, asked: &Asked, last: bool) -> Option<Action> {
        let mut ledger = self.lock();
        if let Some((limit, _)) = self.restrict.memory() {
            ledger.limit = limit;
        }
        let observed = match ledger.decide(asked) {
            Decision::Allow => return Some(Action::Pass),
            Decision::Refuse(observed) => observed,
            Decision::Doubt if last => ledger.limit.saturating_add(1),
            Decision::Doubt => return None,
        };
        self.shortage.note(ledger.limit, observed);
        // As the kernel would: no rule was broken, so this is no denial. On failure brk(2) returns the break as it is (C library/kernel differences).
        Some(Action::Return(match asked.request {
            Request::Break(_) => ledger.break_of(asked.pid).cast_signed(),
            _ => -i64::from(errno::ENOMEM),
        }))
    }
}
