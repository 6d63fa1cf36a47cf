//! Where child groups can be made: cgroups(7), proc_pid_cgroup(5), proc_pid_mountinfo(5).

use std::path::{Path, PathBuf};

use tipstaff_abi::caps::CgroupCaps;

/// Which of the two interfaces a controller has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A v1 hierarchy.
    V1,
    /// The unified hierarchy.
    V2,
}

/// The directory in which a controller's child groups are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which interface.
    pub version: Version,
    /// An existing group that we may write.
    pub dir: PathBuf,
}

/// Where each controller's child groups can be made; None where they cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// The memory controller.
    pub memory: Option<Place>,
    /// The pids controller.
    pub pids: Option<Place>,
    /// CPU accounting.
    pub cpu: Option<Place>,
    /// CPU bandwidth.
    pub bandwidth: Option<Place>,
}

impl Hierarchies {
    /// As the capabilities that lowering looks at.
    pub fn caps(&self) -> CgroupCaps {
        let all = [&self.memory, &self.pids, &self.cpu, &self.bandwidth];
        let any = |version| all.iter().any(|p| p.as_ref().is_some_and(|p| p.version == version));
        CgroupCaps {
            memory: self.memory.is_some(),
            pids: self.pids.is_some(),
            cpu: self.cpu.is_some(),
            bandwidth: self.bandwidth.is_some(),
            v1: any(Version::V1),
            v2: any(Version::V2),
        }
    }
}

/// Looks at this machine.
pub fn discover() -> Hierarchies {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    find(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"), &writable, &|path| {
        std::fs::read_to_string(path).unwrap_or_default()
    })
}

fn writable(dir: &Path) -> bool {
    use rustix::fs::{Access, access, statvfs};
    let procs = dir.join("cgroup.procs");
    let read_only = statvfs(dir).is_ok_and(|s| s.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    !read_only && access(dir, Access::WRITE_OK).is_ok() && access(&procs, Access::WRITE_OK).is_ok()
}

/// The pure part: texts of the two files, whether a directory can be written, and the text of a file.
fn find(
    cgroup: &str,
    mountinfo: &str,
    writable: &dyn Fn(&Path) -> bool,
    text: &dyn Fn(&Path) -> String,
) -> Hierarchies {
    let mounts: Vec<Mount> = mountinfo.lines().filter_map(Mount::parse).collect();
    let mut found = Hierarchies::default();
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(id), Some(names), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        if id == "0" && names.is_empty() {
            if let Some(base) = mounts.iter().rev().find(|m| m.kind == "cgroup2").and_then(|m| m.locate(path)) {
                unified(&mut found, &base, writable, text);
            }
            continue;
        }
        for controller in names.split(',') {
            let slot = match controller {
                "memory" => &mut found.memory,
                "pids" => &mut found.pids,
                "cpuacct" => &mut found.cpu,
                "cpu" => &mut found.bandwidth,
                _ => continue,
            };
            let mount = mounts.iter().rev().find(|m| m.kind == "cgroup" && m.has_option(controller));
            if let Some(dir) = mount.and_then(|m| m.locate(path))
                && writable(&dir)
            {
                *slot = Some(Place { version: Version::V1, dir });
            }
        }
    }
    found
}

/// On the unified hierarchy a group with processes of its own cannot hand controllers to children ("no internal
/// processes"), unless it is the root. So the first of our group and its ancestors that we may write and that hands
/// controllers down is where boxes go.
fn unified(found: &mut Hierarchies, own: &Path, writable: &dyn Fn(&Path) -> bool, text: &dyn Fn(&Path) -> String) {
    // A hybrid: its line comes last, and what is on v1 stays there.
    if found.memory.is_some() && found.pids.is_some() {
        return;
    }
    for dir in own.ancestors().take_while(|dir| dir.join("cgroup.procs").as_os_str().len() > "/cgroup.procs".len()) {
        if !writable(dir) {
            if dir == own { continue } else { return }
        }
        let available = text(&dir.join("cgroup.controllers"));
        if available.is_empty() && !dir.join("cgroup.subtree_control").exists() && dir != own {
            return;
        }
        let handed = text(&dir.join("cgroup.subtree_control"));
        // The root group has no cgroup.type; there, and where no process lives, controllers can be handed down.
        let root = text(&dir.join("cgroup.type")).is_empty();
        let empty = text(&dir.join("cgroup.procs")).trim().is_empty();
        let has = |name: &str| {
            let in_list = |list: &str| list.split_whitespace().any(|c| c == name);
            in_list(&handed) || (in_list(&available) && (root || empty))
        };
        let place = Place { version: Version::V2, dir: dir.to_path_buf() };
        let slots = [(&mut found.memory, "memory"), (&mut found.pids, "pids"), (&mut found.bandwidth, "cpu")];
        for (slot, name) in slots {
            if slot.is_none() && has(name) {
                *slot = Some(place.clone());
            }
        }
        // cpu.stat has usage_usec in every v2 group, also where the cpu controller is not handed down; but only
        // where something of ours is on v2 anyway, since a v1 cpuacct is exact as well.
        let ours = |p: &Option<Place>| p.as_ref().is_some_and(|p| p.dir == *dir);
        if found.cpu.is_none() && (ours(&found.memory) || ours(&found.pids)) {
            found.cpu = Some(place);
        }
        if found.memory.is_some() && found.pids.is_some() {
            return;
        }
    }
}

