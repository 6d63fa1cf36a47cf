//! How the text is to look.

/// Options of [`Text`](super::Text). The default is a file of one task's calls, without times.
#[derive(Debug, Clone)]
pub struct TextOptions {
    /// Which lines begin with the task's id.
    pub task: TaskPrefix,
    /// What time each line begins with.
    pub stamp: Stamp,
    /// What the events' times count from, for the stamps that show the time of day.
    pub clock: Clock,
    /// Structures with all their fields (`strace -v`) instead of those that matter.
    pub whole: bool,
    /// The time spent in the call at the line's end: `<0.000012>` (`strace -T`).
    pub durations: bool,
    /// The column in which the `=` stands where the call leaves room (`strace -a`).
    pub column: usize,
    /// Terminal colours. Whether they are wanted (a terminal, `NO_COLOR`) is the caller's to know.
    pub colour: bool,
    /// Everything is brought out at once, entries of calls included, for somebody who watches. Otherwise it is brought out in large pieces, at least once
    /// for each second of events.
    pub live: bool,
    /// Lines for the begin and the end of tracing a task (without `strace -q`).
    pub attaching: bool,
    /// Lines for the ends of tasks (without `strace -qq`).
    pub exits: bool,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self {
            task: TaskPrefix::Never,
            stamp: Stamp::None,
            clock: Clock::default(),
            whole: false,
            durations: false,
            column: 40,
            colour: false,
            live: false,
            attaching: true,
            exits: true,
        }
    }
}

/// Which lines begin with the task's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskPrefix {
    /// None: the output is one task's.
    Never,
    /// `[pid 123] ` while there is more than one task, as strace does on a terminal.
    WhenSeveral,
    /// `123 `, each line, as strace does in a file.
    Always,
}

/// What time a line begins with: when the call was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// None.
    None,
    /// The time of day in seconds (`-t`).
    Seconds,
    /// The time of day in microseconds (`-tt`).
    Microseconds,
    /// Seconds since 1970 with microseconds (`-ttt`).
    Unix,
    /// Seconds since the line before (`-r`).
    Relative,
}

/// What the events' times count from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    /// CLOCK_REALTIME when the trace began, nanoseconds since 1970.
    pub began_unix_ns: u64,
    /// Seconds that the local time is ahead of UTC.
    pub utc_offset_s: i32,
}
