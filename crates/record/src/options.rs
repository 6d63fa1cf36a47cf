//! What is recorded, and of whom.

use std::ffi::OsString;
use std::path::PathBuf;

use tipstaff_abi::Arch;
use tipstaff_abi::enumerable::{Enumerable, Pick};
use tipstaff_recording::{Backend, Call, Container, selected};
use tipstaff_sys::signal::SigSet;

/// What is recorded besides the calls and how often they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The one backend to use; none: the first that can be had, in the order of [`Backend::ALL`].
    pub backend: Option<Backend>,
    /// Values of enumerable arguments.
    pub arguments: bool,
    /// Of these calls these arguments, instead of the usual ones ([`tipstaff_recording::selected`]): what a profile looks at.
    pub looked_at: &'static [Enumerable],
    /// How calls return. Costs a second stop per call with ptrace, and twice as much with eBPF; notifications do not show it.
    pub results: bool,
    /// Files, sockets and, where the backend sees them, capabilities.
    pub files: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { backend: None, arguments: true, looked_at: &[], results: false, files: false }
    }
}

impl Options {
    /// The arguments of a call that are recorded.
    pub(crate) fn picks(&self, arch: Arch, number: u32) -> &'static [Pick] {
        let looked_at = self.looked_at.iter().find(|call| (call.arch, call.number.0) == (arch, number));
        looked_at.map_or_else(|| selected(arch, number), |call| call.picks)
    }

    /// A call that has not been seen yet.
    pub(crate) fn call(&self, arch: Arch, number: u32) -> Call {
        Call::selecting(arch, number, self.picks(arch, number))
    }
}

/// Who is recorded, with all descendants.
#[derive(Clone, Debug)]
pub enum Target {
    /// A program that is started for it.
    Command(Command),
    /// Running processes.
    Processes(Vec<i32>),
    /// Every process of a control group (its directory) and of those below it.
    Cgroup(PathBuf),
    /// A container.
    Container(ContainerTarget),
}

/// A program to start, with our environment, directory, ids and descriptors.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program, searched in `PATH` if it has no slash.
    pub program: OsString,
    /// Its arguments, without the program.
    pub args: Vec<OsString>,
    /// The signals that it starts with blocked.
    pub mask: SigSet,
}

/// A container.
#[derive(Clone, Debug, Default)]
pub struct ContainerTarget {
    /// What is said of it.
    pub about: Container,
    /// Its first process, in our PID namespace.
    pub init: i32,
    /// Directories of control groups that are its alone.
    pub cgroups: Vec<PathBuf>,
    /// Its program has not been executed yet: what comes before is its runtime's.
    pub starting: bool,
}

impl ContainerTarget {
    /// A container whose runtime has made it and not let it go yet: at its hooks prestart and createRuntime. To be called in a control group of the
    /// caller's or the runtime's: groups that the container shares with this process are not its alone.
    #[must_use]
    pub fn starting(about: Container, init: i32) -> Self {
        Self { about, init, cgroups: crate::process::own_cgroups(init), starting: true }
    }
}
