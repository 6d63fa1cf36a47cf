//! Real containers by real runtimes: a root file system of busybox, bundles for runc and crun, and a Podman of its own. No network, nothing of the
//! machine's own containers, and nothing left behind.
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::{Scratch, User};

/// A runtime of the OCI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// The reference, in Go: the first process of a container has several threads before it is executed.
    Runc,
    /// In C, with one.
    Crun,
}

impl Runtime {
    /// Its program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }

    /// Why a test with it cannot run here, if it cannot.
    pub fn unavailable(self) -> Option<String> {
        if User::me() != 0 {
            return Some("containers need root".to_owned());
        }
        let missing = [self.name(), "busybox"].into_iter().find(|program| find(program).is_none());
        missing.map(|program| format!("{program} is not installed")).or_else(|| {
            let text = fs::read(find("busybox")?).unwrap_or_default();
            let head = &text[..text.len().min(4096)];
            let loader = head.windows(7).any(|piece| piece == b"/ld-lin" || piece == b"/lib64/");
            loader.then(|| "busybox is not static (busybox-static)".to_owned())
        })
    }

    /// The runtime where it works: crun refuses a machine with a cgroup2 beside v1 controllers, so it sees none there.
    fn command(self) -> Command {
        wrapped(self == Self::Crun, self.name())
    }
}

/// `program`, without the cgroup2 of a hybrid if asked for.
fn wrapped(without_unified: bool, program: &str) -> Command {
    const UNIFIED: &str = "/sys/fs/cgroup/unified";
    let hybrid = fs::read_to_string("/proc/self/mountinfo").is_ok_and(|text| text.contains(UNIFIED));
    if !(without_unified && hybrid) {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", "umount \"$0\" && exec \"$@\"", UNIFIED, program]);
    command
}

/// A program of the system.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    let usual = ["/usr/sbin".into(), "/sbin".into()];
    std::env::split_paths(&path).chain(usual).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// A root file system in which busybox is everything.
pub fn busybox_root(dir: &Path) {
    for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(dir.join(name)).expect("a directory of the root");
    }
    let busybox = find("busybox").expect("busybox");
    fs::copy(&busybox, dir.join("bin/busybox")).expect("busybox");
    let list = Command::new(&busybox).arg("--list").output().expect("busybox").stdout;
    for applet in String::from_utf8_lossy(&list).lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", dir.join("bin").join(applet)).expect("a link to busybox");
    }
}

/// A name that no other test, and no other run of the suite, has.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("tipstaff-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What a finished command said.
#[derive(Debug)]
pub struct Said {
    /// Its exit status; 128 and the signal's number where one ended it.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// Runs a command without input.
    pub fn by(command: &mut Command) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let output = command.stdin(Stdio::null()).output();
        let Output { status, stdout, stderr } = output.unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Self { code, out: text(stdout), err: text(stderr) }
    }

    /// It must have ended with 0.
    #[track_caller]
    pub fn expect_ok(&self) -> &Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// It must have failed and said this.
    #[track_caller]
    pub fn expect_failure(&self, words: &str) -> &Self {
        assert!(self.code != 0 && (self.err.contains(words) || self.out.contains(words)), "no {words:?}: {self:#?}");
        self
    }
}

/// A container that a runtime runs by itself.
#[derive(Debug)]
pub struct Bundle {
    runtime: Runtime,
    id: String,
    scratch: Scratch,
    config: Value,
}

impl Bundle {
    /// A container with a root file system of busybox, no network but a loopback, and this shell script.
    pub fn new(runtime: Runtime, script: &str) -> Self {
        let scratch = Scratch::new(User::Root);
        busybox_root(&scratch.dir("rootfs"));
        let mut new = Self { runtime, id: unique(), config: Value::Null, scratch };
        Said::by(Command::new("runc").arg("spec").arg("--bundle").arg(new.scratch.path())).expect_ok();
        let text = fs::read(new.scratch.join("config.json")).expect("what runc has written");
        new.config = serde_json::from_slice(&text).expect("JSON");
        new.config["root"] = json!({"path": "rootfs", "readonly": false});
        new.config["process"]["terminal"] = json!(false);
        new.args(&["sh", "-c", script])
    }

