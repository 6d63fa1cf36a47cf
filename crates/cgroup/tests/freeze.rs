//! A v2 group of a box, frozen and thawed by the kernel. The hybrid machines that have no controller on v2 still freeze there.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tipstaff_cgroup::{Cgroup, Hierarchies, Place, Reserved, Version, Wanted};

/// The root of the unified hierarchy, if we may make groups there.
fn unified() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let at = mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (point, kind) = (words.nth(1)?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(point))
    })?;
    let probe = at.join(format!("tipstaff-probe-{}", std::process::id()));
    std::fs::create_dir(&probe).ok()?;
    std::fs::remove_dir(&probe).ok()?;
    Some(at)
}

#[test]
fn a_frozen_group_stands_still_and_can_be_killed() {
    let Some(dir) = unified() else {
        tipstaff_testkit::skip!("no unified hierarchy in which a group can be made");
    };
    let place = Some(Place { version: Version::V2, dir });
    let hierarchies = Hierarchies { cpu: place, ..Hierarchies::default() };
    let wanted = Wanted { cpu: true, ..Wanted::default() };
    let reserved = Reserved::new(&hierarchies, &wanted).expect("a name");
    let entry = reserved.entries().expect("entries").swap_remove(0);
    let group = Cgroup::create(&reserved, &hierarchies, &wanted).expect("a group");
    assert!(group.can_freeze() && !group.has_pids());
    let parent = std::os::fd::AsRawFd::as_raw_fd(&entry.parent);
    let dir = std::fs::read_link(format!("/proc/self/fd/{parent}")).expect("a link");
    let procs = dir.join(entry.name.to_str().expect("UTF-8")).join("cgroup.procs");
    let mut child =
        Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().expect("a shell");
    std::fs::write(procs, child.id().to_string()).expect("moved");
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    let used = || group.cpu_total_ns().expect("an account");
    until("it uses CPU", &|| used() > 1_000_000);
    group.freeze(true).expect("freeze");
    until("it is frozen", &|| group.is_frozen());
    let frozen = used();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(used(), frozen);
    group.freeze(false).expect("thaw");
    until("it goes on", &|| used() > frozen + 1_000_000);
    group.freeze(true).expect("freeze");
    until("it is frozen again", &|| group.is_frozen());
    child.kill().expect("SIGKILL");
    child.wait().expect("a frozen v2 task dies of SIGKILL");
}
