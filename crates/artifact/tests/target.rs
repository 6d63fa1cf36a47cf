//! What becomes of a file when something is in the way.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tipstaff_artifact::{Error, Target};

/// The files of a directory, dotted ones too.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .expect("reads")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("utf-8"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_whole_and_is_its_owners() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("profile.json");
    let target = Target::at(&path).expect("a place");
    assert!(!target.exists().expect("nothing there") && target.read().expect("nothing there").is_none());
    target.create(b"one").expect("written");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
    target.replace(b"two").expect("written");
    assert_eq!(fs::read(&path).expect("reads"), b"two");
    assert_eq!(target.read().expect("reads").as_deref(), Some(&b"two"[..]));
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o600);
    assert!(matches!(target.create(b"three"), Err(Error::Exists(_))));
    assert_eq!(names(scratch.path()), ["profile.json"]);
}

#[test]
fn a_link_is_never_followed_and_nothing_else_is_replaced() {
    let scratch = tempfile::tempdir().expect("a directory");
    let precious = scratch.path().join("precious");
    fs::write(&precious, "old").expect("written");
    let link = scratch.path().join("link");
    let target = Target::at(&link).expect("nothing there yet");
    symlink(&precious, &link).expect("linked");
    for wrong in [Target::at(&link).map(drop), target.replace(b"new"), target.create(b"new"), target.read().map(drop)] {
        let text = wrong.expect_err("refused").to_string();
        assert!(text.contains("symbolic link") && text.contains("link:"), "{text}");
    }
    assert_eq!(fs::read(&precious).expect("reads"), b"old");
    fs::create_dir(scratch.path().join("directory")).expect("made");
    for path in [
        scratch.path().join("directory"),
        PathBuf::from("/dev/null"),
        PathBuf::from("x/"),
        PathBuf::from("/"),
        PathBuf::from(".."),
    ] {
        assert!(matches!(Target::at(&path), Err(Error::NoFile(_))), "{path:?}");
    }
    let text = Target::at(&scratch.path().join("none/file")).expect_err("no directory").to_string();
    assert!(text.contains("make the directory first"), "{text}");
}

#[test]
fn what_others_name_stays_inside_the_roots() {
    let scratch = tempfile::tempdir().expect("a directory");
    let root = scratch.path().canonicalize().expect("a path").join("root");
    fs::create_dir_all(root.join("a/b")).expect("made");
    fs::create_dir(scratch.path().join("elsewhere")).expect("made");
    symlink("../elsewhere", root.join("out")).expect("linked");
    symlink("a", root.join("inside")).expect("linked");
    let roots = [PathBuf::from("/nowhere"), root.clone()];
    Target::below(&roots, &root.join("a/b/file")).expect("inside").replace(b"x").expect("written");
    Target::below(&roots, &root.join("file")).expect("inside").replace(b"x").expect("written");
    assert_eq!(
        (fs::read(root.join("a/b/file")).expect("there"), fs::read(root.join("file")).expect("there")),
        (b"x".to_vec(), b"x".to_vec())
    );
    for (path, words) in [
        (root.join("out/file"), "symbolic link"),
        (root.join("inside/file"), "symbolic link"),
        (root.join("a/../file"), "without `..`"),
        (PathBuf::from("a/file"), "absolute"),
        (scratch.path().join("elsewhere/file"), "outside the directories"),
        (root.with_file_name("root2").join("file"), "outside the directories"),
        (root.join("c/file"), "make the directory first"),
    ] {
        let text = Target::below(&roots, &path).expect_err("refused").to_string();
        assert!(text.contains(words), "{path:?}: {text}");
    }
    assert_eq!(names(&scratch.path().join("elsewhere")), [""; 0]);
    let text = Target::below(&[], &root.join("file")).expect_err("no roots").to_string();
    assert!(text.contains("(none)"), "{text}");
}

/// Runs again in a mount namespace of its own, on a tmpfs of one page beside the old file.
#[test]
fn a_full_disk_leaves_the_old_file() {
    const INSIDE: &str = "TARGET_ON_A_FULL_DISK";
    if let Some(place) = std::env::var_os(INSIDE) {
        return on_a_full_disk(Path::new(&place));
    }
    let scratch = tempfile::tempdir().expect("a directory");
    let program = std::env::current_exe().expect("this program");
    let script =
        "mount -t tmpfs -o size=16k none \"$1\" && exec \"$2\" --exact a_full_disk_leaves_the_old_file --nocapture";
    let ran = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script, "sh"])
        .args([scratch.path(), &program])
        .env(INSIDE, scratch.path())
        .output();
    let ran = match ran {
        Ok(ran) if ran.stdout.is_empty() && !ran.status.success() => {
            let why = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
            tipstaff_testkit::skip!("a full disk: no mount namespace: {why}");
        }
        Ok(ran) => ran,
        Err(e) => tipstaff_testkit::skip!("a full disk: unshare(1): {e}"),
    };
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.contains("the old file stands"),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

fn on_a_full_disk(place: &Path) {
    let target = Target::at(&place.join("profile.json")).expect("a place");
    target.replace(b"the old file").expect("there is room for this");
    let text = target.replace(&vec![b'x'; 64 << 10]).expect_err("no room").to_string();
    assert!(text.contains("no space left on device") && text.contains("what stood there is as it was"), "{text}");
    assert_eq!(target.read().expect("reads").as_deref(), Some(&b"the old file"[..]));
    assert_eq!(names(place), ["profile.json"]);
    // The control: with room it is replaced.
    target.replace(&[b'x'; 4 << 10]).expect("there is room for this");
    assert_eq!(target.read().expect("reads").map(|bytes| bytes.len()), Some(4 << 10));
    println!("the old file stands");
}
