//! Leaving the caller's control groups: cgroups(7).

use std::path::PathBuf;

use crate::discover::Mount;

/// Moves this process to the top group of every hierarchy, so that nobody who ends the caller's group (a systemd scope, a container's) ends us
/// with it. Answers what could not be left: `(group's path, reason)`; nothing where we are at the top already.
pub fn leave() -> Vec<(String, std::io::Error)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut stays = Vec::new();
    for (path, top) in tops(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo")) {
        // 0 is whoever writes.
        let moved = top.ok_or_else(|| std::io::Error::other("its hierarchy is not mounted here"));
        if let Err(e) = moved.and_then(|top| std::fs::write(top.join("cgroup.procs"), "0")) {
            stays.push((path, e));
        }
    }
    stays
}

/// The groups that are not at the top, each with the top of its hierarchy.
fn tops(cgroup: &str, mountinfo: &str) -> Vec<(String, Option<PathBuf>)> {
    let mounts: Vec<Mount> = mountinfo.lines().filter_map(Mount::parse).collect();
    let mut found = Vec::new();
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(id), Some(names), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        if path == "/" {
            continue;
        }
        let unified = id == "0" && names.is_empty();
        let mount = mounts.iter().rev().find(|mount| match unified {
            true => mount.kind == "cgroup2",
            false => mount.kind == "cgroup" && names.split(',').all(|name| mount.has_option(name)),
        });
        found.push((path.to_owned(), mount.and_then(|mount| mount.locate("/"))));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hierarchy_by_its_own_mount() {
        let mounts = "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            31 25 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
            33 25 0:29 /docker/x /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let cgroup = "9:name=systemd:/machine.slice/a:b.scope\n5:pids:/p\n4:memory:/\n0::/docker/x/y\n";
        let top = |path: &str| Some(PathBuf::from(path));
        let expected = [
            ("/machine.slice/a:b.scope".to_owned(), top("/sys/fs/cgroup/systemd/")),
            ("/p".to_owned(), None),
            // What this mount does not show is not guessed.
            ("/docker/x/y".to_owned(), None),
        ];
        assert_eq!(tops(cgroup, mounts), expected);
    }
}
