//! CPU time of the whole box: from its control group, else from the CPU clocks of its tasks and what the keeper reaped.

use tipstaff_cgroup::Cgroup;
use tipstaff_sys::clock;
use tipstaff_sys::keeper::Keeper;

use crate::tasks;

/// CPU time so far, never going back.
#[derive(Debug, Default)]
pub(crate) struct CpuAccount {
    highest: u64,
    /// Seen in a task, and in nobody's account after its end: its parent ignored SIGCHLD.
    lost: u64,
    /// By how much the last look fell short: a child may just be on its way from its own clock to its parent's account.
    short: u64,
}

impl CpuAccount {
    /// Total in nanoseconds.
    pub fn read(&mut self, keeper: &Keeper, cgroup: Option<&Cgroup>) -> u64 {
        if let Some(total) = cgroup.and_then(Cgroup::cpu_total_ns) {
            self.highest = self.highest.max(total);
            return self.highest;
        }
        // Accounts before clocks: a child that ends in between is missed once, never counted twice.
        let mut sum = reaped(keeper);
        let processes = tasks::below(keeper.pid());
        sum += processes.iter().map(|process| process.waited_for_ns).sum::<u64>();
        sum += processes.iter().map(|process| clock::process_cpu_ns(process.pid).unwrap_or(0)).sum::<u64>();
        self.account(sum)
    }

    /// The final total once everything has been reaped.
    pub fn settle(&mut self, keeper: &Keeper) -> u64 {
        self.account(reaped(keeper))
    }

    fn account(&mut self, sum: u64) -> u64 {
        // `children waited for` is cut to clock ticks, so a sum may fall short by that without anything lost.
        const TICKS_CUT: u64 = 20_000_000;
        let short = self.highest.saturating_sub(sum + self.lost + TICKS_CUT);
        // Twice in a row: it is in nobody's account and will not come back.
        let lost = short.min(self.short);
        self.lost += lost;
        self.short = short - lost;
        self.highest = self.highest.max(sum + self.lost);
        self.highest
    }
}

fn reaped(keeper: &Keeper) -> u64 {
    let counted = keeper.counted();
    (counted.user_us + counted.system_us) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_vanished_unaccounted_stays_counted() {
        let mut cpu = CpuAccount::default();
        assert_eq!(cpu.account(500_000_000), 500_000_000);
        // A child with 400 ms is gone and in nobody's account, look after look.
        assert_eq!(cpu.account(100_000_000), 500_000_000);
        assert_eq!(cpu.account(100_000_000), 500_000_000);
        assert!(cpu.account(200_000_000) >= 580_000_000);
    }

    #[test]
    fn a_child_between_two_accounts_is_not_counted_twice() {
        let mut cpu = CpuAccount::default();
        assert_eq!(cpu.account(500_000_000), 500_000_000);
        // Missed once, then in its parent's account.
        assert_eq!(cpu.account(100_000_000), 500_000_000);
        assert_eq!(cpu.account(510_000_000), 510_000_000);
    }
}
