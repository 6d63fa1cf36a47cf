//! What must hold whatever a runtime, or the owner of a container, hands in. The fuzzer (`fuzz/`) and the tests below ask the same.

use std::path::Path;

use crate::annotation::{Annotation, Choice, choose};
use crate::bundle::Bundle;
use crate::stage::Stage;
use crate::state::State;
use crate::wire::{Card, End, Hello, Request, Task};
use crate::{Error, name};

/// An error is one line.
fn one_line(error: &Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
}

/// The state that a runtime writes to a hook's standard input.
pub fn state(json: &[u8]) {
    let state = match State::parse(json) {
        Ok(state) => state,
        Err(error) => return one_line(&error),
    };
    // The id is a name of files of ours.
    assert!(!state.id.contains(['/', '\0']) && !state.id.starts_with('.'), "{:?}", state.id);
    for outside in [false, true] {
        if let Stage::Start { pid } = Stage::of(&state, |_| outside) {
            assert!(outside && pid > 1);
        }
    }
    let name = name::of(&state);
    if let Choice::Ours(value) = choose(state.annotations(), &name) {
        annotation(value, &state.id, &name);
    }
}

/// An annotation's value, for a container of this id and name.
pub fn annotation(value: &str, id: &str, name: &str) {
    let output = match Annotation::parse(value).and_then(|annotation| annotation.output(id, name)) {
        Ok(output) => output,
        Err(error) => return one_line(&error),
    };
    // Id and name are words, never directories: none leads out of where the annotation says.
    assert!(output.is_absolute());
    let said = value.split(';').rev().find_map(|part| part.strip_prefix("of:")).expect("an output");
    let depth = |path: &Path| path.components().count();
    assert_eq!(depth(&output), depth(Path::new(said.trim())), "{value:?} became {output:?}");
}

/// A bundle's config.json, and whatever hooks and the collector tell each other.
pub fn json(text: &[u8]) {
    if let Ok(bundle) = Bundle::parse(text) {
        same(&bundle);
    }
    message::<Request>(text);
    message::<Hello>(text);
    message::<Card>(text);
    message::<Task>(text);
    message::<End>(text);
    if let Ok(end) = serde_json::from_slice::<End>(text) {
        drop(end.lines());
    }
}

fn message<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(text: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<T>(text) {
        same(&message);
    }
}

/// What is written is read.
fn same<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_vec(value).expect("JSON");
    assert_eq!(serde_json::from_slice::<T>(&text).as_ref().ok(), Some(value));
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use serde_json::json;

    use super::*;

    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"id\":\"c1\"",
        "\"id\":",
        "\"status\":\"creating\"",
        "\"status\":\"stopped\"",
        "\"status\":",
        "\"pid\":7",
        "\"pid\":",
        "\"bundle\":\"/b\"",
        "\"bundle\":",
        "\"annotations\":{}",
        "\"annotations\":",
        "\"io.containers.trace-syscall\":\"of:/o\"",
        "\"process\":",
        "\"args\":[\"a\"]",
        "\"linux\":",
        "\"namespaces\":[{\"type\":\"pid\"}]",
        "\"seccomp\":",
        "\"defaultAction\":\"\"",
        "\"finish\":\"c1\"",
        "\"failed\":\"x\"",
        "\"ready\":[]",
        "null",
        "true",
        "0",
        "-1",
        "1e9",
        "99999999999",
        "\"a\\nb\"",
        "\"\\u0000\"",
        "\"/\"",
        "\"..\"",
        "\n",
        "\u{0}",
        "\u{feff}",
    ];

    /// Parts of annotations, right and wrong.
    fn value() -> impl Strategy<Value = String> {
        let part = prop::sample::select(
            &[
                "of:/o",
                "of: /o/{id}.json",
                "of:/o/{name}/x",
                "of:/{name}",
                "of:o",
                "if:/nonexistent",
                "if:/dev/zero",
                "if:x",
                "if:",
                "of:",
                "/{id}{",
                "{pod}",
                "}{name",
                ";",
                ";",
                " ",
                "\n",
                "\u{0}",
                "..",
                "/../",
                "\u{202e}",
            ][..],
        );
        vec(part, 0..6).prop_map(|parts| parts.concat())
    }

    fn word() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z0-9._+-]{0,8}",
            prop::sample::select(&["..", ".", "", "a/b", "/", "\u{0}", "a\nb"][..]).prop_map(str::to_owned),
            ".{0,6}"
        ]
    }

    /// The same cases each time; TIPSTAFF_DRILL=full plays others, and more of them.
    fn cases(cases: u32) -> ProptestConfig {
        let full = tipstaff_testkit::full_drill();
        let (cases, rng_seed) =
            if full { (cases * 100, RngSeed::Random) } else { (cases, RngSeed::Fixed(0x686f_6f6b)) };
        ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(cases(400))]

        #[test]
        fn any_bytes(bytes in vec(any::<u8>(), 0..100)) {
            state(&bytes);
            json(&bytes);
        }

        #[test]
        fn any_order_of_pieces(pieces in vec(prop::sample::select(PIECES), 0..30), open in any::<bool>()) {
            let text = pieces.concat();
            let text = if open { format!("{{{text}}}") } else { text };
            state(text.as_bytes());
            json(text.as_bytes());
        }

        #[test]
        fn any_state_of_the_right_shape(
            id in word(), status in prop::sample::select(&["creating", "created", "running", "paused", "stopped", "st\nop"][..]), pid in any::<i32>(),
            bundle in prop_oneof![Just("/b".to_owned()), word()], value in value(), keys in btree_map(word(), word(), 0..3), name in prop::option::of(word()),
        ) {
            let mut annotations: serde_json::Map<_, _> = keys.into_iter().map(|(key, value)| (key, value.into())).collect();
            annotations.insert("io.containers.trace-syscall".into(), value.into());
            annotations.extend(name.map(|name| ("io.kubernetes.container.name".to_owned(), name.into())));
            let text = json!({"id": id, "status": status, "pid": pid, "bundle": bundle, "annotations": annotations}).to_string();
            state(text.as_bytes());
        }

        #[test]
        fn any_annotation(value in value(), id in word(), name in word()) {
            annotation(&value, &id, &name);
        }
    }

    #[test]
    fn a_word_with_a_line_feed_makes_no_second_line() {
        for text in
            [r#"{"id":"a","status":"st\nop","bundle":"/b"}"#, r#"{"id":"a\nb","status":"stopped","bundle":"/b"}"#]
        {
            one_line(&State::parse(text.as_bytes()).expect_err(text));
        }
        one_line(&Annotation::parse("if:/a\nb;of:/o").expect_err("no file"));
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("p.json");
        std::fs::write(&file, r#"{"default\nAction": 1}"#).expect("a file");
        one_line(&Annotation::parse(&format!("if:{};of:/o", file.display())).expect_err("no profile"));
        let config = r#"{"process": "a\nb"}"#;
        std::fs::write(dir.path().join("config.json"), config).expect("a file");
        one_line(&Bundle::read(dir.path()).expect_err("no bundle"));
    }
}
