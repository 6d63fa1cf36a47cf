//! Which files and addresses a call is about: from its arguments, and from what the calls before it did to the descriptors.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use tipstaff_decode::{Arg, Call, Value, says};

use crate::text::value_text;
use crate::{Event, What};

/// What a descriptor refers to, as far as the trace tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Descriptor {
    /// A path, an address, `pipe`.
    pub(crate) name: Arc<[u8]>,
    /// It is a socket, and the name is an address.
    pub(crate) socket: bool,
    close_on_exec: bool,
}

/// The descriptors of all processes, followed from call to call. A process that shares its table with another one (CLONE_FILES without
/// CLONE_THREAD) is taken for one that has a copy.
#[derive(Debug, Default)]
pub(crate) struct Descriptors(HashMap<i32, HashMap<i32, Descriptor>>);

impl Descriptors {
    /// Follows one event.
    pub(crate) fn follow(&mut self, event: &Event) {
        match &event.what {
            What::Returned { call, .. } => self.returned(event.pid, call),
            What::Forked { child_pid, .. } if *child_pid != event.pid => {
                let copy = self.0.get(&event.pid).cloned().unwrap_or_default();
                self.0.insert(*child_pid, copy);
            }
            What::Executed { .. } => {
                if let Some(table) = self.0.get_mut(&event.pid) {
                    table.retain(|_, descriptor| !descriptor.close_on_exec);
                }
            }
            What::Exited { .. } | What::Killed { .. } if event.pid == event.tid => {
                self.0.remove(&event.pid);
            }
            _ => {}
        }
    }

    /// What a descriptor refers to.
    pub(crate) fn get(&self, pid: i32, number: i32) -> Option<&Descriptor> {
        self.0.get(&pid)?.get(&number)
    }

    /// What an argument refers to, if it is a descriptor: what the tracer found, else what was followed. Of a socket the tracer finds an inode
    /// only, so there the address comes first.
    pub(crate) fn name_of<'a>(&'a self, pid: i32, value: &'a Value) -> Option<&'a [u8]> {
        match value {
            Value::Fd { path: Some(path), number } => match self.get(pid, *number) {
                Some(descriptor) if descriptor.socket && path.starts_with(b"socket:") => Some(&descriptor.name),
                _ => Some(path),
            },
            Value::Fd { number, path: None } => self.get(pid, *number).map(|descriptor| &*descriptor.name),
            _ => None,
        }
    }

    /// The paths that a call names, against the directory that it names with them where that is known.
    pub(crate) fn paths<'a>(&'a self, pid: i32, call: &'a Call) -> impl Iterator<Item = Cow<'a, [u8]>> {
        call.args.iter().enumerate().filter_map(move |(index, arg)| {
            let path = path_of(arg)?;
            let directory = index.checked_sub(1).and_then(|before| self.name_of(pid, &call.args[before].value));
            Some(match directory {
                Some(directory) if path.is_empty() => Cow::Borrowed(directory),
                Some(directory) if path[0] != b'/' => Cow::Owned([directory, b"/", path].concat()),
                _ => Cow::Borrowed(path),
            })
        })
    }

    fn set(&mut self, pid: i32, number: i64, name: &[u8], socket: bool, close_on_exec: bool) {
        if let Ok(number) = i32::try_from(number) {
            let descriptor = Descriptor { name: name.into(), socket, close_on_exec };
            self.0.entry(pid).or_default().insert(number, descriptor);
        }
    }

