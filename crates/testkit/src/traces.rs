//! What a run may leave behind on the machine: control groups, mounts, files, System V objects,
//! keys, sockets, zombies.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A picture of everything that outlives processes. Tests that compare pictures must run alone: see
/// `.config/nextest.toml`.
#[derive(Debug)]
pub struct Traces(BTreeSet<String>);

impl Traces {
    /// The picture of this moment.
    pub fn now() -> Self {
        let mut seen = BTreeSet::new();
        cgroups(Path::new("/sys/fs/cgroup"), &mut seen);
        for line in lines("/proc/self/mountinfo") {
            seen.insert(format!("mount {line}"));
        }
        for dir in ["/tmp", "/var/tmp", "/dev/shm", "/run", "/dev/mqueue", "/var/lib"] {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                // The kit's own directory: made by the first test that needs it.
                if !entry.file_name().to_string_lossy().starts_with("tipstaff-testkit-") {
                    seen.insert(format!("file {}", entry.path().display()));
                }
            }
        }
        for kind in ["shm", "msg", "sem"] {
            for line in lines(&format!("/proc/sysvipc/{kind}")).skip(1) {
                // Key and id; the rest changes with use.
                let names: Vec<_> = line.split_ascii_whitespace().take(2).collect();
                seen.insert(format!("System V {kind} {}", names.join(" ")));
            }
        }
        for line in lines("/proc/net/unix") {
            if let Some(name) = line.split_ascii_whitespace().nth(7).filter(|name| name.starts_with('@')) {
                seen.insert(format!("abstract socket {name}"));
            }
        }
        for line in lines("/proc/keys") {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            // The description, not the use count.
            if let (Some(id), Some(what)) = (fields.first(), fields.get(7..)) {
                seen.insert(format!("key {id} {}", what.join(" ")));
            }
        }
        for process in crate::descendants(std::process::id() as i32).iter().filter(|process| process.state == 'Z') {
            seen.insert(format!("zombie {}", process.pid));
        }
        Self(seen)
    }

    /// What is there now and was not when this picture was taken.
    pub fn new_since(&self) -> Vec<String> {
        Self::now().0.difference(&self.0).cloned().collect()
    }

    /// Waits until nothing new is left. What is still there after `within` is the answer.
    pub fn await_nothing_new(&self, within: Duration) -> Vec<String> {
        let start = Instant::now();
        loop {
            let left = self.new_since();
            if left.is_empty() || start.elapsed() > within {
                return left;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn cgroups(dir: &Path, seen: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            seen.insert(format!("cgroup {}", entry.path().display()));
            cgroups(&entry.path(), seen);
        }
    }
}

fn lines(path: &str) -> impl Iterator<Item = String> {
    let text = fs::read(path).unwrap_or_default();
    let lines: Vec<_> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
    lines.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_left_is_seen_and_one_that_goes_is_not() {
        let before = Traces::now();
        let left = tempfile::Builder::new().prefix("traces-test-").tempfile_in("/tmp").expect("file");
        let name = format!("file {}", left.path().display());
        assert!(before.new_since().contains(&name));
        drop(left);
        assert!(!before.new_since().contains(&name));
    }
}
