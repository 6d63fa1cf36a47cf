//! How often the box's memory is looked at.
//!
//! A look is due before what is left could have been filled: the pause is what is left, divided by how fast pages can be had. What looking
//! may cost is bounded: one thirtieth of a CPU on the long run, saved up for [`BURST`] while there was little to do, so that a box
//! that grows towards its limit is looked at as often as it takes.

/// Bytes per nanosecond and CPU that no box was seen to exceed: huge pages and fallocate(2) of a memfd give 8 GB/s on a CPU of 2024.
pub(super) const RATE: u64 = 8;
/// Looks may use one in this many nanoseconds of a CPU.
const SHARE: u64 = 30;
/// CPU time that can be saved up, in nanoseconds.
const BURST: i64 = 100_000_000;
/// The shortest and the longest pause, in nanoseconds.
const SHORTEST: u64 = 200_000;
const LONGEST: u64 = 50_000_000;

/// What may be spent on looks, and was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    saved: i64,
    at: u64,
    last: u64,
}

impl Pace {
    pub fn new(now: u64) -> Self {
        Self { saved: BURST, at: now, last: 0 }
    }

    /// There is something saved up: a look that nobody needs at once may be made.
    pub fn is_rich(&self) -> bool {
        self.saved > BURST / 2
    }

    /// After a look at `now` that took `cost` nanoseconds of CPU and found `bytes`: when to look again, in nanoseconds from now.
    pub fn next(&mut self, now: u64, cost: u64, bytes: u64, limit: Option<u64>, cpus: u64) -> u64 {
        let passed = now.saturating_sub(self.at);
        self.at = now;
        let signed = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
        self.saved = self.saved.saturating_add(signed(passed / SHARE)).min(BURST).saturating_sub(signed(cost));
        let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(bytes));
        let safe = (left / (RATE * cpus)).clamp(SHORTEST, LONGEST);
        let affordable = (cost * SHARE).clamp(SHORTEST, LONGEST);
        let soon = reaches(bytes.saturating_sub(self.last), passed, affordable, left);
        self.last = bytes;
        if self.saved < 0 {
            // Spent: the pause earns it back.
            safe.max(self.saved.unsigned_abs() * SHARE)
        } else if soon {
            safe
        } else {
            // Who stands still near the limit is not worth what was saved up for those who grow.
            safe.max(affordable)
        }
    }
}

/// Growing on like that, a box fills at least half of what is left during `pause`.
fn reaches(grown: u64, passed: u64, pause: u64, left: u64) -> bool {
    let wide = u128::from;
    wide(grown) * wide(pause) * 2 >= wide(left) * wide(passed.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_shrinks_with_what_is_left() {
        let mut pace = Pace::new(0);
        let far = pace.next(1, 10_000, 1 << 20, Some(256 << 20), 2);
        let near = pace.next(2, 10_000, 250 << 20, Some(256 << 20), 2);
        assert!(far > 10_000_000 && near < 1_000_000, "{far} {near}");
        assert_eq!(pace.next(3, 10_000, 257 << 20, Some(256 << 20), 2), SHORTEST);
    }

    #[test]
    fn dear_looks_use_a_thirtieth_in_the_long_run() {
        let (mut pace, mut now, mut spent) = (Pace::new(0), 0, 0);
        for look in 0..1000 {
            // Always growing fast, always near the limit.
            let bytes = (if look % 2 == 0 { 100 } else { 255 }) << 20;
            let pause = pace.next(now, 2_000_000, bytes, Some(256 << 20), 2);
            spent += 2_000_000;
            now += 2_000_000 + pause;
        }
        assert!(spent < now / 30 + BURST.unsigned_abs(), "{spent} of {now}");
    }

    #[test]
    fn fast_growth_is_looked_at_without_a_break() {
        let mut pace = Pace::new(0);
        let mut now = 0;
        for look in 0..9 {
            let pause = pace.next(now, 2_000_000, (250 << 20) + (look << 19), Some(256 << 20), 2);
            assert!(pause < 500_000, "{pause}");
            now += 2_000_000 + pause;
        }
    }

    #[test]
    fn slow_growth_near_the_limit_saves_for_later() {
        let mut pace = Pace::new(0);
        let mut now = 0;
        for look in 0..100 {
            let pause = pace.next(now, 2_000_000, (250 << 20) + look, Some(256 << 20), 2);
            now += 2_000_000 + pause;
        }
        assert!(pace.is_rich());
    }
}
