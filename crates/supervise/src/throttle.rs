//! A share of the CPUs without a cpu controller: an account of CPU time that fills at the asked rate. A box that has used it up is
//! stopped until there is some again. What it used beyond is taken from what comes next, so that the mean is right whenever the
//! stop came a little late; what it leaves unused is worth one period.

const MS: u64 = 1_000_000;
/// A program that uses what it may runs and stands once in this time.
const PERIOD_NS: u64 = 100 * MS;
/// Nothing is looked at more often than this.
const SHORTEST_NS: u64 = MS;
/// A program that sleeps is looked at so rarely.
const LONGEST_NS: u64 = 50 * MS;

/// The account of one box.
#[derive(Debug)]
pub(crate) struct Throttle {
    percent: u64,
    cpus: u64,
    /// Nanoseconds of CPU that may be used.
    left: i64,
    /// When the account was last looked at, and what had been used then.
    last: (u64, u64),
    pause: u64,
    /// The box shall stand.
    pub stands: bool,
}

impl Throttle {
    /// `now` is CLOCK_MONOTONIC in nanoseconds.
    pub fn new(percent: u64, cpus: u64, now: u64) -> Self {
        let mut throttle = Self { percent, cpus, left: 0, last: (now, 0), pause: SHORTEST_NS, stands: false };
        throttle.left = throttle.slice() / 2;
        throttle
    }

    /// What one period gives.
    fn slice(&self) -> i64 {
        (PERIOD_NS * self.percent / 100).cast_signed()
    }

    /// Takes note of what has been used. When to look again; [`Throttle::stands`] says what the box shall do until then.
    pub fn look(&mut self, now: u64, used: u64) -> u64 {
        let (then, before) = self.last;
        let spent = used.saturating_sub(before);
        let earned = now.saturating_sub(then).saturating_mul(self.percent) / 100;
        self.last = (now, used.max(before));
        let left = self.left.saturating_add(earned.min(i64::MAX as u64).cast_signed());
        self.left = left.min(self.slice()).saturating_sub(spent.min(i64::MAX as u64).cast_signed());
        // Half a period's worth in hand lets it run: shorter turns cost more signals, longer ones are felt.
        let enough = self.slice() / 2;
        self.stands = if self.stands { self.left < enough } else { self.left <= 0 };
        if self.stands {
            let missing = (enough - self.left).max(0).cast_unsigned();
            return now + (missing * 100 / self.percent).max(SHORTEST_NS);
        }
        // Used up at the earliest when all CPUs burn.
        let earliest = self.left.max(0).cast_unsigned() / self.cpus;
        self.pause = if spent * 20 < now.saturating_sub(then) * self.percent / 100 {
            (self.pause * 2).min(LONGEST_NS)
        } else {
            SHORTEST_NS
        };
        now + earliest.max(self.pause).max(SHORTEST_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `burners` tasks on two CPUs for two seconds; what they got, in percent of one CPU.
    fn share(percent: u64, burners: u64, late: u64) -> u64 {
        let mut throttle = Throttle::new(percent, 2, 0);
        let (mut now, mut used) = (0, 0);
        let mut next = throttle.look(now, used);
        while now < 2000 * MS {
            let step = next.max(now + 1) + late - now;
            used += if throttle.stands { 0 } else { step * burners.min(2) };
            now += step;
            next = throttle.look(now, used);
        }
        used * 100 / now
    }

    #[test]
    fn the_share_is_what_was_asked_for_however_late_the_stops_come() {
        for percent in [5, 10, 50, 90, 150] {
            for burners in [1, 4] {
                for late in [0, MS, 5 * MS] {
                    let got = share(percent, burners, late);
                    let right = percent.min(100 * burners);
                    assert!(got.abs_diff(right) * 100 <= right * 20, "{percent} %, {burners}, {late}: {got} %");
                }
            }
        }
    }

    #[test]
    fn a_program_that_sleeps_is_never_stopped_and_seldom_looked_at() {
        let mut throttle = Throttle::new(10, 2, 0);
        let (mut now, mut looks) = (0, 0);
        while now < 2000 * MS {
            now = throttle.look(now, now / 1000);
            looks += 1;
            assert!(!throttle.stands);
        }
        assert!(looks < 60, "{looks} looks");
    }
}
