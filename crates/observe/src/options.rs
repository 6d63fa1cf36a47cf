//! What is to be recorded, and of whom.

use std::path::PathBuf;

use tipstaff_abi::enumerable::Enumerable;

use crate::Phase;

/// Sizes and tables that all recordings of an [`crate::Observer`] share.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which arguments of which calls are collected. [`tipstaff_abi::enumerable::all`] is the usual one; an empty table collects none.
    pub arguments: Vec<Enumerable>,
    /// Pages: one per recording, executable and phase. A power of two from 64 to 2048; each takes 8 KiB per CPU (up to 8).
    pub pages: u32,
    /// The most entries of each table (facts of calls, tuples, results, addresses, capabilities).
    pub entries: u32,
    /// The most paths.
    pub paths: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self { arguments: tipstaff_abi::enumerable::all(), pages: 256, entries: 16_384, paths: 65_536 }
    }
}

/// Whom to record. Descendants of a member are members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A process with all its threads and all its present and future descendants.
    Tree(i32),
    /// Every process of a control group (its directory) and of those below it, and whoever joins them.
    Cgroup(PathBuf),
    /// Every process whose PID namespace is that of this process or descends from it: a container, and who enters it. Not the PID
    /// namespace of the machine.
    PidNamespace(i32),
    /// A process, its descendants, and whoever joins its PID namespace (unless it is the machine's) or these control groups.
    Container {
        /// The container's first process.
        init: i32,
        /// Directories of control groups that are the container's alone.
        cgroups: Vec<PathBuf>,
    },
}

/// When returns of calls are looked at. A recorded call then costs some 70 ns instead of 25, a stranger's 34 instead of 18.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Returns {
    /// Never: no results, and of refused calls only those with a signal.
    #[default]
    Never,
    /// Only if a member is under a seccomp filter when the recording begins: then refused calls are told. A filter that comes later is not
    /// noticed so, as that of a container at its hook: [`Returns::Always`] is for these.
    WhenFiltered,
    /// Always: results and refused calls.
    Always,
}

/// What to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The phase that members begin in. [`Phase::Setup`] for a program that has not been executed yet, and for a container at its hook;
    /// [`Phase::Workload`] for what runs already.
    pub phase: Phase,
    /// The phase that joiners begin in.
    pub joiners: Phase,
    /// Results and refused calls.
    pub returns: Returns,
    /// Values of enumerable arguments.
    pub arguments: bool,
    /// Distinct tuples of one call before it is [`crate::Arguments::Any`].
    pub tuples_per_call: u32,
    /// Paths that are opened, executed, looked at. The returns of calls are looked at for it: a path is read when the call returns, when
    /// its memory is there and its result is known.
    pub files: bool,
    /// Addresses of sockets, in the same way.
    pub sockets: bool,
    /// Capabilities, where the kernel has the tracepoint (Linux 6.14).
    pub capabilities: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            phase: Phase::Workload,
            joiners: Phase::Workload,
            returns: Returns::Never,
            arguments: true,
            tuples_per_call: 32,
            files: false,
            sockets: false,
            capabilities: false,
        }
    }
}
