//! Who comes from outside: into a control group, into a PID namespace.

use std::path::{Path, PathBuf};
use std::process::Command;

use tipstaff_observe::{Error, Options, Target};
use tipstaff_testkit::guest;

use crate::kit::{Waiting, complete, count, small};
use crate::observer;

/// A control group of its own, removed at the end.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Option<Self> {
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/cpu"];
        let root = roots.into_iter().map(Path::new).find(|root| root.join("cgroup.procs").exists())?;
        let path = root.join(format!("tipstaff-observe-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        Some(Self(path))
    }

    fn below(&self, name: &str) -> Self {
        let path = self.0.join(name);
        std::fs::create_dir(&path).expect("group");
        Self(path)
    }

    fn take(&self, pid: i32) {
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("joined");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn who_has_ended_is_nobody_to_wait_for() {
    let observer = observer!();
    // Whoever this program was leaves a child that its new self does not wait for.
    let mut parent = Command::new("sh").args(["-c", "true & exec sleep 1000"]).spawn().expect("sh");
    let pid = parent.id().cast_signed();
    let children = format!("/proc/{pid}/task/{pid}/children");
    let is_zombie = |child: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    };
    let begun = std::time::Instant::now();
    while !std::fs::read_to_string(&children).is_ok_and(|list| list.split_whitespace().any(is_zombie)) {
        assert!(begun.elapsed().as_secs() < 60, "no zombie");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let recording = observer.record(&Target::Tree(pid), &Options::default()).expect("recording");
    assert_eq!(recording.tasks(), 1);
    parent.kill().expect("kill");
    parent.wait().expect("wait");
    assert_eq!(recording.tasks(), 0);
    recording.stop().expect("observed");
}

#[test]
fn whoever_joins_a_control_group_is_recorded() {
    let observer = observer!();
    let Some(group) = Group::new("join") else { tipstaff_testkit::skip!("no control group can be made") };
    let below = group.below("below");
    let mut inside = Waiting::new("ppid=5");
    below.take(inside.pid());
    let mut joiner = Waiting::new("fork threads=2 ppid=7");
    let mut stranger = Waiting::new("ppid=1000");
    let recording = observer.record(&Target::Cgroup(group.0.clone()), &Options::default()).expect("recording");
    assert_eq!(recording.tasks(), 1);
    below.take(joiner.pid());
    assert_eq!(recording.tasks(), 2);
    assert_eq!([inside.end(), joiner.end(), stranger.end()], [0; 3]);
    let observed = recording.stop().expect("observed");
    assert_eq!(count(&observed, "getppid"), 5 + 20 + 7);
    complete(&observed);
}

#[test]
fn all_threads_of_a_joiner_are_recorded() {
    let observer = observer!();
    let Some(group) = Group::new("threads") else { tipstaff_testkit::skip!("no control group can be made") };
    let recording = observer.record(&Target::Cgroup(group.0.clone()), &Options::default()).expect("recording");
    let mut joiner = Waiting::new("hold=9");
    joiner.go();
    crate::kit::wait_until("the threads", || {
        std::fs::read_dir(format!("/proc/{}/task", joiner.pid())).is_ok_and(|entries| entries.count() == 10)
    });
    group.take(joiner.pid());
    assert_eq!(recording.tasks(), 10);
    joiner.kill();
    drop(recording);
}

#[test]
fn whoever_is_born_into_a_control_group_is_recorded() {
    let observer = observer!();
    let Some(group) = Group::new("born") else { tipstaff_testkit::skip!("no control group can be made") };
    let recording = observer.record(&Target::Cgroup(group.0.clone()), &Options::default()).expect("recording");
    let mut outside = Waiting::new(&format!("ppid=100 cgroup={} ppid=6", group.0.display()));
    let status = outside.end();
    let observed = recording.stop().expect("observed");
    if status == 77 {
        tipstaff_testkit::skip!("CLONE_INTO_CGROUP needs a group of the unified hierarchy and Linux 5.7");
    }
    assert_eq!((status, count(&observed, "getppid")), (0, 6));
    complete(&observed);
}

#[test]
fn a_missing_group_and_a_directory_that_is_none_are_refused() {
    let observer = observer!();
    for path in ["/sys/fs/cgroup/no-such-group", "/tmp"] {
        let error = observer.record(&Target::Cgroup(path.into()), &Options::default()).expect_err("no group");
        assert!(matches!(&error, Error::Cgroup { .. }) && error.to_string().starts_with(path), "{error}");
    }
}

#[test]
fn whoever_enters_a_pid_namespace_is_recorded() {
    let observer = observer!();
    let mut first = Waiting::new("pidns wait ppid=5");
    first.go_and_fork();
    let init = first.child();
    let recording = observer.record(&Target::PidNamespace(init), &Options::default()).expect("recording");
    assert_eq!(recording.tasks(), 1);
    // As a container engine's exec does it.
    let entered = Command::new("nsenter")
        .args(["--pid", "--target", &init.to_string()])
        .arg(guest("observed"))
        .args(["ppid=11", "fork", "ppid=2"])
        .status();
    let Ok(entered) = entered else { tipstaff_testkit::skip!("nsenter is not installed") };
    assert!(entered.success());
    assert_eq!(first.end(), 0);
    let observed = recording.stop().expect("observed");
    assert_eq!(count(&observed, "getppid"), 5 + 11 + 2);
    complete(&observed);
}

#[test]
fn a_namespace_below_is_part_of_it() {
    let observer = observer!();
    let mut first = Waiting::new("pidns wait pidns pidns ppid=3");
    first.go_and_fork();
    let init = first.child();
    let recording = observer.record(&Target::PidNamespace(init), &Options::default()).expect("recording");
    assert_eq!(first.end(), 0);
    let observed = recording.stop().expect("observed");
    assert_eq!(count(&observed, "getppid"), 3);
}

#[test]
fn the_machines_own_namespace_is_refused() {
    let observer = observer!();
    let waiting = Waiting::new("ppid=1");
    let own = std::fs::read_link("/proc/self/ns/pid").expect("namespace");
    match observer.record(&Target::PidNamespace(waiting.pid()), &Options::default()) {
        Err(Error::MachineNamespace(pid)) => assert_eq!(pid, waiting.pid()),
        other => panic!("{own:?}: {other:?}"),
    }
}

#[test]
fn what_the_recorder_itself_does_is_in_no_recording() {
    let observer = observer!(&small());
    let Some(group) = Group::new("nobody") else { tipstaff_testkit::skip!("no control group can be made") };
    // More than there are pages, so that each is used again, and is free while others begin.
    for n in 0..64 {
        let recording = observer.record(&Target::Cgroup(group.0.clone()), &Options::default()).expect("recording");
        let observed = recording.stop().expect("observed");
        assert_eq!(observed.calls, [], "recording {n} of an empty group");
    }
}

#[test]
fn a_pid_namespace_that_is_shared_is_not_the_container_s() {
    let observer = observer!();
    // A pod: its first process began the namespace, the container's did not.
    let mut pod = Command::new("unshare");
    pod.args(["--pid", "--fork", "sh", "-c", "sleep 1000 & read line; mkdir --version; kill $!"]);
    let mut pod = pod.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn().expect("unshare");
    let child = |pid: u32| -> Option<u32> {
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?.trim().parse().ok()
    };
    let container = || child(child(pod.id())?);
    crate::kit::wait_until("the container", || {
        container().is_some_and(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sleep")
        })
    });
    let init = container().expect("the container").cast_signed();
    let target = Target::Container { init, cgroups: Vec::new() };
    let recording = observer.record(&target, &Options::default()).expect("recording");
    drop(pod.stdin.take());
    pod.wait().expect("the pod's end");
    let observed = recording.stop().expect("observed");
    assert_eq!([count(&observed, "execve"), count(&observed, "write")], [0, 0], "{:?}", observed.calls);
}
