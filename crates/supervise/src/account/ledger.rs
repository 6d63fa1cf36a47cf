//! The account of one box, and the decisions that rest on it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use tipstaff_abi::Arch;
use tipstaff_policy::lower::FIXED_FROM;

use super::areas;
use super::objects;
use super::ranges::Ranges;
use super::request::{CALLS, Request, break_of, up};
use super::truth::{self, Key, PER_TABLE, Truth};
use crate::inflight::{has_run_on, is_done};
use crate::stat;

/// A look is good for this long, or for this many times what it has cost, whichever is longer: what grows without being asked about is seen at
/// the next.
const GOOD_FOR: Duration = Duration::from_millis(20);
const COSTS: u32 = 30;
/// After so many refusals in a row, what was found a moment ago is good enough.
const STORM: u64 = 16;
const MOMENT: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Allow,
    /// The box would have so many bytes.
    Refuse(u64),
    /// It depends on calls that are under way.
    Doubt,
}

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub tid: i32,
    pub pid: i32,
    pub request: Request,
}

/// A call that was allowed, by its caller's thread.
#[derive(Clone, Copy, Debug)]
struct Allowed {
    bytes: u64,
    /// The caller's CPU time when it was first seen to be in doubt, in nanoseconds.
    since_ns: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    pub limit: u64,
    pub keeper: i32,
    arch: Arch,
    device: String,
    /// No more than this has been asked for and found, in bytes.
    bound: u64,
    looked_at: Option<Instant>,
    /// What the last look took.
    cost: Duration,
    allowed: HashMap<i32, Allowed>,
    spaces: BTreeMap<Key, Ranges>,
    /// What each process asked brk(2) for last.
    breaks: HashMap<i32, u64>,
    full: Option<(Instant, u64)>,
    in_a_row: u64,
}

impl Ledger {
    pub fn new(limit: u64, arch: Arch) -> Self {
        Self {
            limit,
            keeper: 0,
            arch,
            device: objects::device(),
            bound: 0,
            looked_at: None,
            cost: Duration::ZERO,
            allowed: HashMap::new(),
            spaces: BTreeMap::new(),
            breaks: HashMap::new(),
            full: None,
            in_a_row: 0,
        }
    }

    /// Allows what can be allowed without a look. False: [`Self::decide`] tells.
    pub fn at_once(&mut self, asked: &Asked) -> bool {
        let bytes = match asked.request {
            Request::Over(start, end) => {
                self.reserved(asked.pid, start, end);
                0
            }
            Request::Writable(start, end) if end - start >= FIXED_FROM => return false,
            // What was asked for last may be a break of the program before an exec.
            Request::Break(to) => match self.breaks.get(&asked.pid) {
                Some(last) => up(to).saturating_sub(up(*last)),
                None => return false,
            },
            request => request.at_most(asked.tid),
        };
        let wanted = with_tables(bytes);
        if wanted > 0 && (self.is_old() || !self.knows(asked.pid) || self.bound.saturating_add(wanted) > self.limit) {
            return false;
        }
        self.bound += wanted;
        self.allow(asked, wanted);
        true
    }

    fn is_old(&self) -> bool {
        let good_for = GOOD_FOR.max(self.cost * COSTS);
        self.looked_at.is_none_or(|at| at.elapsed() > good_for)
    }

    /// The last look has seen this process: a fork has copied an account.
    pub fn knows(&self, pid: i32) -> bool {
        self.spaces.range((pid, 0)..=(pid, u64::MAX)).next().is_some()
    }

    fn reserved(&mut self, pid: i32, start: u64, end: u64) {
        let started = stat::of(pid).map_or(0, |stat| stat.start);
        self.spaces.entry((pid, started)).or_default().add(start, end);
    }

    /// Decides, with a look where it takes one.
    pub fn decide(&mut self, asked: &Asked) -> Decision {
        if let Request::Writable(start, end) = asked.request
            && end - start >= FIXED_FROM
            && areas::is_closed(asked.pid, start, end, &mut Vec::new())
        {
            // A heap, or the stack of a thread, that the caller has reserved.
            self.reserved(asked.pid, start, end);
            return Decision::Allow;
        }
        if let Some((at, least)) = self.full
            && self.in_a_row >= STORM
            && at.elapsed() < MOMENT
            && asked.request.at_most(asked.tid) >= least
        {
            self.in_a_row += 1;
            return Decision::Refuse(self.limit.saturating_add(least));
        }
        if self.at_once(asked) {
            return Decision::Allow;
        }
        self.weigh(asked)
    }

