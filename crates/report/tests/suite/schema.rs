//! The published schema describes what is written, and nothing else.

use serde_json::{Value, json};
use tipstaff_report::{JSON_SCHEMA, Report, judge};

use crate::samples;

fn schema() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(JSON_SCHEMA).unwrap()).unwrap()
}

fn reports() -> impl Iterator<Item = (&'static str, Value)> {
    samples::all().into_iter().map(|(name, outcome)| (name, serde_json::to_value(judge(outcome)).unwrap()))
}

/// The path of every object, array item and leaf.
fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    all.push(at.clone());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| pointers(value, format!("{at}/{key}"), all)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| pointers(item, format!("{at}/{i}"), all)),
        _ => {}
    }
}

#[test]
fn every_sample_fits() {
    let schema = schema();
    for (name, report) in reports() {
        let faults: Vec<_> = schema.iter_errors(&report).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{name}: {faults:?}");
    }
}

#[test]
fn every_sample_comes_back_as_it_was() {
    for (name, outcome) in samples::all() {
        let report = judge(outcome);
        assert_eq!(serde_json::from_str::<Report>(&report.to_json()).unwrap(), report, "{name}");
    }
}

#[test]
fn a_key_more_or_a_key_less_does_not_fit_anywhere() {
    let schema = schema();
    let mut objects = 0;
    for (name, report) in reports() {
        let mut all = Vec::new();
        pointers(&report, String::new(), &mut all);
        for at in all {
            let Some(object) = report.pointer(&at).and_then(Value::as_object) else { continue };
            objects += 1;
            let mut more = report.clone();
            more.pointer_mut(&at).unwrap()["extra"] = json!(1);
            assert!(!schema.is_valid(&more), "{name}: one more key at `{at}`");
            for key in object.keys() {
                let mut less = report.clone();
                less.pointer_mut(&at).unwrap().as_object_mut().unwrap().remove(key);
                assert!(!schema.is_valid(&less), "{name}: `{at}` without `{key}`");
            }
        }
    }
    assert!(objects > 50);
}

#[test]
fn a_value_of_another_kind_does_not_fit_anywhere() {
    let schema = schema();
    for (name, report) in reports() {
        let mut all = Vec::new();
        pointers(&report, String::new(), &mut all);
        for at in all {
            let mut wrong = report.clone();
            *wrong.pointer_mut(&at).unwrap() = json!(-1.5);
            assert!(!schema.is_valid(&wrong), "{name}: a fraction at `{at}`");
        }
    }
}

#[test]
fn keys_stand_in_the_order_of_the_documentation_and_none_is_omitted() {
    let json = judge(tipstaff_report::Outcome::new(tipstaff_report::Ending::NeverStarted)).to_json();
    assert_eq!(
        json,
        concat!(
            r#"{"schema":1,"verdict":"internal_error","exit_code":null,"signal":null,"clock":null,"#,
            r#""cpu_ns":{"user":0,"system":0,"total":0},"cpu_source":"none","wall_ns":0,"memory_peak_bytes":null,"#,
            r#""memory_source":"none","processes_peak":null,"output_bytes":null,"limits_hit":[],"denials":[],"#,
            r#""denials_coverage":"none","enforcement":[],"error":null}"#
        )
    );
}

#[test]
fn words_are_those_of_the_schema() {
    use tipstaff_report::{Limit, Verdict};
    let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let verdicts: Vec<_> = Verdict::ALL.iter().map(|verdict| verdict.as_str()).collect();
    assert_eq!(schema["properties"]["verdict"]["enum"], json!(verdicts));
    assert_eq!(serde_json::to_value(Verdict::ALL).unwrap(), json!(verdicts));
    let limits: Vec<_> = Limit::ALL.iter().map(|limit| limit.as_str()).collect();
    assert_eq!(schema["properties"]["limits_hit"]["items"]["properties"]["limit"]["enum"], json!(limits));
    assert_eq!(serde_json::to_value(Limit::ALL).unwrap(), json!(limits));
}
