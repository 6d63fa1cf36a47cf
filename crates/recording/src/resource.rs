//! What calls are about: programs, files, addresses, capabilities.

use serde::{Deserialize, Serialize};
use tipstaff_report::Bytes;

use crate::table::Row;
use crate::words;

/// A program that was executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Executable {
    /// Its path as the kernel has it (proc_pid_exe(5)); of a script that of its interpreter.
    pub path: Bytes,
    /// How often it was executed; 0: it ran when the recording began; null: not counted.
    #[serde(deserialize_with = "words::present")]
    pub execs: Option<u64>,
    /// When first, in nanoseconds since the run began.
    pub first_ns: u64,
}

/// What was done, or tried, with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Opened for reading.
    Read,
    /// A directory, opened as such: its entries are listed, or it is the place where other names start.
    List,
    /// Opened for writing, or changed: truncated, linked, renamed, removed, its mode or owner set.
    Write,
    /// Made, or opened so that it is made if need be.
    Create,
    /// Executed.
    Exec,
    /// Looked at: stat(2), access(2), readlink(2), chdir(2).
    Stat,
}

impl Access {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Read, Self::List, Self::Write, Self::Create, Self::Exec, Self::Stat];
}

/// A use of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileUse {
    /// The path, absolute; as the program named it, if it could not be made so.
    pub path: Bytes,
    /// For what.
    pub access: Access,
    /// How often.
    pub count: u64,
    /// How many of these failed; null: nobody could say.
    #[serde(deserialize_with = "words::present")]
    pub failed: Option<u64>,
    /// When first, in nanoseconds since the run began.
    pub first_ns: u64,
}

/// What was done with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Socket {
    /// connect(2), or a datagram sent there.
    Connect,
    /// bind(2).
    Bind,
}

/// A use of an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketUse {
    /// What was done.
    pub operation: Socket,
    /// The address family's name: `AF_INET`; its number, if it has none.
    pub family: String,
    /// `SOCK_STREAM` and so on; null: nobody could say.
    #[serde(deserialize_with = "words::present")]
    pub kind: Option<String>,
    /// The address of AF_INET and AF_INET6.
    #[serde(deserialize_with = "words::present")]
    pub address: Option<String>,
    /// The port of AF_INET and AF_INET6.
    #[serde(deserialize_with = "words::present")]
    pub port: Option<u16>,
    /// The name of AF_UNIX; an abstract one begins with `@`.
    #[serde(deserialize_with = "words::present")]
    pub path: Option<Bytes>,
    /// How often.
    pub count: u64,
    /// When first, in nanoseconds since the run began.
    pub first_ns: u64,
}

/// A capability that the kernel looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// Its name: `CAP_SYS_ADMIN`; its number, if it has none.
    pub name: String,
    /// How often it was there.
    pub granted: u64,
    /// How often it was not.
    pub refused: u64,
    /// When first, in nanoseconds since the run began.
    pub first_ns: u64,
}

impl Row for Executable {
    type Key = Bytes;

    fn key(&self) -> Bytes {
        self.path.clone()
    }
}

impl Row for FileUse {
    type Key = (Bytes, Access);

    fn key(&self) -> Self::Key {
        (self.path.clone(), self.access)
    }
}

impl Row for SocketUse {
    type Key = (Socket, String, Option<String>, Option<String>, Option<u16>, Option<Bytes>);

    fn key(&self) -> Self::Key {
        let Self { operation, family, kind, address, port, path, .. } = self.clone();
        (operation, family, kind, address, port, path)
    }
}

impl Row for Capability {
    type Key = String;

    fn key(&self) -> String {
        self.name.clone()
    }
}
