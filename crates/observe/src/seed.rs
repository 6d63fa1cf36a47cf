//! Membership of what runs already.
//!
//! A task that is a member hands membership on to whatever it forks. So: first make the known tasks members, then look whom they have forked before; and
//! again until nobody is new. Whoever is forked after its parent became a member needs no look; whoever was forked before is in /proc by then.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tipstaff_sys::bpf::Update;
use tipstaff_sys::{Errno, affinity, pidfd};

use crate::maps::{self, flag, size, slot, state};
use crate::observer::Inner;
use crate::{Error, Phase};

/// Makes tasks members of one recording.
pub(crate) struct Seeds<'a> {
    inner: &'a Inner,
    slot: u32,
    flags: u32,
    phase: Phase,
    /// Tasks that have been dealt with.
    done: BTreeSet<i32>,
    pages: HashMap<PathBuf, u32>,
    /// Somebody has a filter.
    pub(crate) filtered: bool,
    taken: Option<i32>,
}

impl<'a> Seeds<'a> {
    pub(crate) fn new(inner: &'a Inner, slot: u32, flags: u32, phase: Phase) -> Self {
        let flags = flags & !flag::PHASE.cast_unsigned();
        Self { inner, slot, flags, phase, done: BTreeSet::new(), pages: HashMap::new(), filtered: false, taken: None }
    }

    /// A process, its threads, and all its descendants.
    pub(crate) fn tree(&mut self, root: i32) -> Result<(), Error> {
        if !Path::new(&format!("/proc/{root}")).exists() {
            return Err(Error::NoProcess(root));
        }
        loop {
            let before = self.done.len();
            let mut processes = vec![root];
            while let Some(process) = processes.pop() {
                self.process(process)?;
                for thread in numbers(&format!("/proc/{process}/task")) {
                    let children = fs::read_to_string(format!("/proc/{process}/task/{thread}/children"));
                    processes.extend(
                        children.unwrap_or_default().split_ascii_whitespace().filter_map(|n| n.parse::<i32>().ok()),
                    );
                }
            }
            if self.done.len() == before {
                return self.verdict();
            }
        }
    }

    /// Every process of a control group and of those below it.
    pub(crate) fn cgroup(&mut self, directory: &Path) -> Result<(), Error> {
        loop {
            let before = self.done.len();
            let mut directories = vec![directory.to_owned()];
            while let Some(directory) = directories.pop() {
                let processes = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
                for process in processes.split_ascii_whitespace().filter_map(|number| number.parse().ok()) {
                    // 0: not in our PID namespace.
                    if process > 0 {
                        self.process(process)?;
                    } else {
                        self.missed();
                    }
                }
                let below = fs::read_dir(&directory).into_iter().flatten().flatten();
                directories.extend(
                    below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
                );
            }
            if self.done.len() == before {
                return self.verdict();
            }
        }
    }

    /// Every process whose PID namespace is this one, and all their descendants.
    pub(crate) fn pid_namespace(&mut self, inum: u32) -> Result<(), Error> {
        loop {
            let before = self.done.len();
            for process in numbers("/proc") {
                if pid_namespace(process).is_ok_and(|found| found == inum) {
                    match self.tree(process) {
                        Err(Error::NoProcess(_)) => {}
                        other => other?,
                    }
                }
            }
            if self.done.len() == before {
                return self.verdict();
            }
        }
    }

    fn verdict(&self) -> Result<(), Error> {
        self.taken.map_or(Ok(()), |process| Err(Error::Taken(process)))
    }

    fn missed(&self) {
        self.inner.word(self.slot, slot::TASKS_MISSED).fetch_add(1, Relaxed);
    }

    fn process(&mut self, process: i32) -> Result<(), Error> {
        loop {
            let threads = numbers(&format!("/proc/{process}/task"));
            let new: Vec<i32> = threads.into_iter().filter(|thread| !self.done.contains(thread)).collect();
            if new.is_empty() {
                return Ok(());
            }
            let id = self.page(process)?;
            for thread in new {
                self.done.insert(thread);
                self.filtered |= under_filter(process, thread);
                match self.task(process, thread, id) {
                    // Gone meanwhile: pidfd_open(2) says ESRCH, the map ENOENT.
                    Err(Errno::SRCH | Errno::NOENT) => {}
                    Err(Errno::EXIST) => self.taken = Some(process),
                    // Before Linux 6.9 no descriptor can be had of a thread.
                    Err(_) => self.missed(),
                    Ok(()) => {}
                }
            }
        }
    }

