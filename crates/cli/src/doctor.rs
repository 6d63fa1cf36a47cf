//! `tipstaff doctor`: what this kernel and this user can enforce, one line each, with the cure.

use std::ffi::OsStr;
use std::io::Write;

use anstyle::AnsiColor;
use tipstaff::{Command, Machine, Profile};

struct Check {
    name: &'static str,
    good: bool,
    /// Nothing is refused for the want of it.
    optional: bool,
    found: String,
    cure: String,
}

/// Prints; 0 when the default profile can be enforced, else 1.
pub fn call() -> u8 {
    let machine = Machine::full();
    let checks = checks(machine);
    let mut out = anstream::stdout().lock();
    let width = checks.iter().map(|c| c.name.len()).max().unwrap_or(0);
    for check in &checks {
        let (style, word) = match (check.good, check.optional) {
            (true, _) => (AnsiColor::Green.on_default(), "ok"),
            (false, true) => (AnsiColor::Yellow.on_default(), "less"),
            (false, false) => (AnsiColor::Red.on_default(), "missing"),
        };
        let _ = write!(out, "{style}{word:7}{style:#}  {:width$}  {}", check.name, check.found);
        if !check.good && !check.cure.is_empty() {
            let _ = write!(out, "; {}", check.cure);
        }
        let _ = writeln!(out);
    }
    let verdict = Profile::preset(OsStr::new("default")).and_then(|p| Command::new("/bin/true").profile(p).explain());
    match verdict {
        Ok(_) => {
            let _ = writeln!(out, "The default profile can be enforced.");
            0
        }
        Err(e) => {
            let _ = writeln!(out, "The default profile cannot be enforced: {e}");
            1
        }
    }
}

fn checks(machine: &Machine) -> Vec<Check> {
    let c = &machine.caps;
    let mut checks = Vec::new();
    let mut add = |name, good, optional, found: String, cure: &str| {
        checks.push(Check { name, good, optional, found, cure: cure.to_owned() });
    };
    let who = if c.root { "root".to_owned() } else { format!("uid {}", c.uid) };
    add(
        "kernel",
        c.release >= (5, 12),
        true,
        format!("Linux {}.{}, {who}, {} CPUs", c.release.0, c.release.1, c.cpus),
        "mount_setattr and friends want Linux 5.12 or later",
    );
    add(
        "seccomp",
        c.seccomp,
        false,
        yes(c.seccomp, "filters can be installed"),
        "build the kernel with CONFIG_SECCOMP_FILTER",
    );
    add(
        "listener",
        c.listener,
        true,
        yes(c.listener, "refused calls can be told"),
        "not inside another listener's box; refusals hold, but nobody is told",
    );
    let landlock = c.landlock_abi;
    let found = if landlock == 0 { "absent".to_owned() } else { format!("ABI {landlock}") };
    add("landlock", landlock >= 6, true, found, "boot with `lsm=landlock,…`; ABI 6 is Linux 6.12");
    let namespaces = c.namespaces || c.user_namespace;
    let found = if c.namespaces {
        "directly"
    } else if c.user_namespace {
        "through a user namespace"
    } else {
        "none"
    };
    add("namespaces", namespaces, true, found.to_owned(), &userns_cure());
    add(
        "mount tree",
        c.mount_api,
        true,
        yes(c.mount_api, "can be built"),
        "needs namespaces and Linux 5.12; Landlock stands in",
    );
    add(
        "private /proc",
        c.procfs,
        true,
        yes(c.procfs, "can be mounted"),
        "a container that masks parts of /proc forbids it; run it with an unmasked /proc",
    );
    let g = &c.cgroup;
    let version = match (g.v1, g.v2) {
        (true, true) => "v1 and v2",
        (true, false) => "v1",
        (false, true) => "v2",
        (false, false) => "none",
    };
    let list = [(g.memory, "memory"), (g.pids, "pids"), (g.cpu, "cpu")];
    let names: Vec<&str> = list.iter().filter(|(there, _)| *there).map(|(_, name)| *name).collect();
    let found = if names.is_empty() { version.to_owned() } else { format!("{version}: {}", names.join(", ")) };
    add(
        "control groups",
        g.memory && g.pids && g.cpu,
        true,
        found,
        "have a group delegated (`systemd-run --user --scope -p Delegate=yes`), or run as root",
    );
    add("clone3", c.clone3, true, yes(c.clone3, "there"), "a container's profile hides it; clone(2) stands in");
    checks
}

fn yes(good: bool, text: &str) -> String {
    if good { text.to_owned() } else { "no".to_owned() }
}

fn userns_cure() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    if read("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        return "sysctl kernel.unprivileged_userns_clone=1".to_owned();
    }
    if read("/proc/sys/user/max_user_namespaces") == "0" {
        return "sysctl user.max_user_namespaces=10000".to_owned();
    }
    if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        return "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns,`"
            .to_owned();
    }
    "a container's seccomp profile forbids them, or CAP_SYS_ADMIN is missing; Landlock stands in".to_owned()
}