    /// Decides by what the kernel says now.
    fn weigh(&mut self, asked: &Asked) -> Decision {
        // Who asks is in no call that was allowed before.
        self.allowed.remove(&asked.tid);
        let (truth, under_way) = self.look(asked.pid);
        let wanted = with_tables(asked.request.exactly(asked.tid, asked.pid, &truth.areas));
        let sum = truth.bytes.saturating_add(wanted);
        self.bound = truth.bytes.saturating_add(under_way);
        if wanted == 0 || sum.saturating_add(under_way) <= self.limit {
            self.bound = self.bound.saturating_add(wanted);
            return self.allow(asked, wanted);
        }
        if sum <= self.limit {
            return Decision::Doubt;
        }
        self.in_a_row += 1;
        self.full = Some((Instant::now(), asked.request.at_most(asked.tid)));
        Decision::Refuse(sum)
    }

    fn allow(&mut self, asked: &Asked, bytes: u64) -> Decision {
        if bytes > 0 {
            self.in_a_row = 0;
        }
        if let Request::Break(to) = asked.request {
            self.breaks.insert(asked.pid, to);
        }
        if bytes > 0 {
            // It is this call that may be under way from now on, and no earlier one.
            self.allowed.insert(asked.tid, Allowed { bytes, since_ns: None });
        }
        Decision::Allow
    }

    /// What there is, and how much of what was allowed may not be in it yet.
    fn look(&mut self, caller: i32) -> (Truth, u64) {
        let begun = Instant::now();
        // What is done by now is seen by the look.
        let arch = self.arch;
        self.allowed.retain(|tid, allowed| !is_done(*tid, CALLS, arch) && !has_run_on(*tid, &mut allowed.since_ns));
        let truth = truth::look(self.keeper, caller, &self.device, &mut self.spaces);
        let spaces = &self.spaces;
        self.breaks.retain(|pid, _| spaces.range((*pid, 0)..=(*pid, u64::MAX)).next().is_some());
        self.looked_at = Some(Instant::now());
        self.cost = begun.elapsed();
        (truth, self.allowed.values().map(|allowed| allowed.bytes).sum())
    }

    /// The program break of a process.
    pub fn break_of(&self, pid: i32) -> u64 {
        break_of(pid, self.breaks.get(&pid).copied()).unwrap_or(0)
    }
}

/// Pages need pages of tables.
fn with_tables(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / PER_TABLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflight::tests::running;

    const MIB: u64 = 1 << 20;

    /// Nobody is below this process: all there is has been allowed.
    fn ledger(limit: u64) -> Ledger {
        Ledger { keeper: std::process::id().cast_signed(), ..Ledger::new(limit, Arch::X86_64) }
    }

    fn new(tid: i32, bytes: u64) -> Asked {
        Asked { tid, pid: tid, request: Request::New(bytes) }
    }

    #[test]
    fn what_is_under_way_leaves_a_doubt() {
        running(|tid| {
            let mut ledger = ledger(16 * MIB);
            assert_eq!(ledger.decide(&new(tid, 10 * MIB)), Decision::Allow);
            assert_eq!(ledger.decide(&new(i32::MAX, 10 * MIB)), Decision::Doubt);
            assert_eq!(ledger.decide(&new(i32::MAX, 4 * MIB)), Decision::Allow);
            assert!(matches!(ledger.decide(&new(i32::MAX, 17 * MIB)), Decision::Refuse(bytes) if bytes > 17 * MIB));
            assert_eq!(ledger.decide(&new(tid, 10 * MIB)), Decision::Allow, "who asks again is done");
        });
    }

    #[test]
    fn no_figure_is_kept_that_could_drift() {
        let mut ledger = ledger(16 * MIB);
        for _ in 0..1000 {
            assert_eq!(ledger.decide(&new(i32::MAX, 10 * MIB)), Decision::Allow, "nothing ever comes of it");
        }
        assert!(ledger.allowed.len() <= 1 && ledger.spaces.is_empty());
    }

    #[test]
    fn what_is_put_over_a_reservation_passes() {
        let mut ledger = ledger(MIB);
        let asked = Asked { tid: i32::MAX, pid: i32::MAX, request: Request::Over(0x1000, 0x1000 + (1 << 30)) };
        assert_eq!(ledger.decide(&asked), Decision::Allow);
        assert!(matches!(ledger.decide(&new(i32::MAX, 2 * MIB)), Decision::Refuse(_)));
        assert!(ledger.spaces.is_empty(), "who is gone has no account");
    }
}
