//! Where the boxes of this bench work: a directory that each of them may write, with the guest in it; and what is put together for one command.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::json;
use tempfile::TempDir;

use super::adapters::{Adapter, Kind, RECORD, TRACE};
use crate::system;

/// isolate has a thousand boxes by default.
const NUMBERS: usize = 1000;

pub struct Place {
    dir: TempDir,
    /// Our profiles: the box keeps its program from writing the one that it was started with.
    profiles: TempDir,
    next: Cell<usize>,
}

/// How one program of a comparison is started: bare, a peer, or ours beside it.
pub struct Side {
    /// Before the command, with holes.
    words: Vec<String>,
    bundle: bool,
    only: Vec<String>,
}

impl Place {
    /// Beside this binary, so that no private /tmp hides it.
    pub fn new() -> anyhow::Result<Self> {
        let beside = |prefix| -> anyhow::Result<TempDir> {
            let exe = std::env::current_exe()?;
            Ok(tempfile::Builder::new().prefix(prefix).tempdir_in(exe.parent().unwrap_or(Path::new(".")))?)
        };
        let dir = beside("bench-peers-")?;
        // A guest may be another user.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
        let place = Self { dir, profiles: beside("bench-profiles-")?, next: Cell::new(0) };
        fs::write(place.path("guest.c"), include_str!("guest.c"))?;
        let mut cc = Command::new("gcc");
        cc.args(["-O2", "-static", "-o"]).arg(place.path("guest")).arg(place.path("guest.c"));
        let status = cc.status().context("gcc is needed to build the guest (apt-get install gcc libc6-dev)")?;
        ensure!(status.success(), "gcc could not build the guest");
        Ok(place)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// What a tracer writes.
    pub fn traced(&self) -> PathBuf {
        self.path("traced.json")
    }

    /// A number for one more box.
    pub fn number(&self) -> usize {
        let n = self.next.get();
        self.next.set((n + 1) % NUMBERS);
        n
    }

    fn fill(&self, word: &str, n: usize) -> String {
        word.replace("{dir}", &self.dir.path().display().to_string())
            .replace("{bundle}", &self.text(&format!("bundle-{n}")))
            .replace("{file}", &self.traced().display().to_string())
            .replace("{n}", &n.to_string())
    }

    /// A bundle whose root is what a container of the host's own system needs, with this command in it.
    fn bundle(&self, n: usize, words: &[&str]) -> anyhow::Result<()> {
        let dir = self.path(&format!("bundle-{n}"));
        let root = dir.join("rootfs");
        if !root.is_dir() {
            let own = self.dir.path().strip_prefix("/")?;
            for name in [Path::new("usr"), Path::new("etc"), Path::new("proc"), Path::new("dev"), Path::new("tmp"), own]
            {
                fs::create_dir_all(root.join(name))?;
            }
            for name in ["bin", "sbin", "lib", "lib64"] {
                symlink(format!("usr/{name}"), root.join(name))?;
            }
        }
        let bind = |path: &str, mode: &str| json!({"destination": path, "source": path, "type": "bind", "options": ["rbind", mode]});
        let own = self.dir.path().display().to_string();
        let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({"type": kind}));
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0}, "args": words, "cwd": "/", "noNewPrivileges": true, "capabilities": {},
                "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp"],
            },
            "root": {"path": "rootfs", "readonly": true},
            "hostname": "bench",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=1777"]},
                bind("/usr", "ro"), bind("/etc", "ro"), bind(&own, "rw"),
            ],
            "linux": {
                "namespaces": namespaces,
                "resources": {"memory": {"limit": 2u64 << 30}, "pids": {"limit": 512}},
            },
        });
        Ok(fs::write(dir.join("config.json"), config.to_string())?)
    }

    /// The whole command: `words` as this side runs them.
    pub fn command(&self, side: &Side, words: &[&str]) -> anyhow::Result<Command> {
        self.with(side, &[], words)
    }

    /// The same for a tracer that tells one call alone.
    pub fn command_only(&self, side: &Side, call: &str, words: &[&str]) -> anyhow::Result<Command> {
        let mut only = side.only.clone();
        only.push(call.to_owned());
        self.with(side, if side.only.is_empty() { &[] } else { &only }, words)
    }

    fn with(&self, side: &Side, only: &[String], words: &[&str]) -> anyhow::Result<Command> {
        let n = self.number();
        if side.bundle {
            self.bundle(n, words)?;
        }
        let filled = side.words.iter().chain(only).map(|word| self.fill(word, n));
        let own = words.iter().filter(|_| !side.bundle).map(|word| (*word).to_owned());
        let argv: Vec<String> = filled.chain(own).collect();
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]);
        // Most boxes are in a session of their own, and on a busy machine sessions share the CPUs (CONFIG_SCHED_AUTOGROUP): so is everybody here.
        // SAFETY: between fork and exec, setsid(2) and nothing else.
        unsafe { command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?)) };
        Ok(command)
    }

    /// Ours, with the same set of restrictions as this peer's.
    pub fn ours(&self, adapter: &Adapter) -> anyhow::Result<Side> {
        let tipstaff = system::tipstaff()?.display().to_string();
        let of = |words: &[&str]| words.iter().map(|word| word.replace("{path}", &tipstaff)).collect();
        let words: Vec<String> = match adapter.kind {
            Kind::Tracer => of(TRACE),
            Kind::Recorder => of(RECORD),
            Kind::Box => {
                let root = rustix::process::geteuid().is_root();
                let namespaces = adapter.namespaces.replace(if root { "\"user\", " } else { "\n" }, "");
                // Unix sockets of the host's can be reached by way of a directory that may be written, as in the others.
                let text = format!(
                    "{}[network]\nallow = [\"none\"]\n[syscalls]\nallow = [\"socket\"]\n[isolation]\nnamespaces = {namespaces}\n",
                    adapter.profile
                );
                let profile = self.profiles.path().join(format!("{}.toml", adapter.name));
                fs::write(&profile, self.fill(&text, 0))?;
                let profile = format!("--profile={}", profile.display());
                of(&["{path}", "run", "--quiet", &profile]
                    .into_iter()
                    .chain(adapter.options.iter().copied())
                    .chain(["--"])
                    .collect::<Vec<_>>())
            }
        };
        let only = if adapter.kind == Kind::Tracer { vec!["-e".to_owned()] } else { Vec::new() };
        Ok(Side { words, bundle: false, only })
    }
}

impl Side {
    pub fn is_bare(&self) -> bool {
        self.words.is_empty()
    }

    /// Nothing around the command.
    pub fn bare() -> Self {
        Self { words: Vec::new(), bundle: false, only: Vec::new() }
    }

    pub fn peer(adapter: &Adapter, path: &Path) -> Self {
        let path = path.display().to_string();
        Self {
            words: adapter.words.iter().map(|word| word.replace("{path}", &path)).collect(),
            bundle: adapter.words.contains(&"{bundle}"),
            only: adapter.only.iter().map(|word| (*word).to_owned()).collect(),
        }
    }
}
