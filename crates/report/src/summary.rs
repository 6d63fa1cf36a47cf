//! The report for people: a few lines, in pieces that a terminal can colour.

use std::fmt;
use std::time::Duration;

use crate::{Clock, Coverage, CpuSource, Denial, Level, Limit, LimitHit, MemorySource, Report, Verdict};

/// What a piece of text is, so that a terminal can choose its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A verdict that is `ok`.
    Good,
    /// Any other verdict, a limit that was crossed, a denial.
    Bad,
    /// A weakened rule, a figure that is only a bound.
    Warning,
    /// The name of a figure.
    Label,
    /// Anything else.
    Plain,
}

/// Text of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub role: Role,
    /// The text, without control characters.
    pub text: String,
}

/// One line of the summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its pieces, spaces included.
    pub pieces: Vec<Piece>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| f.write_str(&piece.text))
    }
}

impl Line {
    /// The line with one more piece. Text of the guest's making cannot move the cursor or start a line.
    fn with(mut self, role: Role, text: impl fmt::Display) -> Self {
        let text = text.to_string();
        let text = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        self.pieces.push(Piece { role, text });
        self
    }

    fn labelled(label: &str) -> Self {
        Self::default().with(Role::Label, format!("  {label:<10}"))
    }
}

impl Report {
    /// The summary as text, one line each, with a newline at the end.
    pub fn summary(&self) -> String {
        self.summary_lines().iter().map(|line| format!("{line}\n")).collect()
    }

    /// The summary in pieces.
    pub fn summary_lines(&self) -> Vec<Line> {
        let mut lines = vec![self.headline()];
        lines.extend(self.error.as_ref().map(|error| Line::labelled("error").with(Role::Bad, &error.message)));
        if self.verdict != Verdict::LaunchFailed {
            lines.extend(self.figures());
        }
        lines.extend(self.limits_hit.iter().map(limit_line));
        lines.extend(self.denials.iter().map(denial_line));
        if self.verdict == Verdict::PolicyViolation
            && self.denials.is_empty()
            && self.denials_coverage == Coverage::None
        {
            lines.push(Line::labelled("denied").with(Role::Warning, "which call is unknown: no listener was in force"));
        }
        for rule in self.enforcement.iter().filter(|rule| rule.level != Level::Full) {
            let line = Line::labelled(rule.level.as_str()).with(Role::Warning, &rule.rule);
            lines.push(match &rule.why {
                Some(why) => line.with(Role::Plain, format!(": {why}")),
                None => line,
            });
        }
        lines
    }

    fn headline(&self) -> Line {
        let role = if self.verdict == Verdict::Ok { Role::Good } else { Role::Bad };
        let line = Line::default().with(role, self.verdict);
        let line = match self.clock {
            Some(clock) => line.with(role, format!(" ({clock})")),
            None => line,
        };
        match (&self.signal, self.exit_code) {
            (Some(signal), _) => line.with(Role::Plain, format!(": ended by {}", signal.name)),
            (None, Some(code)) if self.verdict != Verdict::Ok => line.with(Role::Plain, format!(": exit code {code}")),
            (None, _) => line,
        }
    }

    fn figures(&self) -> Vec<Line> {
        let cpu = &self.cpu_ns;
        let mut lines = Vec::new();
        if self.cpu_source != CpuSource::None {
            let bound = if self.cpu_source == CpuSource::RusageLowerBound { "at least " } else { "" };
            lines.push(
                Line::labelled("cpu")
                    .with(Role::Warning, bound)
                    .with(Role::Plain, seconds(cpu.total))
                    .with(Role::Plain, format!(" (user {}, system {})", seconds(cpu.user), seconds(cpu.system))),
            );
        }
        lines.push(Line::labelled("wall").with(Role::Plain, seconds(self.wall_ns)));
        if let Some(peak) = self.memory_peak_bytes {
            let sampled = matches!(self.memory_source, MemorySource::PssSampling | MemorySource::RssSampling);
            // Between two samples it may have been more.
            let bound = if sampled { "at least " } else { "" };
            lines.push(Line::labelled("memory").with(Role::Warning, bound).with(Role::Plain, size(peak)));
        }
        if let Some(tasks) = self.processes_peak {
            lines.push(Line::labelled("processes").with(Role::Plain, tasks));
        }
        if let Some(bytes) = self.output_bytes {
            lines.push(Line::labelled("output").with(Role::Plain, size(bytes)));
        }
        lines
    }
}

fn limit_line(hit: &LimitHit) -> Line {
    let line =
        Line::labelled("limit").with(Role::Bad, format!("{} {}", hit.limit, quantity(hit.limit, hit.limit_value)));
    let line = match hit.observed {
        Some(observed) => line.with(Role::Plain, format!(", seen {}", quantity(hit.limit, observed))),
        None => line,
    };
    line.with(Role::Plain, format!(", after {}", seconds(hit.at_ns)))
}

fn denial_line(denial: &Denial) -> Line {
    let mut line = Line::labelled("denied").with(Role::Bad, &denial.syscall);
    if denial.count != 1 {
        line = line.with(Role::Plain, format!(" x{}", denial.count));
    }
    line =
        line.with(Role::Plain, format!(" ({}) by {}", denial.errno.as_deref().unwrap_or(&denial.action), denial.rule));
    match &denial.allow_with {
        Some(cure) => line.with(Role::Plain, format!("; allow with {cure}")),
        None => line,
    }
}

fn quantity(limit: Limit, value: u64) -> String {
    match limit {
        Limit::Cpu | Limit::Wall | Limit::Idle => seconds(value),
        Limit::Memory | Limit::Output | Limit::FileSize | Limit::Stack | Limit::Disk => size(value),
        Limit::Processes | Limit::OpenFiles => value.to_string(),
    }
}

/// Nanoseconds as seconds with three digits, rounded down: a figure never looks larger than it is.
fn seconds(ns: u64) -> String {
    let time = Duration::from_nanos(ns);
    format!("{}.{:03} s", time.as_secs(), time.subsec_millis())
}

/// Bytes in the largest binary unit, with one digit, rounded down.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match UNITS.into_iter().find(|(_, shift)| bytes >> shift != 0) {
        Some((unit, shift)) => {
            let tenths = ((bytes & ((1 << shift) - 1)) * 10) >> shift;
            format!("{}.{tenths} {unit}", bytes >> shift)
        }
        None => format!("{bytes} B"),
    }
}

impl Clock {
    /// The limit that this clock belongs to.
    pub fn limit(self) -> Limit {
        match self {
            Self::Cpu => Limit::Cpu,
            Self::Wall => Limit::Wall,
            Self::Idle => Limit::Idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_down() {
        let sizes =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1023.9 KiB"), (64 << 20, "64.0 MiB")];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(u64::MAX), "16777215.9 TiB");
    }

    #[test]
    fn times_are_rounded_down() {
        assert_eq!(seconds(1_999_999_999), "1.999 s");
        assert_eq!(seconds(0), "0.000 s");
    }
}