    fn task(&self, process: i32, thread: i32, id: u32) -> Result<(), Errno> {
        // It makes no call any more.
        if Exiting::of(process, thread) != Exiting::No {
            return Err(Errno::SRCH);
        }
        let fd = match pidfd::open_thread(thread) {
            Err(Errno::INVAL) if thread == process => pidfd::open(process)?,
            other => other?,
        };
        let key = fd.as_raw_fd().to_ne_bytes();
        let mut value = [0; state::SIZE];
        let mut put = |at: i16, word: u32| value[at as usize..][..4].copy_from_slice(&word.to_ne_bytes());
        put(state::ID, id);
        put(state::SLOT, self.slot);
        let watch = if self.phase == Phase::Setup { flag::WATCH } else { 0 };
        put(state::FLAGS, self.flags | (flag::ASIDE | watch).cast_unsigned() | self.phase as u32);
        let map = &self.inner.maps.state;
        match map.set(&key, &value, Update::Create) {
            Err(Errno::EXIST) => {
                let mut present = [0; state::SIZE];
                map.get(&key, &mut present)?;
                let word = |at: i16| u32::from_ne_bytes(present[at as usize..][..4].try_into().expect("four bytes"));
                let page = word(state::ID) & (self.inner.maps.pages - 1);
                if self.inner.live(page) == Some(word(state::ID)) {
                    // It inherited membership before we came to it; or it is another recording's.
                    return if word(state::SLOT) == self.slot { Ok(()) } else { Err(Errno::EXIST) };
                }
                // Of a recording that has ended.
                map.set(&key, &value, Update::Any)?;
            }
            other => other?,
        }
        self.inner.word(self.slot, slot::MEMBERS).fetch_add(1, Relaxed);
        self.settle(process, thread, &key);
        Ok(())
    }

    /// A task that was on its way out when it became a member may have been past sched_process_exit already: then nobody else will ever count it as ended.
    fn settle(&self, process: i32, thread: i32, key: &[u8]) {
        loop {
            let exiting = Exiting::of(process, thread);
            let mut present = [0; state::SIZE];
            // Gone: it has ended like any other, after all that we did here.
            if exiting == Exiting::No || self.inner.maps.state.get(key, &mut present).is_err() {
                return;
            }
            let flags = present[state::FLAGS as usize..][..4].try_into().expect("four bytes");
            if i32::from_ne_bytes(flags) & flag::ENDED != 0 {
                return;
            }
            // The tracepoint comes before its zombie does.
            if exiting == Exiting::Done {
                self.inner.word(self.slot, slot::MEMBERS).fetch_sub(1, Relaxed);
                return;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// The page for the program of a process.
    fn page(&mut self, process: i32) -> Result<u32, Error> {
        let inner = self.inner;
        let fallback = || inner.word(self.slot, slot::FALLBACK + self.phase as usize).load(Relaxed) as u32;
        let link = format!("/proc/{process}/exe");
        // A kernel thread has none.
        let Ok(path) = fs::read_link(&link) else { return Ok(fallback()) };
        if let Some(id) = self.pages.get(&path) {
            return Ok(*id);
        }
        let Some(page) = inner.pop_page() else {
            inner.word(self.slot, slot::MERGED).fetch_add(1, Relaxed);
            return Ok(fallback());
        };
        inner.describe(page, self.slot, self.phase, &names(&path));
        let id = inner.open_page(page);
        // So that the programs find it too. They have the number of the super block's device, which overlayfs and Btrfs do not show: then
        // there are two pages for one path, which are one again in what we tell.
        if let Ok(meta) = fs::metadata(&link) {
            let mut key = [0; size::EXE];
            let device = rustix::fs::major(meta.dev()) << 20 | rustix::fs::minor(meta.dev());
            let words = [self.slot, self.phase as u32, device, 0];
            key.chunks_exact_mut(4).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_ne_bytes()));
            key[16..].copy_from_slice(&meta.ino().to_ne_bytes());
            let _ = inner.maps.exes.set(&key, &id.to_ne_bytes(), Update::Create);
        }
        self.pages.insert(path, id);
        Ok(id)
    }
}

/// Makes the kernel keep memory ready for the state of tasks, on every CPU that this thread may run on.
///
/// A process joins a control group with interrupts off, and then the kernel cannot fill its stock up: without this, the first of a CPU finds room for
/// four threads. One piece taken in quiet fills the stock with about fifty.
pub(crate) fn stock(inner: &Inner) {
    let Ok(mine) = affinity::mine() else { return };
    let Ok(fd) = pidfd::open_thread(rustix::thread::gettid().as_raw_nonzero().get()) else { return };
    let key = fd.as_raw_fd().to_ne_bytes();
    for cpu in (0..8192).filter(|cpu| mine.has(*cpu)) {
        // Id 0 is no recording's.
        if affinity::set_mine(&affinity::CpuSet::one(cpu)).is_ok()
            && inner.maps.state.set(&key, &[0; state::SIZE], Update::Create).is_ok()
        {
            let _ = inner.maps.state.remove(&key);
        }
    }
    let _ = affinity::set_mine(&mine);
}

/// A path as the programs write it: the names, last one first, each with a zero byte.
fn names(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    let mut names: Vec<u8> = Vec::new();
    for name in bytes.rsplit(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        if names.len() + name.len() + 1 > maps::NAMES {
            break;
        }
        names.extend_from_slice(name);
        names.push(0);
    }
    names
}

/// The entries of a directory that are numbers.
fn numbers(directory: &str) -> Vec<i32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// How far a task is on its way out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exiting {
    No,
    /// PF_EXITING, which comes before the tracepoint sched_process_exit.
    Begun,
    /// A zombie, or nothing.
    Done,
}

