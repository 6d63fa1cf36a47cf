//! What a recording has seen, as plain data.

use std::net::SocketAddr;
use std::path::PathBuf;

use tipstaff_abi::{Arch, Sysno};

/// Which part of a task's life a call belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Before the task has a seccomp filter: the set-up of a container, or of a box.
    Setup = 0,
    /// From the filter to the execve, that one included: what a runtime still does under the filter.
    Runtime = 1,
    /// After the execve: the program itself.
    Workload = 2,
}

impl Phase {
    /// In the order of a task's life.
    pub const ALL: [Self; 3] = [Self::Setup, Self::Runtime, Self::Workload];
}

/// A place in [`Observed::executables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExeId(pub u32);

/// A program that ran.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Executable {
    /// Its path as its own mount namespace and root directory have it (of a script: the interpreter's). `None`: not known, or one of
    /// those that no room was left for ([`Completeness::executables_merged`]).
    pub path: Option<PathBuf>,
}

/// Who made a call, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The program that made it.
    pub executable: ExeId,
    /// When.
    pub phase: Phase,
    /// The table that the number belongs to: an `int 0x80` of a 64-bit program is [`Arch::I386`].
    pub arch: Arch,
    /// The number (of x32 with its bit), also one that no table knows.
    pub number: Sysno,
}

/// One system call of one executable in one phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who and which.
    pub key: Key,
    /// How often it was entered. A call that the kernel makes again after a signal counts again, as strace(1) shows it.
    pub count: u64,
    /// When it was first entered: nanoseconds after the recording began.
    pub first_ns: u64,
    /// How it returned. `None`: results were not recorded.
    pub results: Option<Results>,
    /// The values of its enumerable arguments. `None`: they were not recorded, or it has none.
    pub arguments: Option<Arguments>,
}

/// How a call returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// Returns that were no error.
    pub succeeded: u64,
    /// Errno and how often, sorted by errno. The kernel's own 512 to 516 (ERESTARTSYS and its kin) are calls that a signal interrupted.
    pub failed: Vec<(i32, u64)>,
}

/// The values that the picked arguments of a call had, together: a rule can bind them with "and".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Every tuple that was seen, sorted.
    Tuples(Vec<Tuple>),
    /// More than [`crate::Options::tuples_per_call`] of them: any value must be expected. The tuples that were kept are no longer a set.
    Any,
}

/// One tuple: `values[i]` is the i-th pick of the table's entry for this call, masked as the entry says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuple {
    /// In the order of [`tipstaff_abi::enumerable::Enumerable::picks`].
    pub values: Vec<u64>,
    /// How often.
    pub count: u64,
}

/// How a refused call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// A seccomp filter answered with an errno (RET_ERRNO; also RET_TRACE without a tracer, which is ENOSYS).
    Errno(i32),
    /// A seccomp filter sent SIGSYS to the thread (RET_TRAP).
    Trap,
    /// A seccomp filter killed (RET_KILL_PROCESS, RET_KILL_THREAD).
    Kill,
    /// Somebody answered in the kernel's place with this value: the supervisor of a notification, or a tracer that skipped the call. Not
    /// to be told from a refusal by the filter where both are there, so this is no denial by itself.
    Answered(i64),
}

/// Calls that were not made, because a filter, a supervisor or a tracer decided so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Who and which.
    pub key: Key,
    /// How.
    pub how: Refusal,
    /// How often.
    pub count: u64,
}

/// How a path was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileUse {
    /// O_RDONLY, or the read half of O_RDWR.
    pub read: bool,
    /// O_WRONLY, or the write half of O_RDWR; truncate(2).
    pub write: bool,
    /// O_CREAT, O_TMPFILE; calls that make a name.
    pub create: bool,
    /// Executed.
    pub execute: bool,
    /// O_DIRECTORY.
    pub directory: bool,
    /// Only looked at: stat, access, readlink, O_PATH.
    pub look: bool,
    /// Removed, renamed, or changed in its attributes.
    pub change: bool,
}

/// A path that was given to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Who and by which call.
    pub key: Key,
    /// Absolute where `base` is known; as the program has it in its own mount namespace.
    pub path: PathBuf,
    /// The path was relative to a directory that could not be told, so `path` is relative.
    pub relative: bool,
    /// The path was longer than was kept: `path` is its beginning.
    pub cut: bool,
    /// What for.
    pub usage: FileUse,
    /// 0, or the errno it ended with.
    pub errno: i32,
    /// How often, with this use and this end.
    pub count: u64,
}

