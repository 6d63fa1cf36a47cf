//! The summary: counts, shares, order.

use serde_json::{Value, json};
use tipstaff_abi::Arch;
use tipstaff_render::{SortBy, Summary, SummaryForm, SummaryOptions, What};

use crate::samples::{Story, call, fd};

fn story() -> Story {
    let mut story = Story::default();
    let mut push = |pid, name, number, result, took_ns| {
        let mut call = call(name, &[("fd", fd(3))], Some(result));
        call.number = number;
        story.push(pid, pid, What::Returned { call, took_ns });
    };
    push(7, "read", 0, 5, 1_500_000);
    push(7, "read", 0, -9, 500_000);
    push(8, "close", 3, 0, 6_000_000);
    push(8, "access", 21, -2, 2_000_000);
    push(8, "access", 21, -2, 0);
    story.exits(8, 0);
    story
}

fn told(options: SummaryOptions) -> String {
    let mut out = Vec::new();
    story().tell(&mut Summary::new(&mut out, options));
    String::from_utf8(out).unwrap()
}

#[test]
fn the_table_is_straces_with_an_honest_title() {
    assert_eq!(
        told(SummaryOptions::default()),
        "% wall     seconds  usecs/call     calls    errors syscall\n\
         ------ ----------- ----------- --------- --------- ----------------\n\
         \u{20}60.00    0.006000        6000         1           close\n\
         \u{20}20.00    0.002000        1000         2         2 access\n\
         \u{20}20.00    0.002000        1000         2         1 read\n\
         ------ ----------- ----------- --------- --------- ----------------\n\
         100.00    0.010000        2000         5         3 total\n"
    );
}

#[test]
fn rows_are_sorted_as_asked() {
    let order = |sort| {
        let table = told(SummaryOptions { sort, ..SummaryOptions::default() });
        table.lines().skip(2).take(3).map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(order(SortBy::Time), ["close", "access", "read"]);
    assert_eq!(order(SortBy::Calls), ["access", "read", "close"]);
    assert_eq!(order(SortBy::Errors), ["access", "read", "close"]);
    assert_eq!(order(SortBy::Name), ["access", "close", "read"]);
}

#[test]
fn one_table_for_each_process() {
    let mut out = Vec::new();
    let mut story = story();
    story.push(8, 8, What::Executed { former_tid: 8, path: b"/bin/\x1b[2J".to_vec(), argv: vec![] });
    story.tell(&mut Summary::new(&mut out, SummaryOptions { per_process: true, ..SummaryOptions::default() }));
    let text = String::from_utf8(out).unwrap();
    let titles: Vec<_> = text.lines().filter(|line| line.starts_with("process")).collect();
    assert_eq!(titles, ["process 7: ?", "process 8: /bin/\\33[2J"]);
    assert_eq!(text.matches(" read\n").count(), 1);
}

#[test]
fn as_json() {
    let text = told(SummaryOptions { form: SummaryForm::Json, ..SummaryOptions::default() });
    let document: Value = serde_json::from_str(&text).unwrap();
    let table = &document["tables"][0];
    assert_eq!(table["pid"], json!(null));
    assert_eq!(
        table["calls"][0],
        json!({"name": "close", "arch": "x86_64", "calls": 1, "errors": 0, "wall_ns": 6_000_000, "share": 0.6})
    );
    assert_eq!(table["total"], json!({"calls": 5, "errors": 3, "wall_ns": 10_000_000, "share": 1.0}));
}

#[test]
fn calls_of_another_architecture_are_rows_of_their_own() {
    let mut story = Story::default();
    let mut foreign = call("close", &[], Some(0));
    foreign.arch = Arch::I386;
    story.call(7, "close", &[], 0).push(7, 7, What::Returned { call: foreign, took_ns: 0 });
    let mut out = Vec::new();
    story.tell(&mut Summary::new(&mut out, SummaryOptions::default()));
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(" close\n") && text.contains(" close (i386)\n"), "{text}");
}

#[test]
fn nothing_is_a_table_too() {
    let mut out = Vec::new();
    Story::default().tell(&mut Summary::new(&mut out, SummaryOptions::default()));
    assert!(String::from_utf8(out).unwrap().ends_with("  0.00    0.000000           0         0           total\n"));
}
