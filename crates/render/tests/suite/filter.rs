//! What a filter lets through.

use std::collections::HashSet;

use tipstaff_decode::Value;
use tipstaff_render::{Ended, Filter, Filtered, Sink, Text, TextOptions, What};

use crate::samples::{Story, bytes, fd, flags};

fn told(filter: Filter, story: &Story) -> Vec<String> {
    let mut out = Vec::new();
    story.tell(&mut Filtered::new(filter, Text::new(&mut out, TextOptions { column: 0, ..TextOptions::default() })));
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

fn story() -> Story {
    let mut story = Story::default();
    story.enters(7, "pause", &[]).open(7, "/a", 3).open(7, "/b", -2).exits(8, 1);
    story
}

#[test]
fn by_ending() {
    let of = |ended| told(Filter { ended, ..Filter::default() }, &story());
    assert_eq!(
        of(Ended::InError),
        [
            "openat(AT_FDCWD, \"/b\", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)",
            "+++ exited with 1 +++"
        ]
    );
    assert_eq!(of(Ended::Well), ["openat(AT_FDCWD, \"/a\", O_RDONLY|O_CLOEXEC) = 3", "+++ exited with 1 +++"]);
    assert_eq!(of(Ended::Anyhow).len(), 5);
}

#[test]
fn by_task() {
    let filter = Filter { tasks: HashSet::from([8]), ..Filter::default() };
    assert_eq!(told(filter, &story()), ["exit_group(1) = ?", "+++ exited with 1 +++"]);
}

#[test]
fn by_path_and_by_the_descriptors_of_it() {
    let mut story = Story::default();
    let dup2 = [("oldfd", fd(3)), ("newfd", fd(5))];
    story.open(7, "/etc", 3).open(7, "/other", 4);
    let relative = [("dirfd", fd(3)), ("pathname", bytes("passwd")), ("flags", flags(&["O_RDONLY"]))];
    story.call(7, "openat", &relative, 6).call(7, "dup2", &[("oldfd", fd(6)), ("newfd", fd(9))], 9);
    story.fork(7, 8).call(8, "read", &[("fd", fd(9))], 0).call(7, "close", &[("fd", fd(9))], 0);
    story.call(7, "read", &[("fd", fd(9))], -9).call(8, "dup2", &dup2, 5).call(8, "close", &[("fd", fd(6))], 0);
    // What is closed at an exec is not what the number means afterwards; what was duplicated stays.
    story.push(8, 8, What::Executed { former_tid: 8, path: b"/x".to_vec(), argv: vec![] });
    story.call(8, "lseek", &[("fd", fd(9)), ("offset", Value::Int(0))], 0);
    let filter = Filter { paths: HashSet::from([b"/etc/passwd".to_vec()]), ..Filter::default() };
    assert_eq!(
        told(filter, &story),
        [
            "openat(3, \"passwd\", O_RDONLY) = 6",
            "dup2(6, 9) = 9",
            "read(9) = 0",
            "close(9) = 0",
            "close(6) = 0",
            "lseek(9, 0) = 0",
        ]
    );
    let known = Value::Fd { number: 77, path: Some(b"/etc/passwd".to_vec()) };
    let mut story = Story::default();
    story.call(7, "read", &[("fd", known)], 0);
    let filter = Filter { paths: HashSet::from([b"/etc/passwd".to_vec()]), ..Filter::default() };
    assert_eq!(told(filter, &story).len(), 1);
}

#[test]
fn entries_are_wanted_only_where_they_can_be_judged() {
    let wants = |filter| Filtered::new(filter, Text::new(Vec::new(), TextOptions::default())).wants_entries();
    assert!(wants(Filter::default()));
    assert!(!wants(Filter { ended: Ended::InError, ..Filter::default() }));
    assert!(!wants(Filter { paths: HashSet::from([b"/".to_vec()]), ..Filter::default() }));
}
