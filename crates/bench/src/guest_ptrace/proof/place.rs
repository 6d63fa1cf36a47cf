//! Where the programs lie, and how one is run.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::super::HEADER;
use super::Who;
use crate::system;

const GUESTS: [(&str, &str); 3] = [
    ("ptracerows", include_str!("../../../../testkit/guests/ptracerows.c")),
    ("ptraceshown", include_str!("../../../../testkit/guests/ptraceshown.c")),
    ("ptracediff", include_str!("../../../../testkit/guests/ptracediff.c")),
];
const ROWS: &str = include_str!("../../../../testkit/guests/rows.h");
/// A uid that no distribution hands out.
const NOBODY_KNOWS: u32 = 12345;
/// Seconds until a run is ended that has come to a standstill.
const PATIENCE: &str = "280";
/// What timeout(1) ends with then: by SIGTERM, and where that was not enough.
const STOOD_STILL: [i32; 2] = [124, 137];

/// What a run has come to.
pub struct Said {
    pub text: String,
    /// It had to be ended.
    pub stood_still: bool,
}

/// A directory with the programs, and the command.
pub struct Place {
    dir: TempDir,
    tipstaff: PathBuf,
}

impl Place {
    /// Beside this binary, or in TIPSTAFF_BENCH_DIR: every user has to be able to reach it.
    pub fn new() -> anyhow::Result<Self> {
        let exe = std::env::current_exe()?;
        let dir = tempfile::Builder::new().prefix("bench-proof-").tempdir_in(
            std::env::var_os("TIPSTAFF_BENCH_DIR").map_or_else(
                || exe.parent().map(Path::to_path_buf).context("a program lies in a directory"),
                |dir| Ok(dir.into()),
            )?,
        )?;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
        for (name, text) in [("guest.h", HEADER), ("rows.h", ROWS)] {
            std::fs::write(dir.path().join(name), text)?;
        }
        for (name, text) in GUESTS {
            let source = dir.path().join(name).with_extension("c");
            std::fs::write(&source, text)?;
            let mut cc = Command::new("gcc");
            cc.args(["-std=gnu17", "-O1", "-pthread", "-o"]).arg(dir.path().join(name)).arg(&source);
            let status = cc.status().context("gcc is needed to build the programs (apt-get install gcc libc6-dev)")?;
            ensure!(status.success(), "gcc could not build {name}");
        }
        Ok(Self { dir, tipstaff: system::tipstaff()? })
    }

    /// What a program says, outside or in a box of this engine.
    pub fn said(&self, engine: Option<&str>, who: Who, words: &[String]) -> anyhow::Result<Said> {
        let program = self.dir.path().join(&words[0]);
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", PATIENCE]);
        if let Some(engine) = engine {
            command.arg(&self.tipstaff).args(["run", "--quiet", "--engine", engine]);
            if engine == "ptrace" {
                command.args(["--guest-ptrace", "emulate"]);
            }
            command.arg("--read").arg(self.dir.path()).arg("--exec").arg(self.dir.path()).arg("--");
        }
        if matches!(who, Who::Ordinary) && rustix::process::geteuid().is_root() {
            command.uid(NOBODY_KNOWS).gid(NOBODY_KNOWS);
        }
        command.arg(program).args(&words[1..]).stdin(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        let output = command.output()?;
        Ok(Said {
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            stood_still: output.status.code().is_some_and(|code| STOOD_STILL.contains(&code)),
        })
    }
}
