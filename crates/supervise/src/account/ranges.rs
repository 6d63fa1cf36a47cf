//! Address ranges in which a process has put mappings over what it had reserved before.

/// More of them are not kept: what is put there then counts as any other mapping.
const MOST: usize = 4096;

/// Ranges that do not overlap, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<Range>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u64,
    end: u64,
    /// A look has been made since: if nothing is mapped there now, nothing is under way either.
    old: bool,
}

impl Ranges {
    /// Adds one, and joins what it touches.
    pub fn add(&mut self, start: u64, end: u64) {
        let (mut start, mut end) = (start, end);
        if start >= end {
            return;
        }
        self.0.retain(|range| {
            let touches = range.start <= end && start <= range.end;
            if touches {
                start = start.min(range.start);
                end = end.max(range.end);
            }
            !touches
        });
        if self.0.len() < MOST {
            let at = self.0.partition_point(|range| range.start < start);
            self.0.insert(at, Range { start, end, old: false });
        }
    }

    /// How many bytes from `start` to `end` lie within.
    pub fn overlap(&self, start: u64, end: u64) -> u64 {
        let first = self.0.partition_point(|range| range.end <= start);
        let within = self.0[first..].iter().take_while(|range| range.start < end);
        within.map(|range| range.end.min(end) - range.start.max(start)).sum()
    }

    /// Forgets ranges in which nothing is mapped any more. `mapped`: whether something is, from one address to another.
    pub fn prune(&mut self, mapped: impl Fn(u64, u64) -> bool) {
        self.0.retain_mut(|range| {
            let keep = !range.old || mapped(range.start, range.end);
            range.old = true;
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_is_joined() {
        let mut ranges = Ranges::default();
        for (start, end) in [(10, 20), (40, 50), (20, 30), (30, 30)] {
            ranges.add(start, end);
        }
        assert_eq!((ranges.overlap(0, 100), ranges.0.len()), (30, 2));
        assert_eq!(ranges.overlap(15, 45), 20);
        assert_eq!(ranges.overlap(30, 40), 0);
        ranges.add(25, 60);
        assert_eq!((ranges.overlap(0, 100), ranges.0.len()), (50, 1));
    }

    #[test]
    fn what_is_gone_is_forgotten_at_the_second_look() {
        let mut ranges = Ranges::default();
        ranges.add(10, 20);
        ranges.prune(|_, _| false);
        assert_eq!(ranges.overlap(0, 100), 10, "it may be under way");
        ranges.prune(|start, end| (start, end) == (10, 20));
        assert_eq!(ranges.overlap(0, 100), 10);
        ranges.prune(|_, _| false);
        assert_eq!(ranges, Ranges::default());
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut ranges = Ranges::default();
        (0..MOST as u64 + 10).for_each(|n| ranges.add(n * 10, n * 10 + 1));
        assert_eq!(ranges.overlap(0, u64::MAX), MOST as u64);
    }
}