    /// Another program than the shell.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.config["process"]["args"] = json!(args);
        self
    }

    /// Changes the configuration.
    pub fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self
    }

    /// An annotation.
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.with(|config| config["annotations"][key] = json!(value))
    }

    /// A hook at one stage.
    pub fn hook(self, stage: &str, path: &Path, args: &[String]) -> Self {
        self.with(|config| {
            let all = &mut config["hooks"][stage];
            let hook = json!({"path": path, "args": args});
            match all.as_array_mut() {
                Some(all) => all.push(hook),
                None => *all = json!([hook]),
            }
        })
    }

    /// Runs under this seccomp profile.
    pub fn seccomp(self, profile: &Path) -> Self {
        let text = fs::read(profile).unwrap_or_else(|e| panic!("{}: {e}", profile.display()));
        let profile: Value = serde_json::from_slice(&text).expect("a profile is JSON");
        self.with(|config| config["linux"]["seccomp"] = profile)
    }

    /// Another id than one of its own.
    pub fn called(mut self, id: &str) -> Self {
        self.id = id.to_owned();
        self
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its root file system.
    pub fn root(&self) -> PathBuf {
        self.scratch.join("rootfs")
    }

    /// Where its runtime keeps what is known of containers: this one alone.
    pub fn state_dir(&self) -> PathBuf {
        self.scratch.join("state")
    }

    /// The command that runs it to its end; for whoever starts it otherwise.
    pub fn command(&self) -> Command {
        fs::write(self.scratch.join("config.json"), self.config.to_string()).expect("the configuration");
        let mut command = self.runtime.command();
        command.arg("--root").arg(self.scratch.join("state"));
        command.args(["run", "--bundle"]).arg(self.scratch.path()).arg(&self.id);
        command
    }

    /// Runs it to its end.
    pub fn run(&self) -> Said {
        Said::by(&mut self.command())
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // Only if a test ended in the middle of it: this very container, known by its own state directory.
        if self.scratch.join("state").join(&self.id).exists() {
            let mut command = self.runtime.command();
            command.arg("--root").arg(self.scratch.join("state")).args(["delete", "--force", &self.id]);
            let _ = Said::by(&mut command);
        }
    }
}

/// A Podman with a store of its own.
#[derive(Debug)]
pub struct Podman {
    runtime: Runtime,
    scratch: Scratch,
}

impl Podman {
    /// The image's name.
    pub const IMAGE: &str = "localhost/tipstaff-test:busybox";

    /// Why a test with it cannot run here, if it cannot.
    pub fn unavailable(runtime: Runtime) -> Option<String> {
        let missing = ["podman", "conmon"].into_iter().find(|program| find(program).is_none());
        runtime.unavailable().or_else(|| missing.map(|program| format!("{program} is not installed"))).or_else(|| {
            static WORKS: [OnceLock<Option<String>>; 2] = [OnceLock::new(), OnceLock::new()];
            // A machine may have Podman and not let it store anything, or run anything.
            WORKS[usize::from(runtime == Runtime::Crun)]
                .get_or_init(|| {
                    let said = Self::new(runtime).run(&[], &["true"]);
                    (said.code != 0).then(|| {
                        let why = said.err.lines().rfind(|line| line.contains("rror")).unwrap_or_default().to_owned();
                        format!("podman with {} runs nothing here: {why}", runtime.name())
                    })
                })
                .clone()
        })
    }

    /// A new one, with a busybox image.
    pub fn new(runtime: Runtime) -> Self {
        let new = Self { runtime, scratch: Scratch::new(User::Root) };
        busybox_root(&new.scratch.dir("rootfs"));
        new.scratch.dir("hooks.d");
        let tar = new.scratch.join("image.tar");
        let mut command = Command::new("tar");
        command.arg("-C").arg(new.scratch.join("rootfs")).arg("-cf").arg(&tar).arg(".");
        Said::by(&mut command).expect_ok();
        new.call(&["import", "--quiet"]).arg(&tar).arg(Self::IMAGE).said().expect_ok();
        new
    }

    /// Its directory for hooks.
    pub fn hooks_dir(&self) -> PathBuf {
        self.scratch.join("hooks.d")
    }

    /// `podman WORDS…`.
    pub fn call<W: AsRef<OsStr>>(&self, words: &[W]) -> Call {
        let mut command = wrapped(self.runtime == Runtime::Crun, "podman");
        for (option, dir) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp"), ("--hooks-dir", "hooks.d")]
        {
            command.arg(option).arg(self.scratch.join(dir));
        }
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
        command.args(["--runtime", self.runtime.name()]).args(words);
        Call(command)
    }

    /// `podman run --rm OPTIONS IMAGE COMMAND`, to its end.
    pub fn run(&self, options: &[&str], command: &[&str]) -> Said {
        self.start(&[&["--rm"], options].concat(), command)
    }

    /// `podman run OPTIONS IMAGE COMMAND`. The limits are lower than Podman's, which not every root may set.
    pub fn start(&self, options: &[&str], command: &[&str]) -> Said {
        const LIMITS: [&str; 6] =
            ["run", "--network=none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"];
        let mut call = self.call(&LIMITS);
        call.0.args(options).arg(Self::IMAGE).args(command);
        call.said()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.call(&["rm", "--all", "--force", "--time", "0"]).said();
        // Podman's parent of all containers' groups; those of others keep it.
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = fs::remove_dir(hierarchy.path().join("libpod_parent/conmon"));
            let _ = fs::remove_dir(hierarchy.path().join("libpod_parent"));
        }
    }
}

/// A call of Podman.
#[derive(Debug)]
pub struct Call(Command);

impl Call {
    /// One more word.
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.0.arg(word);
        self
    }

    /// Does it.
    pub fn said(mut self) -> Said {
        Said::by(&mut self.0)
    }
}
