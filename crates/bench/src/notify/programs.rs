//! The C programs of these rows and drills, compiled where they are measured.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

const SOURCES: [(&str, &str); 18] = [
    ("floor", include_str!("floor.c")),
    ("asks", include_str!("../../../testkit/guests/asks.c")),
    ("crowd", include_str!("../../../testkit/guests/crowd.c")),
    ("exit", include_str!("../../../testkit/guests/exit.c")),
    ("interrupted", include_str!("../../../testkit/guests/interrupted.c")),
    ("race", include_str!("../../../testkit/guests/race.c")),
    ("tree", include_str!("../../../testkit/guests/tree.c")),
    ("burners", include_str!("../../../testkit/guests/burners.c")),
    ("execstorm", include_str!("../../../testkit/guests/execstorm.c")),
    ("flood", include_str!("../../../testkit/guests/flood.c")),
    ("forkbomb", include_str!("../../../testkit/guests/forkbomb.c")),
    ("hog", include_str!("../../../testkit/guests/hog.c")),
    ("memhog", include_str!("../../../testkit/guests/memhog.c")),
    ("pagetables", include_str!("../../../testkit/guests/pagetables.c")),
    ("raise", include_str!("../../../testkit/guests/raise.c")),
    ("spin", include_str!("../../../testkit/guests/spin.c")),
    ("threadbomb", include_str!("../../../testkit/guests/threadbomb.c")),
    ("truth", include_str!("../drill/truth.c")),
];
const HEADER: &str = include_str!("../../../testkit/guests/guest.h");

/// Static programs in a directory that goes with this value, beside this binary, so that no private /tmp hides them.
pub struct Programs(TempDir);

impl Programs {
    /// Compiles them.
    pub fn build() -> anyhow::Result<Self> {
        let exe = std::env::current_exe()?;
        let parent = exe.parent().context("a program lies in a directory")?;
        let dir = tempfile::Builder::new().prefix("bench-notify-").tempdir_in(parent)?;
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
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

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn dir(&self) -> &std::path::Path {
        self.0.path()
    }
}
