//! The file comes back as it was written, and merging is the union of sets.

use proptest::prelude::*;
use serde_json::Value;
use tipstaff_recording::{Error, Reason, Recording};

use crate::any::{recording, run};

/// The path of every object, array item and leaf.
fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    all.push(at.clone());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| pointers(value, format!("{at}/{key}"), all)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| pointers(item, format!("{at}/{i}"), all)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(recording in recording()) {
        let text = recording.to_json();
        prop_assert_eq!(Recording::parse(&text), Ok(recording));
        prop_assert_eq!(Recording::parse(&text).unwrap().to_json(), text);
    }

    #[test]
    fn merging_is_a_union(a in recording(), b in recording(), c in recording()) {
        let ab = a.clone().merge(b.clone());
        prop_assert_eq!(&ab, &b.clone().merge(a.clone()));
        prop_assert_eq!(ab.clone().merge(c.clone()), a.clone().merge(b.clone().merge(c)));
        prop_assert_eq!(&a.clone().merge(a.clone()), &a);
        prop_assert_eq!(&ab.clone().merge(b.clone()), &ab);
        prop_assert_eq!(&a.clone().merge(Recording::default()), &a);
        prop_assert!(ab.len() >= a.len().max(b.len()) && ab.len() <= a.len() + b.len());
    }

    #[test]
    fn a_key_more_or_a_key_less_or_a_value_of_another_kind_is_refused(run in run(), pick in any::<prop::sample::Index>()) {
        let whole: Value = serde_json::from_str(&Recording::from(run).to_json()).unwrap();
        let mut all = Vec::new();
        pointers(&whole, String::new(), &mut all);
        let at = &all[pick.index(all.len())];
        let mut wrong = whole.clone();
        *wrong.pointer_mut(at).unwrap() = serde_json::json!(-1.5);
        prop_assert!(Recording::parse(&wrong.to_string()).is_err(), "a fraction at `{}`", at);
        let Some(object) = whole.pointer(at).and_then(Value::as_object) else { return Ok(()) };
        let mut more = whole.clone();
        more.pointer_mut(at).unwrap()["extra"] = serde_json::json!(1);
        prop_assert!(Recording::parse(&more.to_string()).is_err(), "one more key at `{}`", at);
        for key in object.keys() {
            let mut less = whole.clone();
            less.pointer_mut(at).unwrap().as_object_mut().unwrap().remove(key);
            prop_assert!(Recording::parse(&less.to_string()).is_err(), "`{}` without `{}`", at, key);
        }
    }

    #[test]
    fn any_text_and_any_damage_is_an_error_and_no_panic(text in ".{0,60}", recording in recording(), at in any::<prop::sample::Index>(), byte in any::<char>()) {
        prop_assert!(Recording::parse(&text).is_err());
        let mut json: Vec<char> = recording.to_json().chars().collect();
        let at = at.index(json.len());
        json[at] = byte;
        let _ = Recording::parse(&json.iter().collect::<String>());
        // Without the line feed at its end it is whole.
        let cut = at.min(json.len() - 2);
        prop_assert!(Recording::parse(&json[..cut].iter().collect::<String>()).is_err());
    }
}

#[test]
fn another_version_is_told_before_anything_else() {
    let newer = r#"{"schema": 2, "runs": [{"new": true}], "more": 1}"#;
    assert_eq!(Recording::parse(newer), Err(Error::Version(Some(2))));
    assert_eq!(
        Recording::parse(newer).unwrap_err().to_string(),
        "a recording of version 2; this tipstaff reads version 1"
    );
    assert_eq!(Recording::parse("{}"), Err(Error::Version(None)));
    let oci = r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#;
    assert_eq!(Recording::parse(oci).unwrap_err().to_string(), "no recording: the key \"schema\" is missing");
    let text = Recording::parse("{\n  \"schema\": 1,\n  \"runs\": 7\n}").unwrap_err().to_string();
    assert!(text.starts_with("line 3, column "), "{text}");
}

#[test]
fn values_that_cannot_be_are_refused_with_their_place() {
    let whole = Recording::from(sample()).to_json();
    let cases = [
        (r#""id": "0"#, r#""id": "x"#, "runs[0].id: write 32 hexadecimal digits"),
        (r#""verdict": "incomplete""#, r#""verdict": "complete""#, "runs[0].completeness: the verdict does not follow"),
        (r#""demoted": false"#, r#""demoted": true"#, "runs[0].calls[0].arguments: values and selected words"),
        (r#""index": 0"#, r#""index": 6"#, "runs[0].calls[0].arguments: values and selected words"),
    ];
    for (from, to, error) in cases {
        assert!(whole.contains(from), "{from} in {whole}");
        let text = Recording::parse(&whole.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(text.starts_with(error), "{to}: {text}");
    }
}

pub fn sample() -> tipstaff_recording::Run {
    use tipstaff_abi::Arch;
    use tipstaff_recording::{Backend, Call, Machine, Phase, Run, Target};
    let machine = Machine { kernel: "6.18.0".to_owned(), arch: Arch::X86_64 };
    let target = Target::Command { argv: vec!["true".into()], directory: "/".into() };
    let mut run = Run::new("0123456789abcdef".repeat(2), Backend::Ptrace, machine, target, 1);
    run.completeness.lacks(Reason::ThreadsMissed, 1);
    let mut socket = Call::new(Arch::X86_64, 41);
    socket.made(Phase::Workload, &"/bin/true".into(), 1, 5);
    socket.arguments.as_mut().unwrap().add(vec![1, 2, 3]);
    run.calls.insert(socket);
    run
}
