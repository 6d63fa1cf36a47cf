//! The example that the documentation shows.

use std::path::PathBuf;
use std::process::Command;

/// Where cargo puts the examples of the build that this test belongs to.
fn example() -> PathBuf {
    let me = std::env::current_exe().expect("a test knows its own path");
    let build = me.ancestors().find(|dir| dir.join("examples").is_dir()).expect("tests are built with the examples");
    build.join("examples/rewrite")
}

#[test]
fn rewrite_changes_a_result_and_a_path() {
    let out = Command::new(example()).output().expect("the example runs");
    let group = std::fs::read_to_string("/etc/group").expect("readable by all");
    let first = group.lines().next().expect("a group");
    let text = String::from_utf8_lossy(&out.stdout);
    assert_eq!(text, format!("elsewhere\n{first}\nok\n"), "{out:?}");
    let out = Command::new(example()).args(["head", "-c", "5", "/etc/passwd"]).output().expect("the example runs");
    assert_eq!(out.stdout, b"root:ok\n", "what it does not want is left alone: {out:?}");
}
