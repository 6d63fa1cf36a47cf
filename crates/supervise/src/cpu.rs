//! CPU time of the whole box: from its control group, else from the CPU clocks of its tasks and what their ends left in somebody's account.
//!
//! A process that is waited for leaves its time in its parent's account (`cutime` and `cstime` of proc_pid_stat(5)), or the keeper's. One whose parent ignores SIGCHLD leaves it
//! nowhere: the kernel keeps no such sum. So what was last seen of each process is remembered, and when it is gone somebody's account must have grown by
//! that; what stays missing is added. Of a life that fell between two looks nothing is known: the figure is a lower bound.

use std::collections::HashMap;

use tipstaff_cgroup::Cgroup;
use tipstaff_sys::clock;
use tipstaff_sys::keeper::Keeper;

use crate::tasks::Process;
use crate::{stat, tasks};

const MS: u64 = 1_000_000;
/// utime and stime of the waited-for are cut to clock ticks of 10 ms each: so much of a living process' account may not be seen.
const CUT_NS: i64 = 20 * MS as i64;
/// A time that has just left a clock is on its way to an account: the keeper may have to wait for a CPU in between. What is missing for so long, and at more
/// than one look, is missing.
const ON_ITS_WAY_NS: u64 = 50 * MS;
/// Pauses between two looks at a box whose children leave nothing behind, and at one where nothing is missing yet.
const SUSPICIOUS_NS: u64 = MS;
const PLAIN_NS: u64 = 20 * MS;
/// Looks get one part in so many of a CPU.
const SHARE: u64 = 30;

/// CPU time so far, never going back.
#[derive(Debug, Default)]
pub(crate) struct CpuAccount {
    highest: u64,
    balance: Balance,
    /// What a look takes.
    price: u64,
    spread: u64,
}

/// What has been seen of the processes, and what of it has come back.
#[derive(Debug, Default)]
struct Balance {
    /// By number, as they were at the last look.
    known: HashMap<i32, Seen>,
    /// What the keeper had reaped then.
    reaped: u64,
    /// Seen of those that are gone, less what the accounts have grown by. Negative where short lives were reaped that no look fell into.
    debt: i64,
    /// The least debt since then, and how many looks that is.
    window: Option<(u64, i64, u32)>,
    /// Is in nobody's account, and will not come back.
    lost: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// With the number it names one process.
    started: u64,
    own_ns: u64,
    waited_for_ns: u64,
}

impl CpuAccount {
    /// Total in nanoseconds.
    pub fn read(&mut self, keeper: &Keeper, cgroup: Option<&Cgroup>) -> u64 {
        if let Some(total) = cgroup.and_then(Cgroup::cpu_total_ns) {
            self.highest = self.highest.max(total);
            return self.highest;
        }
        let begun = clock::monotonic_ns();
        // Accounts before clocks: a child that ends in between is missed once, never counted twice.
        let reaped = reaped(keeper);
        let seen = tasks::below(keeper.pid()).iter().map(|process| (process.pid, seen(process))).collect();
        let now = clock::monotonic_ns();
        let gone = |pid, started| stat::of(pid).is_none_or(|stat| stat.start != started);
        let total = self.balance.look(now, reaped, seen, gone);
        self.price = now.saturating_sub(begun);
        self.highest = self.highest.max(total);
        self.highest
    }

    /// When to look again, at the latest, where no control group counts: in nanoseconds from now. Not at regular moments, between which a child could live.
    pub fn pause(&mut self) -> u64 {
        let usual = if self.balance.is_short() { SUSPICIOUS_NS } else { PLAIN_NS };
        let pause = usual.max(self.price * SHARE);
        // Numbers of a generator that nobody needs to trust (Knuth, MMIX): half to one and a half of it.
        self.spread = (self.spread ^ clock::monotonic_ns()).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        pause / 2 + (self.spread >> 33) % pause
    }

    /// The final total once everything has been reaped.
    pub fn settle(&mut self, keeper: &Keeper) -> u64 {
        let total = self.balance.settle(reaped(keeper));
        self.highest = self.highest.max(total);
        self.highest
    }
}

fn seen(process: &Process) -> Seen {
    let own_ns = clock::process_cpu_ns(process.pid).unwrap_or(0);
    Seen { started: process.started, own_ns, waited_for_ns: process.waited_for_ns }
}

fn reaped(keeper: &Keeper) -> u64 {
    let counted = keeper.counted();
    (counted.user_us + counted.system_us) * 1000
}

impl Balance {
    /// Takes in what is there; the total so far. `gone` is asked about those that were there before.
    fn look(&mut self, now: u64, reaped: u64, seen: HashMap<i32, Seen>, gone: impl Fn(i32, u64) -> bool) -> u64 {
        let before = std::mem::replace(&mut self.known, seen);
        let mut grown = reaped.saturating_sub(std::mem::replace(&mut self.reaped, reaped));
        for (pid, is) in &self.known {
            // A new one has waited for nobody who was seen before: whoever takes a child is older than it.
            if let Some(was) = before.get(pid).filter(|was| was.started == is.started) {
                grown += is.waited_for_ns.saturating_sub(was.waited_for_ns);
            }
        }
        let mut left = 0;
        for (pid, was) in before {
            if self.known.get(&pid).is_some_and(|is| is.started == was.started) {
                continue;
            }
            if gone(pid, was.started) {
                left += was.own_ns + was.waited_for_ns;
            } else {
                // A list of children that changes while it is read can leave some out: proc_pid_children(5).
                self.known.entry(pid).or_insert(was);
            }
        }
        self.debt += left.cast_signed() - grown.cast_signed();
        self.persist(now);
        let there: u64 = self.known.values().map(|is| is.own_ns + is.waited_for_ns).sum();
        self.reaped + there + self.lost
    }

