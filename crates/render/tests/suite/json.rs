//! JSON lines: what is written is what the schema describes, and nothing else.

use serde_json::{Value, json};
use tipstaff_render::{Clock, EVENT_SCHEMA, JsonLines, Sink};

use crate::samples::{Story, everything};

fn schema() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(EVENT_SCHEMA).unwrap()).unwrap()
}

fn lines(story: &Story) -> Vec<Value> {
    let mut out = Vec::new();
    story.tell(&mut JsonLines::new(&mut out, Clock { began_unix_ns: 5, utc_offset_s: 0 }, false).unwrap());
    let text = String::from_utf8(out).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_kind_of_event_fits_the_schema() {
    let schema = schema();
    let lines = lines(&everything());
    let mut kinds: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let all = ["attached", "began", "call", "detached", "executed", "exited", "forked", "killed", "signal", "stopped"];
    assert_eq!(kinds, all);
    for line in lines {
        let faults: Vec<_> = schema.iter_errors(&line).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{line}: {faults:?}");
    }
}

/// The path of every object of an event.
fn objects(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            all.push(at.clone());
            map.iter().for_each(|(key, value)| objects(value, format!("{at}/{key}"), all));
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| objects(item, format!("{at}/{i}"), all)),
        _ => {}
    }
}

#[test]
fn a_key_more_or_less_does_not_fit() {
    let schema = schema();
    for line in lines(&everything()) {
        let mut all = Vec::new();
        objects(&line, String::new(), &mut all);
        for at in all {
            let mut more = line.clone();
            more.pointer_mut(&at).unwrap()["extra"] = json!(1);
            // Arguments and fields have any names.
            let open = at.ends_with("/args") || at.ends_with("/struct/struct") || at.ends_with("/info/struct");
            assert_eq!(schema.is_valid(&more), open, "{line}: one more key at `{at}`");
        }
        for key in line.as_object().unwrap().keys() {
            let mut less = line.clone();
            less.as_object_mut().unwrap().remove(key);
            assert!(!schema.is_valid(&less), "{line}: without `{key}`");
        }
    }
}

#[test]
fn wrong_values_do_not_fit() {
    let schema = schema();
    let call = lines(&everything()).into_iter().find(|line| line["name"] == "openat").unwrap();
    assert!(schema.is_valid(&call));
    let wrong = [
        ("/event", json!("calls")),
        ("/at_ns", json!(-1)),
        ("/pid", json!("7")),
        ("/args/int", json!(9_007_199_254_740_992_u64)),
        ("/args/uint", json!({"int": "5"})),
        ("/args/hex", json!({"hex": "0xXYZ"})),
        ("/args/octal", json!({"octal": "0999"})),
        ("/args/raw", json!({"base64": 1})),
        ("/args/cut", json!({"bytes": "x", "cut": false})),
        ("/args/flags", json!({"flags": [1]})),
        ("/args/text", json!(true)),
        ("/returned/errno", json!(2)),
        ("/took_ns", json!(1.5)),
    ];
    for (at, value) in wrong {
        let mut changed = call.clone();
        *changed.pointer_mut(at).unwrap() = value;
        assert!(!schema.is_valid(&changed), "{at}");
    }
}

#[test]
fn values_are_typed() {
    let lines = lines(&everything());
    assert_eq!(lines[0], json!({"event": "began", "schema": 1, "began_unix_ns": 5}));
    let call = lines.iter().find(|line| line["name"] == "openat").unwrap();
    let args = json!({
        "int": -5,
        "large": {"int": "-9223372036854775808"},
        "uint": {"int": "18446744073709551615"},
        "hex": {"hex": "0xdeadbeef"},
        "octal": {"octal": "0644"},
        "name": {"name": "AT_FDCWD"},
        "flags": {"flags": ["O_RDONLY"], "rest": "0x100"},
        "none": {"flags": []},
        "text": "/etc/\u{e9}</script>",
        "raw": {"base64": "//4="},
        "cut": {"bytes": "caf", "cut": true},
        "null": null,
        "address": {"address": "0x7ffd0000"},
        "fd": {"fd": 3},
        "fdpath": {"fd": 3, "path": {"base64": "L2H/"}},
        "struct": {"struct": {"fd": {"fd": 4}, "events": {"flags": ["POLLIN"]}}},
        "list": [1, "x"],
        "more": {"list": [1], "more": true},
    });
    assert_eq!(call["args"], args);
    assert_eq!(call["returned"], json!({"value": -2, "errno": "ENOENT", "shown": null}));
}

#[test]
fn entries_are_passed_over_and_each_line_can_be_brought_out() {
    let mut story = Story::default();
    story.enters(7, "getpid", &[]);
    assert_eq!(lines(&story).len(), 1);
    story.call(7, "getpid", &[], 7);
    for (live, before_the_end) in [(true, 2), (false, 0)] {
        let mut out = Vec::new();
        let mut sink = JsonLines::new(&mut out, Clock::default(), live).unwrap();
        story.events.iter().for_each(|event| sink.event(event).unwrap());
        // Without its end: as if the tracer had been killed.
        std::mem::forget(sink);
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), before_the_end);
    }
}
