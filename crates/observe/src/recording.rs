//! One recording: a slot, its targets, its end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;

use tipstaff_sys::bpf::{Map, Update};
use tipstaff_sys::{clock, pidfd};

use crate::maps::{SLOTS, flag, size, slot};
use crate::observer::Inner;
use crate::seed::{self, Seeds};
use crate::{Error, Observed, Observer, Options, Phase, Returns, Target, cgroup, read};

/// PROC_PID_INIT_INO: the PID namespace of the machine.
const MACHINE: u32 = 0xefff_fffc;

/// One recording. Dropped, it stops; the target goes on either way.
#[derive(Debug)]
pub struct Recording {
    observer: Observer,
    slot: u32,
    flags: u32,
    root: Option<OwnedFd>,
    cgroups: Vec<[u8; size::CGROUP]>,
    pidnses: Vec<u32>,
    begun_ns: u64,
    stopped: bool,
}

fn bits(options: &Options) -> i32 {
    let bit = |on: bool, bit: i32| if on { bit } else { 0 };
    let always = options.returns == Returns::Always;
    bit(options.arguments, flag::ARGUMENTS)
        | bit(always, flag::RESULTS | flag::REFUSED)
        | bit(options.files, flag::FILES)
        | bit(options.sockets, flag::SOCKETS)
        | bit(options.capabilities, flag::CAPABILITIES)
}

impl Recording {
    pub(crate) fn begin(observer: &Observer, target: &Target, options: &Options) -> Result<Self, Error> {
        // A filter that is there from the beginning, or will be under a runtime: then refused calls are to be told from the start.
        let mut flags = bits(options);
        if options.returns == Returns::WhenFiltered && filtered(target) {
            flags |= flag::REFUSED;
        }
        let root = match target {
            Target::Tree(pid) | Target::Container { init: pid, .. } => {
                Some(pidfd::open(*pid).map_err(|_| Error::NoProcess(*pid))?)
            }
            Target::PidNamespace(_) | Target::Cgroup(_) => None,
        };
        let flags = flags.cast_unsigned();
        let watch = if options.joiners == Phase::Setup { flag::WATCH } else { 0 };
        let number = observer.0.take_slot(options, flags | watch.cast_unsigned())?;
        let mut recording = Self {
            observer: observer.clone(),
            slot: number,
            flags,
            root,
            cgroups: Vec::new(),
            pidnses: Vec::new(),
            begun_ns: clock::monotonic_ns(),
            stopped: false,
        };
        // An error drops the recording, which takes everything back.
        recording.admit(target, options)?;
        Ok(recording)
    }

    /// First the doors that joiners come through, then who is there.
    fn admit(&mut self, target: &Target, options: &Options) -> Result<(), Error> {
        let observer = self.observer.clone();
        let inner = &*observer.0;
        let mut seeds = Seeds::new(inner, self.slot, self.flags, options.phase);
        match target {
            Target::Tree(pid) => seeds.tree(*pid)?,
            Target::Cgroup(directory) => {
                self.add_cgroup(inner, directory)?;
                seeds.cgroup(directory)?;
            }
            Target::PidNamespace(pid) => {
                let inum = seed::pid_namespace(*pid)?;
                if inum == MACHINE {
                    return Err(Error::MachineNamespace(*pid));
                }
                self.add_pidns(inner, inum)?;
                seeds.pid_namespace(inum)?;
            }
            Target::Container { init, cgroups } => {
                for directory in cgroups {
                    self.add_cgroup(inner, directory)?;
                }
                let inum = seed::pid_namespace(*init)?;
                let own = seed::pid_namespace(std::process::id().cast_signed());
                // One that its first process has not begun is shared with others, whose calls are not its.
                if inum != MACHINE && own.ok() != Some(inum) && seed::begins_pid_namespace(*init) {
                    self.add_pidns(inner, inum)?;
                }
                seeds.tree(*init)?;
                for directory in cgroups {
                    seeds.cgroup(directory)?;
                }
            }
        }
        if seeds.filtered {
            inner.word(self.slot, slot::FILTERED).fetch_add(1, Relaxed);
        }
        Ok(())
    }

    fn add_cgroup(&mut self, inner: &Inner, directory: &std::path::Path) -> Result<(), Error> {
        let key = cgroup::key(directory)?;
        seed::stock(inner);
        add(&inner.maps.cgroups, &key, self.slot, "ts_cgroups")?;
        self.cgroups.push(key);
        inner.word(SLOTS, slot::CGROUPS).fetch_add(1, Relaxed);
        Ok(())
    }

    fn add_pidns(&mut self, inner: &Inner, inum: u32) -> Result<(), Error> {
        add(&inner.maps.pidnses, &inum.to_ne_bytes(), self.slot, "ts_pidnses")?;
        self.pidnses.push(inum);
        inner.word(SLOTS, slot::PIDNSES).fetch_add(1, Relaxed);
        Ok(())
    }

    /// What has been seen so far. The recording goes on.
    pub fn snapshot(&self) -> Result<Observed, Error> {
        let inner = &*self.observer.0;
        // Nobody removes keys while they are walked through.
        let _shared = inner.shared();
        let mut observed = read::all(inner, self.slot, self.flags, self.begun_ns)?;
        observed.elapsed_ns = clock::monotonic_ns().saturating_sub(self.begun_ns);
        Ok(observed)
    }

    /// Ends the recording and says what it has seen. The target goes on.
    pub fn stop(mut self) -> Result<Observed, Error> {
        let observed = self.snapshot();
        self.end();
        observed
    }

    /// A pidfd of the process at the root of the target, to wait for its end: readable when it has ended (pidfd_open(2)). `None`: there is no such
    /// process.
    #[must_use]
    pub fn root(&self) -> Option<BorrowedFd<'_>> {
        self.root.as_ref().map(AsFd::as_fd)
    }

    /// How many tasks are recorded at this moment: 0 when the whole target has ended. One read of memory.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.observer.0.word(self.slot, slot::MEMBERS).load(Relaxed).cast_signed().max(0).cast_unsigned()
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        let inner = &*self.observer.0;
        let mut shared = inner.shared();
        for key in &self.cgroups {
            let _ = inner.maps.cgroups.remove(key);
            inner.word(SLOTS, slot::CGROUPS).fetch_sub(1, Relaxed);
        }
        for inum in &self.pidnses {
            let _ = inner.maps.pidnses.remove(&inum.to_ne_bytes());
            inner.word(SLOTS, slot::PIDNSES).fetch_sub(1, Relaxed);
        }
        read::forget(inner, self.slot);
        shared.slots.remove(&self.slot);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.end();
    }
}

fn add(map: &Map, key: &[u8], slot: u32, what: &'static str) -> Result<(), Error> {
    map.set(key, &slot.to_ne_bytes(), Update::Create).map_err(|errno| match errno {
        tipstaff_sys::Errno::EXIST => Error::TargetTaken,
        errno => Error::Map { what, errno },
    })
}

/// Whether anybody of a target has a filter now.
fn filtered(target: &Target) -> bool {
    match target {
        Target::Tree(pid) | Target::PidNamespace(pid) | Target::Container { init: pid, .. } => seed::any_filter(*pid),
        Target::Cgroup(directory) => {
            let processes = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            processes.split_ascii_whitespace().filter_map(|number| number.parse().ok()).any(seed::any_filter)
        }
    }
}
