//! What a child gets of the thread that clones it, as far as it can be asked for: credentials(7), capabilities(7), getrlimit(2),
//! sched_getaffinity(2), getpriority(2), personality(2), seccomp(2), namespaces(7), chroot(2).
//!
//! Not among it: control groups, and Landlock domains of a thread that had no_new_privs already.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::raw::{Errno, addr_mut, call, ptr};
use crate::{capability, ids, rlimit};

/// What a child of the calling thread would get now. Two that are equal: nothing of it has changed in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    ids: [u32; 6],
    groups: Vec<u32>,
    capabilities: [u32; 6],
    limits: [Option<(u64, u64)>; 16],
    cpus: [u64; 16],
    /// Nice value, personality, no_new_privs, seccomp mode, each as its call says it.
    words: [i64; 4],
    /// The root directory, by device and inode.
    root: (u64, u64),
    /// The namespaces, by kind and number.
    namespaces: [[u8; 32]; 4],
}

fn word(nr: libc::c_long, args: [usize; 6]) -> i64 {
    // SAFETY: the callers pass integers.
    unsafe { call(nr, args) }.map_or_else(|e| -i64::from(e.0), |value| value as i64)
}

fn all_ids() -> [u32; 6] {
    let mut ids = [u32::MAX; 6];
    for (nr, at) in [(libc::SYS_getresuid, 0), (libc::SYS_getresgid, 3)] {
        let [a, b, c] = [0, 1, 2].map(|i| addr_mut(&mut ids[at + i]));
        // SAFETY: three words of a local.
        let _ = unsafe { call(nr, [a, b, c, 0, 0, 0]) };
    }
    ids
}

fn groups() -> Vec<u32> {
    let n = word(libc::SYS_getgroups, [0; 6]).max(0) as usize;
    let mut groups = vec![0u32; n];
    if n > 0 {
        // SAFETY: room for `n` ids; with more by now it is EINVAL.
        let _ = unsafe { call(libc::SYS_getgroups, [n, groups.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    }
    groups
}

fn place(path: &core::ffi::CStr) -> (u64, u64) {
    // SAFETY: plain data, which the kernel fills.
    let mut st: libc::stat = unsafe { core::mem::zeroed() };
    let words = [libc::AT_FDCWD as usize, ptr(path), addr_mut(&mut st), 0, 0, 0];
    // SAFETY: a constant path and a struct stat.
    match unsafe { call(libc::SYS_newfstatat, words) } {
        Ok(_) => (st.st_dev, st.st_ino),
        Err(_) => (0, 0),
    }
}

/// The name of a thread's namespace: readlink(2), which costs less than half of what a stat does here.
fn namespace(directory: i32, kind: &core::ffi::CStr) -> [u8; 32] {
    let mut name = [0u8; 32];
    let words = [directory as usize, ptr(kind), addr_mut(&mut name), name.len(), 0, 0];
    // SAFETY: a constant path, and at most the buffer's size is written.
    let _ = unsafe { call(libc::SYS_readlinkat, words) };
    name
}

/// The directory of a thread's namespaces, kept open: a look from there costs a third.
#[derive(Debug)]
pub struct Namespaces {
    thread: i32,
    directory: OwnedFd,
}

impl Namespaces {
    /// Of the calling thread.
    fn open() -> Result<Self, Errno> {
        let flags = (libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) as usize;
        let words = [libc::AT_FDCWD as usize, ptr(c"/proc/thread-self/ns"), flags, 0, 0, 0];
        // SAFETY: a constant path; the descriptor is ours.
        let directory = unsafe { OwnedFd::from_raw_fd(call(libc::SYS_openat, words)? as i32) };
        Ok(Self { thread: ids::tid(), directory })
    }
}

impl Inherited {
    /// Of the calling thread. `namespaces` is kept for the next time.
    pub fn now(namespaces: &mut Option<Namespaces>) -> Self {
        // Another process's or another thread's directory says nothing about this one.
        if namespaces.as_ref().is_none_or(|known| known.thread != ids::tid()) {
            *namespaces = Namespaces::open().ok();
        }
        let ns = namespaces.as_ref().map_or(-1, |known| known.directory.as_raw_fd());
        let mut cpus = [0u64; 16];
        // SAFETY: the kernel writes at most the size given.
        let _ = unsafe { call(libc::SYS_sched_getaffinity, [0, size_of_val(&cpus), addr_mut(&mut cpus), 0, 0, 0]) };
        let prctl = |option: i32| word(libc::SYS_prctl, [option as usize, 0, 0, 0, 0, 0]);
        Self {
            ids: all_ids(),
            groups: groups(),
            capabilities: capability::sets(),
            limits: core::array::from_fn(|resource| rlimit::get(resource as u32).ok()),
            cpus,
            words: [
                word(libc::SYS_getpriority, [libc::PRIO_PROCESS as usize, 0, 0, 0, 0, 0]),
                word(libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0, 0]),
                prctl(libc::PR_GET_NO_NEW_PRIVS),
                prctl(libc::PR_GET_SECCOMP),
            ],
            root: place(c"/"),
            namespaces: [c"mnt", c"user", c"net", c"pid_for_children"].map(|kind| namespace(ns, kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changes_by_itself_and_each_change_shows() {
        std::thread::spawn(|| {
            let mut namespaces = None;
            let mut now = || Inherited::now(&mut namespaces);
            let before = now();
            assert!(before.root != (0, 0) && before.namespaces.iter().all(|name| name.contains(&b'[')), "{before:?}");
            assert_eq!(before, now());
            // SAFETY: integers.
            unsafe { call(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0, 0]) }.expect("prctl");
            let confined = now();
            assert!(confined != before || before.words[2] == 1);
            let (soft, hard) = rlimit::get(rlimit::RLIMIT_CORE).expect("getrlimit");
            rlimit::set(&rlimit::Rlimit { resource: rlimit::RLIMIT_CORE, soft: 0, hard }).expect("setrlimit");
            assert!(now() != confined || soft == 0);
        })
        .join()
        .expect("no panic");
    }
}
