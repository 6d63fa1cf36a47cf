//! Which files and addresses a decoded call is about, and what for.

use tipstaff_decode::{Call, Located, Value, located, says};
use tipstaff_recording::{Access, Socket, SocketUse};
use tipstaff_report::Bytes;

/// A use of a file, as the call names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The descriptor of the directory that it starts at; `None`: the working directory.
    pub(crate) directory: Option<i32>,
    pub(crate) path: Vec<u8>,
    pub(crate) access: Vec<Access>,
}

/// What a call uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    pub(crate) files: Vec<Named>,
    /// With the descriptor of the socket.
    pub(crate) sockets: Vec<(i32, SocketUse)>,
    /// Paths that could not be read.
    pub(crate) unread: u64,
}

impl Uses {
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.sockets.is_empty() && self.unread == 0
    }
}

/// Calls that are worth decoding: those of files, and those that give an address to a socket.
pub(crate) fn classes(arch: tipstaff_abi::Arch) -> tipstaff_abi::SyscallSet {
    let files = tipstaff_decode::class(arch, "file").unwrap_or_else(|| tipstaff_abi::SyscallSet::new(arch));
    let sockets = ["connect", "bind", "sendto", "sendmsg", "socketcall"];
    files.union(&tipstaff_abi::SyscallSet::from_names(arch, sockets))
}

/// What this call, at its entry, is going to use.
pub(crate) fn uses(call: &Call) -> Uses {
    let mut uses = Uses::default();
    let places = located(call);
    let last = places.len().saturating_sub(1);
    for (at, Located { directory, path }) in places.into_iter().enumerate() {
        match path {
            // An empty path with AT_EMPTY_PATH is the descriptor itself, which has been named before.
            Some(b"") => {}
            Some(path) => uses.files.push(Named { directory, path: path.to_vec(), access: access(call, at, last) }),
            None => uses.unread += 1,
        }
    }
    if let Some(used) = socket(call) {
        uses.sockets.push(used);
    }
    uses
}

fn access(call: &Call, at: usize, last: usize) -> Vec<Access> {
    match &*call.name {
        "open" | "openat" | "openat2" => opened(call),
        "creat" => vec![Access::Write, Access::Create],
        "execve" | "execveat" | "uselib" => vec![Access::Exec],
        "mkdir" | "mkdirat" | "mknod" | "mknodat" | "symlink" | "symlinkat" => vec![Access::Create],
        "link" | "linkat" if at == last => vec![Access::Create],
        "link" | "linkat" => vec![Access::Read],
        "rename" | "renameat" | "renameat2" if at == last => vec![Access::Create],
        "rename" | "renameat" | "renameat2" | "unlink" | "unlinkat" | "rmdir" | "truncate" | "truncate64" | "chmod"
        | "fchmodat" | "fchmodat2" | "chown" | "chown32" | "lchown" | "lchown32" | "fchownat" | "utime" | "utimes"
        | "futimesat" | "utimensat" | "utimensat_time64" | "setxattr" | "lsetxattr" | "setxattrat" | "removexattr"
        | "lremovexattr" | "removexattrat" | "file_setattr" => vec![Access::Write],
        _ => vec![Access::Stat],
    }
}

fn opened(call: &Call) -> Vec<Access> {
    let mut access = Vec::new();
    let (write, both) = (says(call, "O_WRONLY"), says(call, "O_RDWR"));
    if says(call, "O_PATH") {
        return vec![Access::Stat];
    }
    if says(call, "O_DIRECTORY") && !says(call, "O_TMPFILE") {
        return vec![Access::List];
    }
    if !write {
        access.push(Access::Read);
    }
    if write || both || says(call, "O_TRUNC") {
        access.push(Access::Write);
    }
    if says(call, "O_CREAT") || says(call, "O_TMPFILE") {
        access.push(Access::Create);
    }
    access
}

/// The address that a call gives to a socket.
fn socket(call: &Call) -> Option<(i32, SocketUse)> {
    let operation = match &*call.name {
        "bind" => Socket::Bind,
        "connect" | "sendto" | "sendmsg" => Socket::Connect,
        "socketcall" if says(call, "SYS_BIND") => Socket::Bind,
        "socketcall" if says(call, "SYS_CONNECT") || says(call, "SYS_SENDTO") => Socket::Connect,
        _ => return None,
    };
    let number = call.args.iter().find_map(|arg| match arg.value {
        Value::Fd { number, .. } => Some(number),
        _ => None,
    })?;
    let fields = call.args.iter().find_map(|arg| address(&arg.value))?;
    let field = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let family = match field("sa_family")? {
        Value::Name("AF_UNSPEC") => return None,
        Value::Name(name) => (*name).to_owned(),
        other => format!("{other:?}"),
    };
    let text = |value: &Value| match value {
        Value::Bytes { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    let port = field("sin_port").or_else(|| field("sin6_port")).and_then(|value| match *value {
        Value::Int(port) => u16::try_from(port).ok(),
        Value::Uint(port) => u16::try_from(port).ok(),
        _ => None,
    });
    let path = field("sun_path").and_then(|value| match value {
        Value::Bytes { bytes, .. } => Some(Bytes::from(bytes.as_slice())),
        _ => None,
    });
    let address = field("sin_addr").or_else(|| field("sin6_addr")).and_then(text);
    Some((number, SocketUse { operation, family, kind: None, address, port, path, count: 0, first_ns: 0 }))
}

/// The fields of an address, also within a message (sendmsg).
fn address(value: &Value) -> Option<&[(&'static str, Value)]> {
    let Value::Struct(fields) = value else { return None };
    if fields.iter().any(|(name, _)| *name == "sa_family") {
        return Some(fields);
    }
    fields.iter().find_map(|(_, value)| address(value))
}