pub(crate) struct Mount {
    root: String,
    point: PathBuf,
    pub(crate) kind: String,
    options: String,
}

impl Mount {
    /// `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        Some(Self {
            root: unescape(left.get(3)?),
            point: PathBuf::from(unescape(left.get(4)?)),
            kind: (*right.first()?).to_owned(),
            options: (*right.get(2)?).to_owned(),
        })
    }

    pub(crate) fn has_option(&self, name: &str) -> bool {
        self.options.split(',').any(|o| o == name)
    }

    /// The directory of a group's path, seen through this mount. Inside a container the mount shows only part of the
    /// hierarchy (`root`), or the path is outside of what is shown (`/../..`).
    pub(crate) fn locate(&self, path: &str) -> Option<PathBuf> {
        let below = if self.root == "/" { path } else { path.strip_prefix(&self.root)? };
        if below.split('/').any(|part| part == "..") {
            return None;
        }
        Some(self.point.join(below.trim_start_matches('/')))
    }
}

/// mountinfo writes space, tab, newline and backslash in octal.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        31 25 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        32 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn hybrid_takes_each_controller_where_it_is() {
        let cgroup = "8:pids:/\n4:memory:/a/b\n3:cpu,cpuacct:/c\n0::/d\n";
        let found = find(cgroup, HYBRID, &|_| true, &|_| String::new());
        assert_eq!(found.memory, Some(Place { version: Version::V1, dir: "/sys/fs/cgroup/memory/a/b".into() }));
        assert_eq!(found.pids, Some(Place { version: Version::V1, dir: "/sys/fs/cgroup/pids/".into() }));
        assert_eq!(found.cpu, Some(Place { version: Version::V1, dir: "/sys/fs/cgroup/cpu,cpuacct/c".into() }));
        assert!(!found.caps().v2);
    }

    #[test]
    fn nothing_writable_is_nothing_usable() {
        let found = find("8:pids:/\n4:memory:/a\n0::/\n", HYBRID, &|_| false, &|_| String::new());
        assert_eq!(found, Hierarchies::default());
        assert_eq!(found.caps(), CgroupCaps::NONE);
    }

    #[test]
    fn a_group_with_processes_hands_nothing_down_but_its_parent_may() {
        let mountinfo = "33 25 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let text = |path: &Path| {
            let answer = match path.to_str().unwrap() {
                "/sys/fs/cgroup/user/box/cgroup.controllers" => "memory pids",
                "/sys/fs/cgroup/user/box/cgroup.procs" => "12\n",
                "/sys/fs/cgroup/user/box/cgroup.type" | "/sys/fs/cgroup/user/cgroup.type" => "domain",
                "/sys/fs/cgroup/user/cgroup.controllers" => "cpu memory pids",
                "/sys/fs/cgroup/user/cgroup.subtree_control" => "memory pids",
                _ => "",
            };
            answer.to_owned()
        };
        let found = find("0::/user/box\n", mountinfo, &|_| true, &text);
        let place = Some(Place { version: Version::V2, dir: "/sys/fs/cgroup/user".into() });
        assert_eq!(found.memory, place);
        assert_eq!(found.pids, place);
        assert_eq!(found.cpu, place);
    }

    #[test]
    fn a_path_outside_of_what_the_mount_shows_is_not_guessed() {
        let mountinfo = "33 25 0:29 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let found = find("4:memory:/other\n", mountinfo, &|_| true, &|_| String::new());
        assert_eq!(found.memory, None);
        let found = find("4:memory:/docker/x/y\n", mountinfo, &|_| true, &|_| String::new());
        assert_eq!(found.memory.unwrap().dir, PathBuf::from("/sys/fs/cgroup/memory/y"));
    }
}
