//! A profile for the library's user: found by name, changed by method.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use tipstaff_policy::profile::{self, Loader, PathRule};
use tipstaff_policy::value::{NetSpec, Setting};

use crate::Error;

/// What a run may do. [`tipstaff_policy::profile::Profile`] has every field; the methods here are for the common ones.
#[derive(Clone, Debug, Default)]
pub struct Profile(pub profile::Profile);

impl Profile {
    /// A preset, a name in the user's profile directory, or a file (with a `/`, or ending in `.toml`).
    pub fn preset(name: impl AsRef<OsStr>) -> Result<Self, Error> {
        let (mut profile, files) = Loader::from_env().load_with_files(name)?;
        // The rules of the next run are not this one's to write.
        profile.filesystem.protect.extend(files);
        Ok(Self(profile))
    }

    /// CPU time of the whole box in milliseconds.
    #[must_use]
    pub fn cpu_ms(mut self, ms: u64) -> Self {
        self.0.limits.cpu = Some(Setting::At(Duration::from_millis(ms)));
        self
    }

    /// Wall-clock time.
    #[must_use]
    pub fn wall(mut self, limit: Duration) -> Self {
        self.0.limits.wall = Some(Setting::At(limit));
        self
    }

    /// Memory of the whole box in bytes.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.0.limits.memory = Some(Setting::At(bytes));
        self
    }

    /// Tasks at a time, threads too.
    #[must_use]
    pub fn processes(mut self, n: u64) -> Self {
        self.0.limits.processes = Some(Setting::At(n));
        self
    }

    /// Bytes on stdout and stderr together.
    #[must_use]
    pub fn output(mut self, bytes: u64) -> Self {
        self.0.limits.output = Some(Setting::At(bytes));
        self
    }

    /// A path that may be read.
    #[must_use]
    pub fn read(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.filesystem.read.push(PathRule::new(path));
        self
    }

    /// A path that may be read and written.
    #[must_use]
    pub fn write(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.filesystem.write.push(PathRule::new(path));
        self
    }

    /// The host's network instead of none.
    #[must_use]
    pub fn host_network(mut self) -> Self {
        self.0.network.allow = Some(vec![NetSpec::Host]);
        self
    }
}

impl From<profile::Profile> for Profile {
    fn from(profile: profile::Profile) -> Self {
        Self(profile)
    }
}
