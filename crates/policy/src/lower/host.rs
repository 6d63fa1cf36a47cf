//! What lowering asks the file system, and where the program is run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use tipstaff_abi::SyscallSet;

/// What stands at a path, symbolic links not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A symbolic link and what it says.
    Link(PathBuf),
    /// Anything else: a file, a device, a socket.
    File,
}

/// The host's file system, read-only. Errors are absence: what the caller cannot see, it cannot show a guest.
pub trait Host {
    /// What stands at an absolute path, its last component not followed.
    fn kind(&self, path: &Path) -> Option<Kind>;
    /// Names in a directory.
    fn list(&self, path: &Path) -> Vec<OsString>;
    /// Names in a directory, and whether they are directories: a link is none. None: the caller may not look into it.
    fn children(&self, path: &Path) -> Option<Vec<(OsString, bool)>> {
        super::repositories::children(self, path)
    }
    /// What a regular file of at most so many bytes says, links followed. None: it is something else, or cannot be read. A guest may have made it, so nothing is
    /// waited for.
    fn bytes(&self, path: &Path, most: u64) -> Option<Vec<u8>> {
        self.text(path).ok().map(String::into_bytes).filter(|bytes| bytes.len() as u64 <= most)
    }
    /// The text of a file that the profile names (an OCI seccomp profile).
    fn text(&self, path: &Path) -> Result<String, String>;
}

/// Where and as what the program is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// Working directory of the run, absolute, as it stands on the host.
    pub cwd: PathBuf,
    /// Files that must be visible and executable whatever the lists say: the program, and a script's interpreter.
    pub programs: Vec<PathBuf>,
    /// Where core_pattern is a pipe: RLIMIT_CORE 0 does not stop such a dump, 1 does (core(5)).
    pub core_is_piped: bool,
    /// Calls that handlers want to see; they need an engine that asks them.
    pub handled: SyscallSet,
    /// A handler changes calls, or what they return: only a tracer can.
    pub rewrites: bool,
    /// Every new process is to be known before it runs an instruction.
    pub registers: bool,
    /// Somebody decides on addresses: whoever is reached is reached on the guest's behalf.
    pub addresses: bool,
    /// How many seccomp filters the caller is under: a box within boxes is told from them by it.
    pub filters: u16,
    /// The addresses of the hosts that the profile names, as the caller's resolver said them.
    pub names: BTreeMap<String, Vec<IpAddr>>,
}