/// A socket address that was given to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Who and by which call: connect, bind, sendto.
    pub key: Key,
    /// SOCK_STREAM, SOCK_DGRAM, …; 0 where it is not known.
    pub kind: i32,
    /// IPPROTO_TCP, …; 0 where it is not known.
    pub protocol: i32,
    /// Where to.
    pub address: Address,
    /// 0, or the errno it ended with.
    pub errno: i32,
    /// How often.
    pub count: u64,
}

/// A socket address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// AF_INET, AF_INET6.
    Inet(SocketAddr),
    /// AF_UNIX with a path, as it was given.
    Unix(PathBuf),
    /// AF_UNIX, abstract: the name without its leading zero byte.
    Abstract(Vec<u8>),
    /// Any other family: its number, and the bytes behind it.
    Other(u16, Vec<u8>),
}

/// A capability that the kernel asked for on behalf of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The program.
    pub executable: ExeId,
    /// When.
    pub phase: Phase,
    /// CAP_*, as a number.
    pub number: u8,
    /// The task had it.
    pub granted: bool,
    /// How often.
    pub count: u64,
}

/// What is missing, by kind. All zero and false: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Calls whose facts (first-seen, unknown numbers) found no room.
    pub calls_dropped: u64,
    /// Argument tuples that found no room; their calls are [`Arguments::Any`].
    pub arguments_dropped: u64,
    /// Results and refusals that found no room.
    pub results_dropped: u64,
    /// Paths that found no room.
    pub files_dropped: u64,
    /// Paths that could not be read from the task's memory.
    pub files_unread: u64,
    /// Socket addresses that found no room or could not be read.
    pub sockets_dropped: u64,
    /// Capability checks that found no room.
    pub capabilities_dropped: u64,
    /// Tasks that should have been recorded and were not: the kernel had no memory for their state, or (before Linux 6.9) threads of an
    /// attached process that no descriptor can be had of.
    pub tasks_missed: u64,
    /// Executables for which no page was left: their calls are in the one without a path. Nothing is lost but who it was.
    pub executables_merged: u64,
    /// Tasks that are already recorded by another recording; a task belongs to one.
    pub tasks_taken: u64,
    /// A task was under a seccomp filter: what the filter refuses is not among the calls (it may be among the refused ones).
    pub filtered: bool,
    /// First returns that nobody could tell (calls in flight when a task was attached), set aside.
    pub set_aside: u64,
}

impl Completeness {
    /// Nothing was dropped or missed. A filter that was in force ([`Completeness::filtered`]) is a bias, not a loss.
    #[must_use]
    pub fn complete(&self) -> bool {
        let Self {
            calls_dropped,
            arguments_dropped,
            results_dropped,
            files_dropped,
            files_unread,
            sockets_dropped,
            capabilities_dropped,
            tasks_missed,
            executables_merged: _,
            tasks_taken,
            filtered: _,
            set_aside: _,
        } = *self;
        [
            calls_dropped,
            arguments_dropped,
            results_dropped,
            files_dropped,
            files_unread,
            sockets_dropped,
            capabilities_dropped,
            tasks_missed,
            tasks_taken,
        ]
        .iter()
        .all(|count| *count == 0)
    }
}

/// All that a recording has seen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The programs; [`ExeId`] is the place in this list.
    pub executables: Vec<Executable>,
    /// The calls, sorted by key.
    pub calls: Vec<Call>,
    /// Calls that were not made, sorted by key. Empty also where they were not recorded, but for those with a signal.
    pub refused: Vec<Refused>,
    /// Paths.
    pub files: Vec<File>,
    /// Addresses.
    pub sockets: Vec<Socket>,
    /// Capabilities. Empty also where the kernel has no such tracepoint (before Linux 6.14).
    pub capabilities: Vec<Capability>,
    /// What is missing.
    pub completeness: Completeness,
    /// How long it has been recording, in nanoseconds.
    pub elapsed_ns: u64,
    /// Tasks that are recorded at this moment.
    pub tasks: u64,
}