impl Exiting {
    /// As proc_pid_stat(5) has it: the state, and six fields later the kernel's flags.
    fn of(process: i32, thread: i32) -> Self {
        const PF_EXITING: u32 = 4;
        let text = fs::read_to_string(format!("/proc/{process}/task/{thread}/stat")).unwrap_or_default();
        // The command's name, in brackets, may hold anything.
        let mut fields = text.rsplit_once(") ").map_or("", |(_, rest)| rest).split_ascii_whitespace();
        if fields.next().is_none_or(|state| matches!(state, "Z" | "X")) {
            return Self::Done;
        }
        let flags: u32 = fields.nth(5).and_then(|flags| flags.parse().ok()).unwrap_or(0);
        if flags & PF_EXITING == 0 { Self::No } else { Self::Begun }
    }
}

/// `Seccomp: 2` in proc_pid_status(5).
fn under_filter(process: i32, thread: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/task/{thread}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2"))
}

/// Whether any thread of a process has a filter.
pub(crate) fn any_filter(process: i32) -> bool {
    numbers(&format!("/proc/{process}/task")).into_iter().any(|thread| under_filter(process, thread))
}

/// Whether a process is the first one of its PID namespace.
pub(crate) fn begins_pid_namespace(process: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    // Before Linux 4.1, or without CONFIG_PID_NS, nobody says so.
    let inner = status.lines().find_map(|line| line.strip_prefix("NSpid:")?.split_ascii_whitespace().last());
    inner.is_none_or(|pid| pid == "1")
}

/// The number of a process's PID namespace.
pub(crate) fn pid_namespace(process: i32) -> Result<u32, Error> {
    let link = fs::read_link(format!("/proc/{process}/ns/pid")).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NoProcess(process),
        _ => Error::Process { pid: process, errno: error.into() },
    })?;
    let text = link.to_str().and_then(|text| text.strip_prefix("pid:[")?.strip_suffix(']'));
    text.and_then(|text| text.parse().ok()).ok_or(Error::Process { pid: process, errno: Errno::INVAL })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_from_the_last_to_the_first() {
        assert_eq!(names(Path::new("/usr/bin/sh")), b"sh\0bin\0usr\0");
        assert_eq!(names(Path::new("/a/b (deleted)")), b"b\0a\0");
        assert_eq!(names(Path::new("/")), b"");
        assert!(names(Path::new(&"/abcdefg".repeat(2000))).len() <= maps::NAMES);
    }

    #[test]
    fn namespaces_that_are_none_are_told() {
        assert!(matches!(pid_namespace(-5), Err(Error::NoProcess(-5))));
        assert!(pid_namespace(std::process::id().cast_signed()).is_ok());
    }
}
