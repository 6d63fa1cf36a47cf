//! Real containers by runc, crun and Podman. `tipstaff hook` as engines run it: what is recorded is enough to run the same again, and no more.
mod command;
mod hook;
mod live;
mod replay;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tipstaff_testkit::{Bundle, Podman, Said, Scratch, User, tipstaff};

const KEY: &str = "io.containers.trace-syscall";
/// Ends without a child, a file that is made, or a directory.
const PLAIN: &str = "ls / >/dev/null; echo a | grep a";

/// A hook with directories of its own.
struct Hook {
    scratch: Scratch,
    options: Vec<String>,
}

impl Hook {
    fn new() -> Self {
        let scratch = Scratch::new(User::Root);
        fs::set_permissions(scratch.dir("run"), fs::Permissions::from_mode(0o700)).expect("own directory");
        scratch.dir("out");
        Self { scratch, options: Vec::new() }
    }

    fn option(mut self, option: &str, value: &str) -> Self {
        self.options.extend([option.to_owned(), value.to_owned()]);
        self
    }

    fn run_dir(&self) -> PathBuf {
        self.scratch.join("run")
    }

    fn output(&self, name: &str) -> PathBuf {
        self.scratch.join("out").join(name)
    }

    fn args(&self) -> Vec<String> {
        let path = |name: &str| self.scratch.join(name).to_str().expect("UTF-8").to_owned();
        let mut args = vec!["tipstaff".to_owned(), "hook".to_owned(), "--runtime-dir".to_owned(), path("run")];
        args.extend(["--output-root".to_owned(), path("out")]);
        args.extend(self.options.iter().cloned());
        args
    }

    /// At the two stages that it is installed for.
    fn on(&self, bundle: Bundle, annotation: &str) -> Bundle {
        let bundle = bundle.annotation(KEY, annotation);
        ["prestart", "poststop"].into_iter().fold(bundle, |bundle, stage| bundle.hook(stage, tipstaff(), &self.args()))
    }

    /// Installed for a Podman.
    fn install(&self, podman: &Podman) {
        let mut command = Command::new(tipstaff());
        command.args(["hook", "install", "--dir"]).arg(podman.hooks_dir()).args(&self.args()[2..]);
        Said::by(&mut command).expect_ok();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.run_dir().join("log")).unwrap_or_default()
    }

    /// The collector of this hook.
    fn collector(&self) -> Option<u32> {
        let card = self.run_dir().join(".collector.run");
        let pids = fs::read_dir("/proc").expect("/proc").flatten();
        let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.find(|pid| fs::read_link(format!("/proc/{pid}/fd/0")).is_ok_and(|path| path == card))
    }

    /// No collector, and no file but the log and the locks.
    #[track_caller]
    fn expect_nothing_left(&self) {
        let begun = Instant::now();
        while self.collector().is_some() {
            assert!(begun.elapsed() < Duration::from_secs(60), "a collector lives on\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        let left: Vec<_> = fs::read_dir(self.run_dir()).expect("run").flatten().map(|e| e.file_name()).collect();
        let known = |name: &std::ffi::OsString| ["log", ".collector.run", ".outputs"].iter().any(|known| name == known);
        assert!(left.iter().all(known), "{left:?}\n{}", self.log());
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // Of a test that failed.
        if let Some(pid) = self.collector() {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

/// `of:` this file.
fn of(path: &Path) -> String {
    format!("of:{}", path.display())
}

/// The names that a profile allows, sorted.
#[track_caller]
fn allowed(path: &Path) -> Vec<String> {
    let text = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let profile: Value = serde_json::from_slice(&text).expect("a profile is JSON");
    let entries = profile["syscalls"].as_array().expect("rules").iter();
    let entries = entries.filter(|entry| entry["action"] == "SCMP_ACT_ALLOW");
    let names = entries.flat_map(|entry| entry["names"].as_array().expect("names"));
    let mut names: Vec<String> = names.map(|name| name.as_str().expect("a name").to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

#[track_caller]
fn has(names: &[String], name: &str) -> bool {
    assert!(!names.is_empty(), "nothing is allowed");
    names.iter().any(|known| known == name)
}

macro_rules! needs {
    ($unavailable:expr) => {
        if let Some(why) = $unavailable {
            tipstaff_testkit::skip!("{why}");
        }
    };
}
pub(crate) use needs;
