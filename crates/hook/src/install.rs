//! The engine's configuration: a file of oci-hooks(5), version 1.0.0, as Podman, CRI-O and Buildah read it.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::options::ROOT;
use crate::{Error, Options};

/// The directory that engines look into unless they are told otherwise.
pub const DIR: &str = "/usr/share/containers/oci/hooks.d";

/// Engines order hooks by name.
const NAME: &str = "tipstaff.json";

/// An engine that waits longer for a hook kills it; a profile is written well before.
const TIMEOUT_S: u64 = 60;

#[derive(Serialize)]
struct Configuration {
    version: &'static str,
    hook: Command,
    when: When,
    stages: [&'static str; 2],
}

#[derive(Serialize)]
struct Command {
    path: String,
    args: Vec<String>,
    timeout: u64,
}

#[derive(Serialize)]
struct When {
    annotations: Annotations,
}

#[derive(Serialize)]
struct Annotations {
    /// A regular expression as a key, another as its value.
    #[serde(rename = r"^io\.containers\.trace-syscall(/.+)?$")]
    any: &'static str,
}

/// What was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The file.
    pub path: PathBuf,
    /// A directory for profiles that was made.
    pub made: Option<PathBuf>,
}

/// The configuration that runs `binary` with these options, as JSON.
///
/// # Errors
/// A path that JSON cannot hold.
pub fn configuration(binary: &Path, options: &Options) -> Result<String, Error> {
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| Error::Install(path.to_path_buf(), "is not UTF-8, which JSON cannot hold".into()))
    };
    // Only what differs from a hook's own defaults: what is not said follows them.
    let defaults = Options::default();
    let mut args = vec!["tipstaff".to_owned(), "hook".to_owned()];
    let mut say = |option: &str, value: String| args.extend([option.to_owned(), value]);
    say("--on-error", options.on_error.word().to_owned());
    for root in &options.roots {
        say("--output-root", text(root)?);
    }
    if options.time_limit != defaults.time_limit {
        say("--time-limit", format!("{}ms", options.time_limit.as_millis()));
    }
    if options.flush != defaults.flush {
        say("--flush", format!("{}ms", options.flush.as_millis()));
    }
    if options.runtime_dir != defaults.runtime_dir {
        say("--runtime-dir", text(&options.runtime_dir)?);
    }
    if let Some(log) = &options.log {
        say("--log", text(log)?);
    }
    let timeout = TIMEOUT_S.max(options.time_limit.as_secs() + 1);
    let configuration = Configuration {
        version: "1.0.0",
        hook: Command { path: text(binary)?, args, timeout },
        when: When { annotations: Annotations { any: ".*" } },
        stages: ["prestart", "poststop"],
    };
    let json = serde_json::to_string_pretty(&configuration);
    json.map(|json| json + "\n").map_err(|e| Error::Install(binary.to_path_buf(), e.to_string()))
}

/// Writes the configuration, whole or not at all, and makes the directory for profiles if it is the usual one.
///
/// # Errors
/// The binary could be exchanged by somebody who is not root, or a file cannot be written.
pub fn install(dir: &Path, binary: &Path, options: &Options) -> Result<Installed, Error> {
    let wrong = |path: &Path| {
        let path = path.to_path_buf();
        move |e: std::io::Error| Error::Install(path, crate::words(&e))
    };
    let mode = std::fs::metadata(binary).map_err(wrong(binary))?.mode();
    if mode & 0o022 != 0 {
        let why = format!("has mode {:04o}, and engines run it as root: `chmod go-w` it first", mode & 0o7777);
        return Err(Error::Install(binary.to_path_buf(), why));
    }
    let json = configuration(binary, options)?;
    std::fs::create_dir_all(dir).map_err(wrong(dir))?;
    let made = options.roots.iter().find(|root| *root == Path::new(ROOT) && !root.exists()).cloned();
    if let Some(root) = &made {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(wrong(root))?;
    }
    let (path, part) = (dir.join(NAME), dir.join(".tipstaff.json.part"));
    let write = || {
        // A part that an earlier attempt left is ours to replace.
        let _ = std::fs::remove_file(&part);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&part)?;
        file.write_all(json.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, &path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&part);
        wrong(&path)(e)
    })?;
    Ok(Installed { path, made })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OnError;
    use std::time::Duration;

    #[test]
    fn the_schema_s_members_and_no_others() {
        let options = Options {
            on_error: OnError::Run,
            roots: vec!["/a".into(), "/b".into()],
            time_limit: Duration::from_millis(2500),
            ..Options::default()
        };
        let json = configuration(Path::new("/usr/bin/tipstaff"), &options).expect("JSON");
        let expected = serde_json::json!({
            "version": "1.0.0",
            "hook": {
                "path": "/usr/bin/tipstaff",
                "args": ["tipstaff", "hook", "--on-error", "run", "--output-root", "/a", "--output-root", "/b",
                         "--time-limit", "2500ms"],
                "timeout": 60,
            },
            "when": {"annotations": {"^io\\.containers\\.trace-syscall(/.+)?$": ".*"}},
            "stages": ["prestart", "poststop"],
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), expected);
    }

    #[test]
    fn a_binary_that_others_may_exchange_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let binary = dir.path().join("tipstaff");
        std::fs::write(&binary, "").expect("a file");
        let hooks = dir.path().join("hooks.d");
        let options = Options { roots: vec![dir.path().into()], ..Options::default() };
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o775)).expect("own file");
        let error = install(&hooks, &binary, &options).expect_err("writable").to_string();
        assert!(error.contains("mode 0775") && !hooks.exists(), "{error}");
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).expect("own file");
        for _ in 0..2 {
            let installed = install(&hooks, &binary, &options).expect("installed");
            assert_eq!(installed, Installed { path: hooks.join("tipstaff.json"), made: None });
        }
        assert_eq!(std::fs::read_dir(&hooks).expect("hooks.d").count(), 1);
    }
}
