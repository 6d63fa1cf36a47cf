//! One box's group in every hierarchy that it needs.

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use crate::files::{Gauge, field, tasks, write};
use crate::{Hierarchies, MemoryReading, Place, Version, control, sweep};

/// What a box needs of control groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Memory limit in bytes.
    pub memory: Option<u64>,
    /// Task limit.
    pub pids: Option<u64>,
    /// CPU accounting.
    pub cpu: bool,
    /// CPU bandwidth in percent of one CPU.
    pub cpu_percent: Option<u64>,
}

/// A step on a group that failed: which, where, why.
#[derive(Debug)]
pub struct Error {
    /// What was tried (`mkdir`, `write memory.max`).
    pub step: &'static str,
    /// The group or the file.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.step, self.path, self.source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// CPU time of a group in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuReading {
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// Both; exact where the parts are estimates.
    pub total: u64,
}

/// The directories of one box, one per hierarchy. Dropping removes them if they are empty.
#[derive(Debug)]
pub struct Cgroup {
    pub(crate) dirs: Vec<Dir>,
    cpu: Option<(Version, Gauge)>,
    memory: Option<MemoryGauges>,
    pub(crate) pids: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Dir {
    pub(crate) version: Version,
    pub(crate) path: PathBuf,
    /// Locked (flock(2), shared) while we live: nobody sweeps it, whatever PID namespace he looks from.
    _lock: OwnedFd,
}

#[derive(Debug)]
struct MemoryGauges {
    version: Version,
    dir: PathBuf,
    stat: Gauge,
    total: Gauge,
    kernel: Option<Gauge>,
    /// TCP buffers, where they are counted apart (v1).
    sockets: Option<Gauge>,
    events: Gauge,
    oom: Option<OwnedFd>,
}

/// So often, a millisecond apart, a sweeper may be in the way.
const TRIES: u32 = 100;

/// The name and the places of one box's groups, before there is any: whoever removes them knows them before they are made.
#[derive(Clone, Debug)]
pub struct Reserved {
    name: String,
    places: Vec<Place>,
}

/// Where one group will be.
#[derive(Debug)]
pub struct Entry {
    /// Which interface.
    pub version: Version,
    /// The directory in which it is made (O_PATH).
    pub parent: OwnedFd,
    /// Its name there.
    pub name: CString,
}

impl Reserved {
    /// Chooses where `wanted` goes. A controller that is wanted and not in `hierarchies` is left out: lowering has seen to another
    /// mechanism.
    pub fn new(hierarchies: &Hierarchies, wanted: &Wanted) -> Result<Self, Error> {
        let name = step("name", Path::new("a group"), sweep::name())?;
        let all = [
            (wanted.memory.is_some(), &hierarchies.memory),
            (wanted.pids.is_some(), &hierarchies.pids),
            (wanted.cpu, &hierarchies.cpu),
            (wanted.cpu_percent.is_some(), &hierarchies.bandwidth),
        ];
        let mut places: Vec<Place> = Vec::new();
        for place in all.into_iter().filter(|(wanted, _)| *wanted).filter_map(|(_, place)| place.as_ref()) {
            if !places.contains(place) {
                places.push(place.clone());
            }
        }
        Ok(Self { name, places })
    }

