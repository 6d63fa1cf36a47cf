//! Everything that is known once a box is empty.

use crate::{Coverage, Denial, Enforcement, Event, RunError, Usage};

/// How the program (the root task of the box) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this exit code.
    Exited(i32),
    /// By a signal.
    Signaled {
        /// Number of the signal.
        signal: i32,
        /// A core was dumped.
        core: bool,
    },
    /// It never ran an instruction of its own.
    NeverStarted,
}

/// Why somebody ended the run. Recorded before the kill, by the one who kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The CPU clock ran out.
    Cpu,
    /// The wall clock ran out.
    Wall,
    /// The idle clock ran out.
    Idle,
    /// Memory went over its limit.
    Memory,
    /// Output went over its limit.
    Output,
    /// A rule whose action is kill was broken.
    Policy,
    /// The caller asked for it: `kill()`, or a second SIGINT.
    User,
    /// The supervisor could not go on, and a box without its supervisor must not run.
    SupervisorFault,
}

/// The numbers that were in force; absent is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsSummary {
    /// CPU time in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Wall-clock time in nanoseconds.
    pub wall_ns: Option<u64>,
    /// Idle time in nanoseconds.
    pub idle_ns: Option<u64>,
    /// Memory of the box in bytes.
    pub memory_bytes: Option<u64>,
    /// Tasks of the box.
    pub processes: Option<u64>,
    /// Bytes on standard output and standard error.
    pub output_bytes: Option<u64>,
    /// Size of any one file in bytes.
    pub file_size_bytes: Option<u64>,
    /// File descriptors of any one process.
    pub open_files: Option<u64>,
    /// Stack in bytes.
    pub stack_bytes: Option<u64>,
    /// Private disk in bytes.
    pub disk_bytes: Option<u64>,
}

/// What the supervisor hands to [`crate::judge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How the program ended.
    pub ending: Ending,
    /// The first cause that was recorded, and when (nanoseconds since the start).
    pub cause: Option<(Cause, u64)>,
    /// Every limit that was crossed, in any order.
    pub events: Vec<Event>,
    /// A request for memory was refused: the limit, what the box would have had, and when first.
    pub memory_refused: Option<Event>,
    /// The final figures.
    pub usage: Usage,
    /// The numbers that were in force.
    pub limits: LimitsSummary,
    /// Every refused call that is known.
    pub denials: Vec<Denial>,
    /// How much of what was refused stands in `denials`.
    pub coverage: Coverage,
    /// Each rule and what enforced it.
    pub enforcement: Vec<Enforcement>,
    /// What failed on our side.
    pub error: Option<RunError>,
    /// The filter kills without a listener (no one can record a cause): death by SIGSYS is the filter's doing.
    pub seccomp_sigsys_is_kill: bool,
}

impl Outcome {
    /// An outcome of which only the ending is known: no cause, no events, no limits, no figures.
    pub fn new(ending: Ending) -> Self {
        Self {
            ending,
            cause: None,
            events: Vec::new(),
            memory_refused: None,
            usage: Usage::default(),
            limits: LimitsSummary::default(),
            denials: Vec::new(),
            coverage: Coverage::default(),
            enforcement: Vec::new(),
            error: None,
            seccomp_sigsys_is_kill: false,
        }
    }

    /// The outcome of a launch that failed.
    pub fn never_started(error: RunError) -> Self {
        Self { error: Some(error), ..Self::new(Ending::NeverStarted) }
    }
}
