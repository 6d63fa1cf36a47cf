//! L: what a box finds out.
use std::fs;

use crate::attacks;
use crate::case::{Case, answers};

attacks! {
    L1 "secrets in the environment and in arguments" => tried(native notify ptrace: secrets)
        + held("tests/tests/env.rs": clean_but_for_four a_variable_that_is_not_set_is_not_passed);
    L2 "processes of others in /proc" => tried(native notify ptrace: processes)
        + held("tests/tests/isolation.rs": only_its_own_processes_are_seen);
    L3 "addresses and logs of the kernel" => tried(native notify ptrace: kernel);
    L4 "names of the machine that disagree" => tried(native notify ptrace: identity)
        + held("tests/tests/isolation.rs": the_host_name_is_not_told);
    L5 "what others read, by the page cache" => tried(native notify ptrace: page_cache);
    L6 "bytes of memory that nobody has written" => held("crates/notify/tests/alone.rs": dropped_means_refused, "tests/tests/network_unix.rs":
        unix_sockets_beneath_what_may_be_written);
    L7 "what an earlier run left" => tried(native notify ptrace: residue)
        + held("tests/tests/leftovers.rs": what_outlives_a_process_does_not_outlive_the_box, "crates/tipstaff/tests/ahead.rs": nothing_of_one_box_is_in_the_next);
    L8 "paths of the host" => tried(native notify ptrace: paths)
        + left("Where a mount of a profile comes from stands in /proc/self/mountinfo (docs/security.md, Paths of the host).");
    L9 "figures of the report that tell a hidden test" => design("The report is the host's. Whom it is shown to, and how coarse, is for the judge to say.");
    L10 "signs of the box in /proc" => design("A program may know that it is confined: no rule rests on its not knowing.");
}

fn secrets(case: &Case) {
    const SECRET: &str = "hunter2-of-the-test";
    let script = "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; true";
    let free = case.free(["/bin/sh", "-c", script]).env("API_TOKEN", SECRET).go();
    free.check(free.out().contains(SECRET), "the control finds it");
    for profile in ["default", "judge", "agent"] {
        let run = case.boxed(["/bin/sh", "-c", script]).profile(profile).env("API_TOKEN", SECRET);
        // The supervisor's own arguments hold one more.
        let ran = run.option("--deny-if-exists", "/nonexistent-of-the-supervisor").go();
        ran.expect_ok();
        ran.check(!ran.out().contains(SECRET), "the caller's environment is seen");
        ran.check(!ran.out().contains("of-the-supervisor"), "the supervisor's arguments are seen");
    }
}

fn processes(case: &Case) {
    let script = "ls -d /proc/[0-9]* | wc -l; cat /proc/1/status /proc/1/cmdline /proc/1/comm 2>/dev/null; true";
    let ran = case.boxed(["/bin/sh", "-c", script]).go();
    ran.expect_ok();
    let count: u32 = ran.out().lines().next().and_then(|line| line.trim().parse().ok()).expect("a number");
    ran.check(count <= 4 && ran.out().lines().count() == 1, "other processes are seen");
    let free = case.free(["/bin/sh", "-c", script]).go();
    free.check(free.out().lines().count() > 1, "the control sees number 1");
}

fn kernel(case: &Case) {
    let script = "cat /proc/kallsyms 2>/dev/null | grep -v '^0* ' | head -3; cat /proc/modules 2>/dev/null | grep -v ' 0x0*$' | grep 0x | head -3; dmesg 2>/dev/null | head -3; \
                  cat /proc/kcore /proc/kmsg /dev/kmsg /dev/mem /proc/keys /proc/timer_list 2>/dev/null | head -c 10; cat /proc/iomem 2>/dev/null | grep -v '^ *0*-0*' | head -3; \
                  cat /proc/slabinfo /proc/vmallocinfo /proc/pagetypeinfo 2>/dev/null | head -3; ls /sys/kernel /sys/class/dmi /sys/firmware 2>/dev/null; true";
    for profile in ["default", "judge"] {
        let ran = case.boxed(["/bin/sh", "-c", script]).profile(profile).go();
        // As root the files of /proc are one's own to read; what would be an address shows as zeroes without a capability.
        let told: Vec<_> = ran
            .out()
            .lines()
            .filter(|line| line.contains("ffff") || line.contains("dmi") || line.contains("firmware"))
            .map(str::to_owned)
            .collect();
        ran.check(told.is_empty(), format_args!("told: {told:?}"));
    }
    let free = case.free(["/bin/sh", "-c", "ls /sys/kernel"]).go();
    free.check(!free.out().is_empty(), "the control sees it");
}