    fn returned(&mut self, pid: i32, call: &Call) {
        let Some(returned) = &call.returned else { return };
        let result = returned.value;
        if let Some(address) = address(call)
            && (result >= 0 || returned.errno == Some("EINPROGRESS"))
            && let Some(number) = first_fd(call)
        {
            match &*call.name {
                "connect" | "bind" => {
                    let kept = self.get(pid, number).is_some_and(|descriptor| descriptor.close_on_exec);
                    self.set(pid, number.into(), address.as_bytes(), true, kept);
                }
                "accept" | "accept4" => self.set(pid, result, address.as_bytes(), true, says(call, "SOCK_CLOEXEC")),
                _ => {}
            }
        }
        if returned.errno.is_some() {
            return;
        }
        match &*call.name {
            "open" | "openat" | "openat2" | "creat" => {
                let Some(path) = self.paths(pid, call).next().map(Cow::into_owned) else { return };
                self.set(pid, result, &path, false, says(call, "O_CLOEXEC"));
            }
            "socket" => self.set(pid, result, b"socket", true, says(call, "SOCK_CLOEXEC")),
            "dup" | "dup2" | "dup3" => self.copy(pid, call, result, says(call, "O_CLOEXEC")),
            "fcntl" | "fcntl64" if says(call, "F_DUPFD") || says(call, "F_DUPFD_CLOEXEC") => {
                self.copy(pid, call, result, says(call, "F_DUPFD_CLOEXEC"));
            }
            "fcntl" | "fcntl64" if says(call, "F_SETFD") => {
                let number = first_fd(call).unwrap_or(-1);
                if let Some(descriptor) = self.0.get_mut(&pid).and_then(|table| table.get_mut(&number)) {
                    descriptor.close_on_exec = says(call, "FD_CLOEXEC");
                }
            }
            "close" => {
                if let (Some(table), Some(number)) = (self.0.get_mut(&pid), first_fd(call)) {
                    table.remove(&number);
                }
            }
            "pipe" | "pipe2" | "socketpair" => {
                let socket = call.name == "socketpair";
                let ends = call.args.iter().filter_map(|arg| match &arg.value {
                    Value::List { items, .. } => Some(items),
                    _ => None,
                });
                let ends: Vec<i32> = ends.flatten().filter_map(fd_number).collect();
                let close_on_exec = says(call, "O_CLOEXEC") || says(call, "SOCK_CLOEXEC");
                let name: &[u8] = if socket { b"socketpair" } else { b"pipe" };
                ends.into_iter().for_each(|end| self.set(pid, end.into(), name, false, close_on_exec));
            }
            _ => {}
        }
    }

    fn copy(&mut self, pid: i32, call: &Call, to: i64, close_on_exec: bool) {
        let from = first_fd(call).and_then(|number| self.get(pid, number)).cloned();
        match (from, i32::try_from(to)) {
            (Some(from), _) => self.set(pid, to, &from.name, from.socket, close_on_exec),
            // What it was before is gone, and what it is now nobody knows.
            (None, Ok(to)) => {
                self.0.entry(pid).or_default().remove(&to);
            }
            (None, Err(_)) => {}
        }
    }
}

/// The path that an argument is, going by the names that the man pages give to paths.
pub(crate) fn path_of(arg: &Arg) -> Option<&[u8]> {
    let is_path = matches!(
        arg.name,
        "pathname"
            | "path"
            | "filename"
            | "file"
            | "oldpath"
            | "newpath"
            | "oldname"
            | "newname"
            | "linkpath"
            | "new_root"
            | "put_old"
            | "dirname"
            | "library"
            | "swapfile"
            | "specialfile"
            | "special"
            | "dev_name"
            | "dir_name"
            | "from_pathname"
            | "to_pathname"
            | "from_path"
            | "to_path"
    );
    match &arg.value {
        Value::Bytes { bytes, .. } if is_path => Some(bytes),
        _ => None,
    }
}

/// The number of the first argument that is a descriptor.
pub(crate) fn first_fd(call: &Call) -> Option<i32> {
    call.args.iter().find_map(|arg| fd_number(&arg.value))
}

fn fd_number(value: &Value) -> Option<i32> {
    match value {
        Value::Fd { number, .. } => Some(*number),
        _ => None,
    }
}

/// The socket address among a call's arguments: `127.0.0.1:80`, `[::1]:80`, `unix:/run/x.sock`, or the whole structure.
pub(crate) fn address(call: &Call) -> Option<String> {
    call.args.iter().find_map(|arg| match &arg.value {
        Value::Struct(fields) if fields.iter().any(|(name, _)| *name == "sa_family") => Some(address_text(fields)),
        _ => None,
    })
}

fn address_text(fields: &[(&'static str, Value)]) -> String {
    let field = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let words = |value: &Value| match value {
        Value::Bytes { bytes, .. } => crate::text::shown(bytes),
        other => value_text(other),
    };
    if let Some(path) = field("sun_path") {
        return format!("unix:{}", words(path));
    }
    let port = field("sin_port").or_else(|| field("sin6_port")).map(words);
    match (field("sin_addr"), field("sin6_addr"), port) {
        (Some(host), _, Some(port)) => format!("{}:{port}", words(host)),
        (None, Some(host), Some(port)) => format!("[{}]:{port}", words(host)),
        _ => value_text(&Value::Struct(fields.to_vec())),
    }
}
