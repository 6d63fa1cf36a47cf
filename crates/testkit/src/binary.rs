//! The command under test.
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use crate::place;

/// The `tipstaff` binary, as a copy that every user may execute: `TIPSTAFF_BIN` if that is set,
/// else the workspace's own, built once.
pub fn tipstaff() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let binary = match std::env::var_os("TIPSTAFF_BIN") {
            Some(path) => PathBuf::from(path),
            None => build(),
        };
        let found = fs::metadata(&binary).unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let mut hash = DefaultHasher::new();
        (&binary, found.len(), found.mtime(), found.mtime_nsec()).hash(&mut hash);
        let copy = place::shared().join(format!("bin-{:016x}", hash.finish())).join("tipstaff");
        place::once(&copy, 0o755, |part| {
            fs::copy(&binary, part).expect("copy of the binary");
            forget_old_copies();
        });
        copy
    })
}

/// `cargo build` once per test session: under nextest each test is a process, and the session has a
/// name.
fn build() -> PathBuf {
    let built = place::build_dir().join("tipstaff");
    let session = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| format!("process-{}", std::process::id()));
    let stamp = place::target_dir().join("testkit").join(format!("built-{session}"));
    place::once(&stamp, 0o644, |part| {
        if is_fresh(&built) {
            return fs::write(part, "").expect("stamp");
        }
        let profile = place::build_dir().file_name().and_then(|name| name.to_str()).unwrap_or("debug").to_owned();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--package", "tipstaff-cli", "--bin", "tipstaff"]);
        command.args(["--profile", if profile == "debug" { "dev" } else { &profile }]);
        command.arg("--target-dir").arg(place::target_dir()).current_dir(env!("CARGO_MANIFEST_DIR"));
        let status = command.status().unwrap_or_else(|error| panic!("cargo: {error}"));
        assert!(status.success(), "the tipstaff binary does not build");
        fs::write(part, "").expect("stamp");
    });
    built
}

/// Whether `built` is newer than all that cargo says it was made of, here. A build of the whole workspace has made it a moment ago; one of this package alone would compile
/// half of what it depends on once more, with other features, while tests wait that are to end in time.
fn is_fresh(built: &Path) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace");
    let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    let Some(made) = changed(built) else { return false };
    // "PROGRAM: FILE FILE ...": a name with a blank, or a file of another checkout, is none that is looked for.
    let list = fs::read_to_string(built.with_extension("d")).unwrap_or_default();
    let sources: Vec<PathBuf> = list.split_whitespace().skip(1).map(PathBuf::from).collect();
    let crates = fs::read_dir(root.join("crates")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut plans = crates.map(|dir| dir.join("Cargo.toml")).chain([root.join("Cargo.toml"), root.join("Cargo.lock")]);
    let older = |path: &PathBuf| path.starts_with(&root) && changed(path).is_some_and(|changed| changed < made);
    sources.len() > 100 && sources.iter().all(older) && plans.all(|plan| older(&plan))
}

/// Copies of binaries that nobody tests any more.
fn forget_old_copies() {
    let old = SystemTime::now() - Duration::from_secs(24 * 3600);
    for entry in fs::read_dir(place::shared()).into_iter().flatten().flatten() {
        let is_copy = entry.file_name().to_string_lossy().starts_with("bin-");
        if is_copy && entry.metadata().and_then(|found| found.modified()).is_ok_and(|made| made < old) {
            // Another suite may be removing it too: whoever comes second has nothing to do.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
