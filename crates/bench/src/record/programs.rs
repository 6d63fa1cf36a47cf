//! The programs of these rows, and how one of them is run and accounted for.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, ensure};
use tempfile::TempDir;

const SOURCES: [(&str, &str); 3] =
    [("cpu", include_str!("cpu.c")), ("getppid", include_str!("getppid.c")), ("forkexec", include_str!("forkexec.c"))];

/// Static programs in a directory that goes with this value.
pub struct Programs(TempDir);

impl Programs {
    /// Compiles them.
    pub fn build() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        for (name, text) in SOURCES {
            let source = dir.path().join(format!("{name}.c"));
            std::fs::write(&source, text)?;
            let mut cc = Command::new("gcc");
            cc.args(["-std=gnu17", "-O2", "-static", "-o"]).arg(dir.path().join(name)).arg(&source);
            let status = cc.status().context("gcc is needed to build the programs (apt-get install gcc libc6-dev)")?;
            ensure!(status.success(), "gcc could not build {name}");
        }
        Ok(Self(dir))
    }

    /// The path of one.
    pub fn path(&self, name: &str) -> OsString {
        self.0.path().join(name).into_os_string()
    }

    /// Starts a command that waits.
    pub fn start(&self, words: &[OsString]) -> anyhow::Result<Waiting> {
        let mut cpu = Command::new(self.0.path().join("cpu"));
        cpu.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = cpu.spawn()?;
        let input = child.stdin.take().context("a pipe")?;
        Ok(Waiting { child, input })
    }
}

/// A command that waits.
pub struct Waiting {
    child: Child,
    input: ChildStdin,
}

impl Waiting {
    /// The process that waits, parent of the command to be.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Lets it go on. Its CPU time, its descendants' included, in microseconds.
    pub fn run(mut self) -> anyhow::Result<f64> {
        self.input.write_all(b"\n")?;
        let mut text = String::new();
        // The command's own output comes first.
        self.child.stdout.take().context("a pipe")?.read_to_string(&mut text)?;
        ensure!(self.child.wait()?.success(), "a command of the bench failed");
        text.lines().last().and_then(|line| line.parse().ok()).context("no figure of CPU time")
    }
}