fn identity(case: &Case) {
    let script = "uname -n; cat /proc/sys/kernel/hostname; hostname 2>/dev/null || uname -n; cat /etc/hostname 2>/dev/null | grep -c . ";
    let free = case.free(["/bin/sh", "-c", script]).go();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    free.check(free.out().lines().next() == Some(host.trim()), "the control is told the machine's");
    let ran = case.boxed(["/bin/sh", "-c", script]).profile("judge").go();
    let out = ran.out();
    let mut lines = out.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    ran.check(lines.next() == Some(&first) && lines.next() == Some(&first), "one name in every place");
    ran.check(first == "tipstaff" || first != host.trim(), "the machine's name is told");
}

fn residue(case: &Case) {
    // Sockets, pipes, shared memory by every name, keys: each made by the first, looked for by the second.
    let [first, second] = [(), ()].map(|()| case.boxed(["leftover", "77003"]).go());
    first.expect_ok();
    second.expect_ok();
    assert_eq!(first.json(), second.json(), "{second}");
    second.check(second.json()["tmp"] == "OK", "the control: it can be made");
}

fn page_cache(case: &Case) {
    use std::os::unix::fs::{PermissionsExt, chown};
    if !tipstaff_testkit::User::Root.available() {
        tipstaff_testkit::skip!("a file of somebody else needs root");
    }
    let scratch = tipstaff_testkit::Scratch::new(case.user);
    let make = |name: &str| {
        let path = scratch.file(name, vec![b'x'; 64 << 10]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("own file");
        fs::File::open(&path).and_then(|file| file.sync_all()).expect("on the disk");
        path
    };
    let (own, other) = (make("own"), make("other"));
    // Nobody's: whoever may read it has neither owner's nor writer's rights.
    chown(&other, Some(54_321), Some(54_321)).expect("root");
    let words = ["attackfiles", "cache"];
    let free = answers(&case.free(words).arg(&own).go());
    if free["resident"] != "0" {
        tipstaff_testkit::skip!("this file system keeps its pages: {free:?}");
    }
    for preset in ["default", "judge"] {
        let run = |path| case.boxed(words).arg(path).profile(preset).option("--read", scratch.path()).go();
        // The control: of one's own one is told the truth.
        let ran = run(&own);
        ran.expect_ok();
        ran.check(answers(&ran)["resident"] == "0", "the owner is not told");
        let ran = run(&other);
        ran.expect_ok();
        ran.check(answers(&ran)["resident"] == "16", "which pages of another's file are there is told");
        ran.check(answers(&ran)["cachestat"] != "OK", "which pages of another's file are there is told");
    }
}

/// Where something is, by every way to ask.
const WHERE: &str = "cd /data && pwd -P && readlink /proc/self/cwd; exec 7<it; readlink /proc/self/fd/7; realpath it; \
                     df . 2>/dev/null | tail -1; cat /proc/self/maps /proc/self/environ | tr '\\0' '\\n'; cat nothing 2>&1; true";

fn paths(case: &Case) {
    let scratch = tipstaff_testkit::Scratch::new(case.user);
    let mark = tipstaff_testkit::marker();
    let source = scratch.dir(&mark);
    scratch.file(format!("{mark}/it"), "x");
    let text = format!("extends = \"judge\"\n[filesystem]\nmounts = [{{ source = {source:?}, target = \"/data\" }}]\n");
    let profile = scratch.file("p.toml", text);
    let ran = case.boxed(["/bin/sh", "-c", WHERE]).option("--profile", profile).go();
    ran.expect_ok();
    ran.check(ran.out().starts_with("/data\n/data\n/data/it\n/data/it\n"), "it is where it is shown");
    ran.check(!ran.out().contains(&mark), "where it is outside is told");
    // The control: shown at its own place, it has the name that it has outside.
    let words = ["/bin/sh", "-c", &WHERE.replace("/data", &source.display().to_string())];
    let ran = case.boxed(words).profile("judge").option("--read", &source).go();
    ran.expect_ok();
    ran.check(ran.out().matches(&mark).count() >= 4, "a path means the same on both sides");
    // What is private has no path outside, and no name of one.
    for place in ["/tmp", "/var/tmp", "/run", "/dev/shm"] {
        let script = format!("cd {place} && : >{mark} && pwd -P && readlink -f {mark}; true");
        let ran = case.boxed(["/bin/sh", "-c", &script]).profile("judge").go();
        ran.expect_ok().expect_stdout(format!("{place}\n{place}/{mark}\n"));
        assert!(!std::path::Path::new(place).join(&mark).exists(), "{place} is the host's");
    }
}
