//! Which files and addresses a program touched, and how.

use std::collections::HashMap;

use serde::Serialize;
use tipstaff_decode::{Call, Value};

use crate::Event;
use crate::text::legible;
use crate::touch::{Descriptors, address};

/// Distinct files, and as many addresses, that are listed.
const LISTED: usize = 20_000;

/// What was done to one file or address. Sizes in bytes.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct Use {
    /// Opened, connected to, bound to or accepted from.
    opened: u64,
    /// Looked at by name: stat, access, readlink, exec.
    looked: u64,
    /// Changed by name: unlink, rename, mkdir, chmod.
    changed: u64,
    reads: u64,
    read_bytes: u64,
    writes: u64,
    written_bytes: u64,
    failed: u64,
    /// The errno of the last failure.
    errno: Option<&'static str>,
}

/// Uses by name, and how many names there was no room for.
#[derive(Debug, Default, Serialize)]
pub(super) struct Uses {
    #[serde(flatten)]
    list: Listed,
    #[serde(skip)]
    places: HashMap<Vec<u8>, usize>,
}

#[derive(Debug, Default, Serialize)]
struct Listed {
    names: Vec<String>,
    uses: Vec<Use>,
    /// Uses of names that are not listed.
    beyond: u64,
}

impl Uses {
    fn of(&mut self, name: &[u8]) -> Option<&mut Use> {
        if let Some(&place) = self.places.get(name) {
            return self.list.uses.get_mut(place);
        }
        if self.list.uses.len() == LISTED {
            self.list.beyond += 1;
            return None;
        }
        self.places.insert(name.to_vec(), self.list.uses.len());
        self.list.names.push(legible(name));
        self.list.uses.push(Use::default());
        self.list.uses.last_mut()
    }
}

/// What a call does to what it touches.
#[derive(Clone, Copy, PartialEq)]
enum Deed {
    Open,
    Look,
    Change,
    Read,
    Write,
    /// Both: the argument's name says which descriptor is which.
    Move,
}

/// Files and addresses.
#[derive(Debug, Default, Serialize)]
pub(super) struct Touched {
    files: Uses,
    addresses: Uses,
    #[serde(skip)]
    descriptors: Descriptors,
}

impl Touched {
    /// Counts a call. [`Touched::follow`] comes after it.
    pub(super) fn count(&mut self, pid: i32, call: &Call) {
        let Some(returned) = &call.returned else { return };
        let Some(deed) = deed(&call.name) else { return };
        let bytes = u64::try_from(returned.value).unwrap_or(0);
        let add = |entry: Option<&mut Use>, deed: Deed| {
            let Some(entry) = entry else { return };
            if returned.errno.is_some() {
                entry.failed += 1;
                entry.errno = returned.errno;
                return;
            }
            match deed {
                Deed::Open => entry.opened += 1,
                Deed::Look | Deed::Move => entry.looked += 1,
                Deed::Change => entry.changed += 1,
                Deed::Read => (entry.reads, entry.read_bytes) = (entry.reads + 1, entry.read_bytes + bytes),
                Deed::Write => (entry.writes, entry.written_bytes) = (entry.writes + 1, entry.written_bytes + bytes),
            }
        };
        if let Some(address) = address(call) {
            return add(self.addresses.of(address.as_bytes()), deed);
        }
        for path in self.descriptors.paths(pid, call) {
            add(self.files.of(&path), deed);
        }
        if !matches!(deed, Deed::Read | Deed::Write | Deed::Move | Deed::Change) {
            return;
        }
        for arg in &call.args {
            let Value::Fd { number, .. } = &arg.value else { continue };
            let Some(name) = self.descriptors.name_of(pid, &arg.value) else { continue };
            let deed = match (deed, arg.name) {
                (Deed::Move, "in_fd" | "fd_in" | "infd") => Deed::Read,
                (Deed::Move, _) => Deed::Write,
                // The directory that a path is relative to is not what changes.
                (Deed::Change, name) if name.contains("dir") || name.contains("dfd") => continue,
                _ => deed,
            };
            let followed = self.descriptors.get(pid, *number).is_some_and(|descriptor| descriptor.socket);
            let socket = followed || name.starts_with(b"socket:");
            let list = if socket { &mut self.addresses } else { &mut self.files };
            add(list.of(name), deed);
            if deed != Deed::Read && deed != Deed::Write {
                break;
            }
        }
    }

    /// What a call is about in one name: its address, its path, or what its descriptor refers to.
    pub(super) fn about(&self, pid: i32, call: &Call) -> Vec<u8> {
        if let Some(address) = address(call) {
            return address.into_bytes();
        }
        if let Some(path) = self.descriptors.paths(pid, call).next() {
            return path.into_owned();
        }
        let name = call.args.iter().find_map(|arg| self.descriptors.name_of(pid, &arg.value));
        name.map(<[u8]>::to_vec).unwrap_or_default()
    }

    /// Follows the descriptors.
    pub(super) fn follow(&mut self, event: &Event) {
        self.descriptors.follow(event);
    }
}

fn deed(name: &str) -> Option<Deed> {
    Some(match name {
        "open" | "openat" | "openat2" | "creat" | "connect" | "bind" | "accept" | "accept4" | "opendir" => Deed::Open,
        "read" | "pread64" | "readv" | "preadv" | "preadv2" | "getdents" | "getdents64" | "recvfrom" | "recvmsg"
        | "recv" => Deed::Read,
        "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" | "sendto" | "sendmsg" | "send" => Deed::Write,
        "sendfile" | "sendfile64" | "copy_file_range" | "splice" | "tee" => Deed::Move,
        "stat" | "lstat" | "newfstatat" | "fstatat64" | "stat64" | "lstat64" | "statx" | "access" | "faccessat"
        | "faccessat2" | "readlink" | "readlinkat" | "execve" | "execveat" | "statfs" | "chdir" | "getxattr"
        | "lgetxattr" | "listxattr" | "llistxattr" | "inotify_add_watch" => Deed::Look,
        "truncate" | "ftruncate" | "fallocate" | "unlink" | "unlinkat" | "rename" | "renameat" | "renameat2"
        | "mkdir" | "mkdirat" | "rmdir" | "link" | "linkat" | "symlink" | "symlinkat" | "chmod" | "fchmod"
        | "fchmodat" | "fchmodat2" | "chown" | "lchown" | "fchown" | "fchownat" | "utimensat" | "utime" | "utimes"
        | "mknod" | "mknodat" | "setxattr" | "lsetxattr" | "fsetxattr" | "removexattr" => Deed::Change,
        _ => return None,
    })
}
