//! The published schema describes what is written, and nothing else.

use proptest::prelude::*;
use serde_json::{Value, json};
use tipstaff_recording::{Backend, JSON_SCHEMA, Phase, Reason, Recording};

use crate::any::{recording, run};

fn schema() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(JSON_SCHEMA).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_recording_fits(recording in recording()) {
        let schema = schema();
        let value: Value = serde_json::from_str(&recording.to_json()).unwrap();
        let faults: Vec<_> = schema.iter_errors(&value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        prop_assert!(faults.is_empty(), "{:?}", faults);
    }

    #[test]
    fn no_key_more_and_none_less_fits(run in run()) {
        let schema = schema();
        let whole: Value = serde_json::from_str(&Recording::from(run).to_json()).unwrap();
        for at in ["", "/runs/0", "/runs/0/machine", "/runs/0/target", "/runs/0/completeness", "/runs/0/calls/0"] {
            let Some(object) = whole.pointer(at).and_then(Value::as_object) else { continue };
            let mut more = whole.clone();
            more.pointer_mut(at).unwrap()["extra"] = json!(1);
            prop_assert!(!schema.is_valid(&more), "one more key at `{}`", at);
            for key in object.keys() {
                let mut less = whole.clone();
                less.pointer_mut(at).unwrap().as_object_mut().unwrap().remove(key);
                prop_assert!(!schema.is_valid(&less), "`{}` without `{}`", at, key);
            }
        }
    }
}

#[test]
fn words_are_those_of_the_schema() {
    let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let run = &schema["$defs"]["run"]["properties"];
    assert_eq!(run["backend"]["enum"], json!(Backend::ALL));
    assert_eq!(json!(Backend::ALL), json!(Backend::ALL.map(Backend::as_str)));
    assert_eq!(schema["$defs"]["phase"]["enum"], json!(Phase::ALL));
    assert_eq!(json!(Phase::ALL), json!(Phase::ALL.map(Phase::as_str)));
    let reasons = &run["completeness"]["properties"]["shortfalls"]["items"]["properties"]["reason"]["enum"];
    assert_eq!(*reasons, json!(Reason::ALL));
    let archs: Vec<_> = tipstaff_abi::Arch::ALL.iter().map(|arch| arch.name()).collect();
    assert_eq!(schema["$defs"]["arch"]["enum"], json!(archs));
}
