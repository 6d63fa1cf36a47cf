//! The example that the documentation shows.

use std::process::Command;

#[test]
fn the_example_takes_the_secret_away() {
    let me = std::env::current_exe().expect("a test knows its own path");
    let build = me.ancestors().find(|dir| dir.join("examples").is_dir()).expect("tests are built with the examples");
    let out = Command::new(build.join("examples/policy")).output().expect("the example runs");
    let text = String::from_utf8_lossy(&out.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "readable", "{out:?}");
    assert!(lines.contains(&"ran /tmp/new with 1 arguments"), "{out:?}");
    assert!(
        lines.iter().any(|line| line.starts_with("denied execve: example: exec ") && line.ends_with("/rm")),
        "{out:?}"
    );
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(errors.contains("/etc/hostname: Permission denied"), "{out:?}");
}