    /// Each group's parent directory and name.
    pub fn entries(&self) -> Result<Vec<Entry>, Error> {
        use rustix::fs::{Mode, OFlags, open};
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.places
            .iter()
            .map(|place| {
                let parent = step("open", &place.dir, open(&place.dir, flags, Mode::empty()).map_err(io::Error::from))?;
                let name = CString::new(self.name.as_bytes()).unwrap_or_default();
                Ok(Entry { version: place.version, parent, name })
            })
            .collect()
    }
}

/// A new directory with its lock. A sweeper can come between the two steps: he has the lock then, or the directory is gone. He removes
/// nothing but what he has locked, so the name can be used again once he is done.
fn held(path: &Path) -> Result<OwnedFd, Error> {
    let mut tries = 0;
    step("mkdir", path, std::fs::create_dir(path))?;
    loop {
        match sweep::lock(path, false) {
            Ok(lock) => return Ok(lock),
            Err(e) if tries < TRIES && e.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(e) if tries < TRIES && e.kind() == io::ErrorKind::NotFound => match std::fs::create_dir(path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return step("mkdir", path, Err(e)),
                _ => {}
            },
            Err(e) => {
                let _ = std::fs::remove_dir(path);
                return step("lock", path, Err(e));
            }
        }
        tries += 1;
    }
}

/// Tries each step in turn and says which failed.
pub(crate) fn step<T>(step: &'static str, path: &Path, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error { step, path: path.to_path_buf(), source })
}

impl Cgroup {
    /// Makes the reserved groups and writes the limits that `wanted` says.
    pub fn create(reserved: &Reserved, hierarchies: &Hierarchies, wanted: &Wanted) -> Result<Self, Error> {
        let name = &reserved.name;
        let mut group = Self { dirs: Vec::new(), cpu: None, memory: None, pids: None };
        if let (Some(limit), Some(place)) = (wanted.memory, &hierarchies.memory) {
            let dir = group.dir(place, name, "memory")?;
            group.memory = Some(MemoryGauges::open(place.version, dir, limit)?);
        }
        if let (Some(limit), Some(place)) = (wanted.pids, &hierarchies.pids) {
            let dir = group.dir(place, name, "pids")?;
            step("write pids.max", &dir, write(&dir, "pids.max", &tasks(limit)))?;
            group.pids = Some(dir);
        }
        if let (true, Some(place)) = (wanted.cpu, &hierarchies.cpu) {
            let dir = group.dir(place, name, "cpu")?;
            let file = if place.version == Version::V1 { "cpuacct.usage" } else { "cpu.stat" };
            group.cpu = Some((place.version, step("open the CPU account", &dir, Gauge::open(&dir, file))?));
        }
        if let (Some(percent), Some(place)) = (wanted.cpu_percent, &hierarchies.bandwidth) {
            let dir = group.dir(place, name, "cpu bandwidth")?;
            control::bound_cpu(place.version, &dir, percent)?;
        }
        // While the keeper is at its steps there is time for it.
        static SWEEP: Once = Once::new();
        SWEEP.call_once(|| hierarchies.sweep());
        Ok(group)
    }

    /// The box's directory below `place`, made if another controller of the same hierarchy has not made it.
    fn dir(&mut self, place: &Place, name: &str, controller: &str) -> Result<PathBuf, Error> {
        let path = place.dir.join(name);
        let account = controller == "cpu";
        // The account is there without the controller, the bandwidth is not.
        let controller = if controller == "cpu bandwidth" { "cpu" } else { controller };
        if place.version == Version::V2 && !account {
            let handed = std::fs::read_to_string(place.dir.join("cgroup.subtree_control")).unwrap_or_default();
            if !handed.split_whitespace().any(|c| c == controller) {
                let value = format!("+{controller}");
                step("hand down a controller in", &place.dir, write(&place.dir, "cgroup.subtree_control", &value))?;
            }
        }
        if self.dirs.iter().any(|dir| dir.path == path) {
            return Ok(path);
        }
        let lock = held(&path)?;
        self.dirs.push(Dir { version: place.version, path: path.clone(), _lock: lock });
        Ok(path)
    }

    /// Which interface the CPU account has; None without one.
    pub fn cpu_version(&self) -> Option<Version> {
        self.cpu.as_ref().map(|(version, _)| *version)
    }

    /// Total CPU time in nanoseconds, children that nobody reaped included.
    pub fn cpu_total_ns(&self) -> Option<u64> {
        match self.cpu.as_ref()? {
            (Version::V1, gauge) => gauge.number().ok(),
            (Version::V2, gauge) => field(&gauge.text().ok()?, "usage_usec").map(|us| us * 1000),
        }
    }

