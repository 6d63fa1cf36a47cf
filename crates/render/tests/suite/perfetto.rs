//! The timeline, against the description of the Trace Event Format.

use serde_json::{Value, json};
use tipstaff_render::{Perfetto, Sink};

use crate::samples::{Story, everything};

fn told(story: &Story) -> Vec<Value> {
    let mut out = Vec::new();
    story.tell(&mut Perfetto::new(&mut out));
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn every_event_has_what_its_phase_asks_for() {
    let events = told(&everything());
    assert!(events.len() > 10);
    for event in &events {
        assert!(event["name"].is_string() && event["pid"].is_i64() && event["tid"].is_i64(), "{event}");
        match event["ph"].as_str().unwrap() {
            "M" => assert!(event["args"]["name"].is_string(), "{event}"),
            "X" => assert!(event["ts"].is_f64() && event["dur"].is_f64() && event["args"].is_object(), "{event}"),
            "i" => assert!(event["ts"].is_f64() && event["s"] == "t", "{event}"),
            "s" | "f" => assert!(event["ts"].is_f64() && event["id"].is_u64() && event["cat"] == "fork", "{event}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_call_is_a_slice_with_its_arguments() {
    let mut story = Story::default();
    story.open(7, "/no\"pe", -2);
    let events = told(&story);
    let slice = events.iter().find(|event| event["ph"] == "X").unwrap();
    assert_eq!(
        *slice,
        json!({
            "ph": "X", "name": "openat", "pid": 7, "tid": 7, "ts": 1000.0, "dur": 4.0, "cat": "call,failed",
            "args": {
                "dirfd": "AT_FDCWD", "pathname": "\"/no\\\"pe\"", "flags": "O_RDONLY|O_CLOEXEC",
                "=": "-1 ENOENT (No such file or directory)",
            },
        })
    );
}

#[test]
fn a_fork_is_an_arrow_to_the_childs_first_event() {
    let mut story = Story::default();
    story.fork(7, 8).call(7, "getpid", &[], 7).exec(8, &["/bin/ls"]).exits(8, 0);
    let events = told(&story);
    let of = |phase: &str| events.iter().find(|event| event["ph"] == phase).unwrap();
    assert_eq!(of("s")["id"], of("f")["id"]);
    assert_eq!((&of("s")["tid"], &of("f")["tid"]), (&json!(7), &json!(8)));
    let names: Vec<_> =
        events.iter().filter(|event| event["name"] == "process_name").map(|event| &event["args"]["name"]).collect();
    assert_eq!(names, ["fork of 7", "ls"]);
}

#[test]
fn what_a_kill_leaves_behind_lacks_only_the_bracket() {
    for count in 0..5 {
        let mut out = Vec::new();
        let mut sink = Perfetto::new(&mut out);
        everything().events.iter().take(count).for_each(|event| sink.event(event).unwrap());
        // Dropped without its end: what was collected is written.
        drop(sink);
        if out.is_empty() {
            continue;
        }
        out.extend_from_slice(b"]");
        assert!(serde_json::from_slice::<Value>(&out).is_ok(), "{}", String::from_utf8_lossy(&out));
    }
    assert!(told(&Story::default()).is_empty());
}