    fn unseen(&self) -> i64 {
        CUT_NS * self.known.len() as i64
    }

    fn persist(&mut self, now: u64) {
        let (since, least, looks) = self.window.unwrap_or((now, self.debt, 0));
        let (least, looks) = (least.min(self.debt), looks + 1);
        self.window = Some((since, least, looks));
        if now.saturating_sub(since) >= ON_ITS_WAY_NS && looks > 2 {
            self.lost = self.lost.max(u64::try_from(least - self.unseen()).unwrap_or(0));
            self.window = Some((now, self.debt, 1));
        }
    }

    /// More has gone than has come back: looks more often miss less.
    fn is_short(&self) -> bool {
        self.lost > 0 || self.debt > self.unseen()
    }

    /// Nobody is left, and what was waited for is in the keeper's account.
    fn settle(&mut self, reaped: u64) -> u64 {
        let left: u64 = self.known.drain().map(|(_, was)| was.own_ns + was.waited_for_ns).sum();
        let grown = reaped.saturating_sub(std::mem::replace(&mut self.reaped, reaped));
        self.debt += left.cast_signed() - grown.cast_signed();
        self.lost = self.lost.max(u64::try_from(self.debt).unwrap_or(0));
        self.reaped + self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: i32 = 10;

    fn at(ms: u64) -> u64 {
        ms * MS
    }

    /// A parent with so much in its own clock and its account, and children by number and clock; milliseconds.
    fn there(own: u64, waited: u64, children: &[(i32, u64)]) -> HashMap<i32, Seen> {
        let one = |own, waited| Seen { started: 1, own_ns: at(own), waited_for_ns: at(waited) };
        let children = children.iter().map(|(pid, own)| (*pid, one(*own, 0)));
        children.chain([(SHELL, one(own, waited))]).collect()
    }

    fn really(_: i32, _: u64) -> bool {
        true
    }

    #[test]
    fn short_lives_that_nobody_takes_add_up() {
        let mut balance = Balance::default();
        // Every 10 ms another child is seen with 8 ms, and the parent's account never grows.
        let mut total = 0;
        for turn in 0..100 {
            total = balance.look(at(10 * turn), 0, there(1, 0, &[(20 + turn as i32, 8)]), really);
        }
        // 99 are gone, less what a look may not see of two accounts, and what is on its way.
        assert!((at(99 * 8 - 40 - 90)..=at(100 * 8 + 1)).contains(&total), "{total}");
        assert!(balance.is_short());
        // In the end nothing is on its way any more.
        assert_eq!(balance.settle(at(1)), at(100 * 8) + at(1), "the keeper has reaped the parent alone");
    }

    #[test]
    fn what_is_waited_for_is_counted_once() {
        let mut balance = Balance::default();
        let mut total = 0;
        for turn in 0..100 {
            // Cut to ticks, and the last one is on its way at each look.
            let waited = (8u64 * turn).saturating_sub(8) / 10 * 10;
            total = balance.look(at(10 * turn), 0, there(1, waited, &[(20 + turn as i32, 8)]), really);
            assert!(total <= at(8 * (turn + 1) + 1), "turn {turn}: {total}");
        }
        assert!(total >= at(770), "{total}");
        assert_eq!((balance.lost, balance.settle(at(801))), (0, at(801)));
    }

    #[test]
    fn what_no_look_has_seen_hides_nothing_of_what_comes_later_twice() {
        let mut balance = Balance::default();
        balance.look(0, 0, there(1, 0, &[]), really);
        // A second of children between two looks, all waited for.
        assert_eq!(balance.look(at(1000), 0, there(1, 1000, &[]), really), at(1001));
        assert!(!balance.is_short() && balance.debt == -at(1000).cast_signed());
        assert_eq!(balance.settle(at(1001)), at(1001));
    }

    #[test]
    fn whom_a_look_has_missed_is_not_lost() {
        let mut balance = Balance::default();
        let total = balance.look(0, 0, there(1, 0, &[(20, 500)]), really);
        for turn in 1..20 {
            assert_eq!(balance.look(at(20 * turn), 0, there(1, 0, &[]), |_, _| false), total, "it is still there");
        }
        balance.look(at(1000), 0, there(1, 0, &[(20, 510)]), really);
        assert_eq!((balance.lost, balance.debt), (0, 0));
    }

    #[test]
    fn an_orphan_goes_to_the_keeper_and_takes_its_account_along() {
        let mut balance = Balance::default();
        let mut family = there(1, 0, &[]);
        family.insert(20, Seen { started: 2, own_ns: at(30), waited_for_ns: at(40) });
        balance.look(0, 0, family, really);
        assert_eq!(balance.look(at(20), at(75), there(1, 0, &[]), really), at(76));
        assert_eq!(balance.debt, -at(5).cast_signed(), "what it did after the look");
    }

    #[test]
    fn pauses_are_irregular_and_bounded() {
        let mut cpu = CpuAccount::default();
        let pauses: Vec<u64> = (0..100).map(|_| cpu.pause()).collect();
        assert!(pauses.iter().all(|pause| (PLAIN_NS / 2..PLAIN_NS * 3 / 2).contains(pause)), "{pauses:?}");
        assert!(pauses.windows(2).any(|two| two[0].abs_diff(two[1]) > PLAIN_NS / 10), "{pauses:?}");
        cpu.balance.lost = 1;
        assert!((0..100).all(|_| cpu.pause() < 2 * SUSPICIOUS_NS));
        cpu.price = 10 * MS;
        assert!((0..100).all(|_| cpu.pause() >= SHARE * 10 * MS / 2), "a look at many takes its time");
    }
}