    /// CPU time in its parts.
    pub fn cpu(&self) -> Option<CpuReading> {
        match self.cpu.as_ref()? {
            (Version::V1, gauge) => {
                let total = gauge.number().ok()?;
                let dir = self.dirs.iter().rev().find(|dir| dir.path.join("cpuacct.usage_user").exists());
                let part = |name| dir.and_then(|d| Gauge::open(&d.path, name).ok()?.number().ok());
                let user = part("cpuacct.usage_user").unwrap_or(total);
                Some(CpuReading { user, system: part("cpuacct.usage_sys").unwrap_or(total - user.min(total)), total })
            }
            (Version::V2, gauge) => {
                let text = gauge.text().ok()?;
                let ns = |key| field(&text, key).map(|us| us * 1000);
                Some(CpuReading { user: ns("user_usec")?, system: ns("system_usec")?, total: ns("usage_usec")? })
            }
        }
    }

    /// Which interface the memory account has; None without one.
    pub fn memory_version(&self) -> Option<Version> {
        self.memory.as_ref().map(|m| m.version)
    }

    /// What the memory is made of now.
    pub fn memory(&self) -> Option<MemoryReading> {
        self.memory.as_ref()?.read()
    }

    /// Highest total ever charged, page cache included (v2: Linux 5.19).
    pub fn memory_total_peak(&self) -> Option<u64> {
        let m = self.memory.as_ref()?;
        let file = if m.version == Version::V1 { "memory.max_usage_in_bytes" } else { "memory.peak" };
        Gauge::open(&m.dir, file).ok()?.number().ok()
    }

    /// Processes that the kernel killed for memory.
    pub fn oom_kills(&self) -> u64 {
        self.memory.as_ref().and_then(|m| field(&m.events.text().ok()?, "oom_kill")).unwrap_or(0)
    }

    /// Something to poll for an out-of-memory event, and whether it is POLLPRI (v2) rather than POLLIN (v1) that
    /// says so.
    pub fn oom_fd(&self) -> Option<(BorrowedFd<'_>, bool)> {
        let m = self.memory.as_ref()?;
        m.oom.as_ref().map(|fd| (fd.as_fd(), m.version == Version::V2))
    }

    /// A handle that lowers its limits.
    pub fn limiter(&self) -> Limiter {
        let memory = self.memory.as_ref().map(|memory| (memory.version, memory.dir.clone()));
        Limiter { pids: self.pids.clone(), memory }
    }

    /// Highest number of tasks (Linux 6.1), and how often the limit refused one.
    pub fn pids(&self) -> (Option<u64>, Option<u64>) {
        let Some(dir) = &self.pids else { return (None, None) };
        let peak = Gauge::open(dir, "pids.peak").and_then(|g| g.number()).ok();
        let refused = Gauge::open(dir, "pids.events").and_then(|g| g.text()).ok();
        (peak, refused.and_then(|text| field(&text, "max")))
    }
}

/// Lowers the limits of a group that is in use, from any thread.
#[derive(Clone, Debug)]
pub struct Limiter {
    pids: Option<PathBuf>,
    memory: Option<(Version, PathBuf)>,
}

impl Limiter {
    /// A new limit of tasks; None where the group has none. More than that may be there: they stay, and no new one is made.
    pub fn processes(&self, limit: u64) -> Option<Result<(), Error>> {
        let dir = self.pids.as_ref()?;
        Some(step("write pids.max", dir, write(dir, "pids.max", &tasks(limit))))
    }

