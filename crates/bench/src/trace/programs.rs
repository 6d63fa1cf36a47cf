//! The C programs of these rows and drills, compiled where they are measured.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

const SOURCES: [(&str, &str); 4] = [
    ("floor", include_str!("floor.c")),
    ("calls", include_str!("calls.c")),
    ("execstorm", include_str!("../../../testkit/guests/execstorm.c")),
    ("callcount", include_str!("../../../testkit/guests/callcount.c")),
];
const HEADER: &str = include_str!("../../../testkit/guests/guest.h");

/// Static programs, and their sources, in a directory that goes with this value.
pub struct Programs(TempDir);

impl Programs {
    /// Compiles them.
    pub fn build() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("guest.h"), HEADER)?;
        for (name, text) in SOURCES {
            let source = dir.path().join(format!("{name}.c"));
            std::fs::write(&source, text)?;
            let mut cc = Command::new("gcc");
            cc.args(["-std=gnu17", "-O2", "-static", "-pthread", "-o"]).arg(dir.path().join(name)).arg(&source);
            let status = cc.status().context("gcc is needed to build the programs (apt-get install gcc libc6-dev)")?;
            ensure!(status.success(), "gcc could not build {name}");
        }
        Ok(Self(dir))
    }

    /// A program, or with `.c` its source.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