    /// A new limit of memory in bytes; None where the group has none. If more is in use than can be given back, v1 refuses (EBUSY), and v2 ends processes.
    pub fn memory(&self, bytes: u64) -> Option<Result<(), Error>> {
        let (version, dir) = self.memory.as_ref()?;
        let text = bytes.to_string();
        if *version == Version::V2 {
            return Some(step("write memory.max", dir, write(dir, "memory.max", &text)));
        }
        let mut done = step("write memory.limit_in_bytes", dir, write(dir, "memory.limit_in_bytes", &text));
        if done.is_ok() && dir.join("memory.memsw.limit_in_bytes").exists() {
            let swap = write(dir, "memory.memsw.limit_in_bytes", &text);
            done = step("write memory.memsw.limit_in_bytes", dir, swap);
        }
        Some(done)
    }
}

impl MemoryGauges {
    fn open(version: Version, dir: PathBuf, limit: u64) -> Result<Self, Error> {
        let text = limit.to_string();
        let gauge = |name| step("open the memory account of", &dir, Gauge::open(&dir, name));
        match version {
            Version::V1 => {
                step("write memory.limit_in_bytes", &dir, write(&dir, "memory.limit_in_bytes", &text))?;
                // Without swap accounting the file is not there, and with no swap it does not matter.
                if dir.join("memory.memsw.limit_in_bytes").exists() {
                    let done = write(&dir, "memory.memsw.limit_in_bytes", &text);
                    step("write memory.memsw.limit_in_bytes", &dir, done)?;
                }
                // v1 counts TCP buffers by themselves, and not at all before a limit is set (tcp_mem of cgroup-v1/memory).
                let sockets = write(&dir, "memory.kmem.tcp.limit_in_bytes", &text).is_ok();
                Ok(Self {
                    stat: gauge("memory.stat")?,
                    total: gauge("memory.usage_in_bytes")?,
                    kernel: gauge("memory.kmem.usage_in_bytes").ok(),
                    sockets: if sockets { gauge("memory.kmem.tcp.usage_in_bytes").ok() } else { None },
                    events: gauge("memory.oom_control")?,
                    oom: v1_oom_event(&dir).ok(),
                    version,
                    dir,
                })
            }
            Version::V2 => {
                step("write memory.max", &dir, write(&dir, "memory.max", &text))?;
                if dir.join("memory.swap.max").exists() {
                    step("write memory.swap.max", &dir, write(&dir, "memory.swap.max", "0"))?;
                }
                // One task killed is the box killed.
                let _ = write(&dir, "memory.oom.group", "1");
                let events = dir.join("memory.events");
                Ok(Self {
                    stat: gauge("memory.stat")?,
                    total: gauge("memory.current")?,
                    kernel: None,
                    sockets: None,
                    events: gauge("memory.events")?,
                    oom: File::open(events).ok().map(OwnedFd::from),
                    version,
                    dir,
                })
            }
        }
    }

    fn read(&self) -> Option<MemoryReading> {
        let stat = self.stat.text().ok()?;
        let total = self.total.number().ok()?;
        let sockets = self.sockets.as_ref().and_then(|s| s.number().ok()).unwrap_or(0);
        let get = |key| field(&stat, key);
        Some(match self.version {
            Version::V1 => MemoryReading {
                anonymous: get("total_rss").or_else(|| get("rss"))?,
                shared: get("total_shmem").or_else(|| get("shmem")).unwrap_or(0),
                kernel: self.kernel.as_ref().and_then(|k| k.number().ok()).unwrap_or(0) + sockets,
                total: total + sockets,
            },
            Version::V2 => MemoryReading {
                anonymous: get("anon")?,
                shared: get("shmem")?,
                // `kernel` since Linux 5.18; before that, its parts.
                kernel: get("kernel").unwrap_or_else(|| {
                    ["kernel_stack", "pagetables", "percpu", "slab"].iter().filter_map(|k| get(k)).sum()
                }) + get("sock").unwrap_or(0),
                total,
            },
        })
    }
}

/// cgroup-v1/memory: "write '<event_fd> <control_fd>' to cgroup.event_control".
fn v1_oom_event(dir: &Path) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let control = File::open(dir.join("memory.oom_control"))?;
    write(dir, "cgroup.event_control", &format!("{} {}", event.as_raw_fd(), control.as_raw_fd()))?;
    Ok(event)
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for dir in &self.dirs {
            // The keeper has removed it already when there was one; a group with tasks stays.
            let _ = std::fs::remove_dir(&dir.path);
        }
    }
}
