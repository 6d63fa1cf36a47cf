//! The report: its keys are always there, and it is what the published schema says.
use std::fs;
use std::path::Path;

use serde_json::Value;
use tipstaff_testkit::{Ran, Scratch, User, run, tipstaff};

use crate::{both, users};

const KEYS: [&str; 18] = [
    "schema",
    "verdict",
    "exit_code",
    "signal",
    "clock",
    "cpu_ns",
    "cpu_source",
    "wall_ns",
    "memory_peak_bytes",
    "memory_source",
    "processes_peak",
    "output_bytes",
    "limits_hit",
    "denials",
    "denials_coverage",
    "enforcement",
    "error",
    // Not a key of the contract: stands for "and no other".
    "",
];

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/report/schema/report.schema.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("the schema is JSON")
}

/// Runs that end in every way there is.
fn runs(user: User) -> Vec<Ran> {
    vec![
        run(["exit", "0"]).as_user(user).go(),
        run(["exit", "3"]).as_user(user).go(),
        run(["raise", "15"]).as_user(user).go(),
        run(["spin"]).cpu("100ms").as_user(user).go(),
        run(["sleeper"]).wall("200ms").as_user(user).go(),
        run(["sleeper"]).idle("200ms").wall("20s").as_user(user).go(),
        run(["hog"]).memory("32MiB").wall("20s").as_user(user).go(),
        run(["flood", "100000"]).output("1KiB").as_user(user).go(),
        run(["forklimit", "1"]).processes(8).as_user(user).go(),
        run(["int80"]).as_user(user).go(),
        run(["sysprobe", "321", "0", "@", "8"]).as_user(user).go(),
        run(["/no/such/program"]).as_user(user).go(),
        run(["/usr"]).as_user(user).go(),
        run(["exit", "0"]).profile("judge").memory("64MiB").cpu("1s").processes(4).output("1KiB").as_user(user).go(),
    ]
}

both!(every_ending_fits_the_schema_with_every_key, |user| {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).expect("the schema is a JSON Schema");
    let mut verdicts = std::collections::BTreeSet::new();
    for ran in runs(user) {
        let object = ran.report.as_object().unwrap_or_else(|| panic!("no report\n{ran}"));
        for key in KEYS.iter().filter(|key| !key.is_empty()) {
            ran.check(object.contains_key(*key), format_args!("the key {key} is missing"));
        }
        for key in object.keys() {
            ran.check(KEYS.contains(&key.as_str()), format_args!("the key {key} is in no contract"));
        }
        ran.check(ran.report["schema"] == 1, "schema 1");
        let errors: Vec<_> = validator.iter_errors(&ran.report).map(|error| error.to_string()).collect();
        ran.check(errors.is_empty(), format_args!("against the schema: {errors:?}"));
        verdicts.insert(ran.verdict().to_owned());
    }
    for verdict in [
        "ok",
        "nonzero_exit",
        "signaled",
        "time_limit",
        "memory_limit",
        "output_limit",
        "process_limit",
        "policy_violation",
        "launch_failed",
    ] {
        assert!(verdicts.contains(verdict), "no run ended {verdict}: {verdicts:?}");
    }
});

/// The check above can fail: the schema refuses what is no report.
#[test]
fn the_schema_refuses_what_is_wrong() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).expect("the schema is a JSON Schema");
    let user = users().next().expect("a user");
    let right = run(["exit", "0"]).as_user(user).go().report;
    assert!(validator.is_valid(&right), "{right:#}");
    for key in KEYS.iter().filter(|key| !key.is_empty()) {
        let mut without = right.clone();
        without.as_object_mut().expect("object").remove(*key);
        assert!(!validator.is_valid(&without), "the schema lets {key} be absent");
    }
    for (key, wrong) in [("verdict", "fine"), ("clock", "sun"), ("denials_coverage", "most"), ("cpu_source", "guess")] {
        let mut report = right.clone();
        report[key] = wrong.into();
        assert!(!validator.is_valid(&report), "the schema lets {key} be {wrong}");
    }
}

both!(a_denied_call_is_told_with_its_rule, |user| {
    let ran = run(["sysprobe", "321", "0", "@", "8"]).as_user(user).go();
    ran.expect_ok();
    ran.check(!ran.out().contains("OK"), "bpf is denied");
    if ran.report["denials_coverage"] == "none" {
        panic!("this machine has listeners, so denials are seen\n{ran}");
    }
    let denials = ran.report["denials"].as_array().expect("a list");
    let bpf =
        denials.iter().find(|denial| denial["syscall"] == "bpf").unwrap_or_else(|| panic!("bpf is not told\n{ran}"));
    ran.check(bpf["errno"].is_string() && bpf["action"] == "errno", "action and errno");
    ran.check(bpf["count"] == 1 && bpf["arch"].is_string() && bpf["args"].is_array(), "count, architecture, arguments");
    ran.check(!bpf["rule"].is_null() && !bpf["allow_with"].is_null(), "the rule and how to allow it");
});

both!(denied_calls_are_counted, |user| {
    // Positive control of the count: as many as were made.
    let script = "import ctypes\nfor _ in range(7): ctypes.CDLL(None).syscall(321, 0, 0, 0)";
    let ran = run(["python3", "-c", script]).profile("python").as_user(user).go();
    if ran.code() == 127 {
        tipstaff_testkit::skip!("python3 is not installed");
    }
    ran.expect_ok();
    let denials = ran.report["denials"].as_array().expect("a list");
    let bpf: u64 =
        denials.iter().filter(|denial| denial["syscall"] == "bpf").filter_map(|denial| denial["count"].as_u64()).sum();
    ran.check(bpf == 7, format_args!("{bpf} denials, 7 calls"));
});

both!(report_to_a_descriptor_and_to_stdout, |user| {
    // fd:N. A shell opens it, because nothing above 2 comes through the kit.
    let scratch = Scratch::new(user);
    let there = scratch.join("there.json");
    let script =
        format!("exec 7>{}; exec {} run --report fd:7 -- /bin/echo hello", there.display(), tipstaff().display());
    let ran = tipstaff_testkit::plain(["/bin/sh", "-c", &script]).as_user(user).go();
    ran.expect_exit(0).expect_stdout("hello\n");
    let report: Value = serde_json::from_slice(&fs::read(&there).expect("written")).expect("JSON");
    assert_eq!(report["verdict"], "ok");
    // "-": on stdout, after the guest's output.
    let ran = run(["/bin/echo", "hello"]).without_report().option("--report", "-").as_user(user).go();
    ran.expect_exit(0);
    let out = ran.out();
    let report = out.strip_prefix("hello\n").unwrap_or_else(|| panic!("the guest's output comes first\n{ran}"));
    assert_eq!(serde_json::from_str::<Value>(report).expect("JSON")["verdict"], "ok");
});

both!(the_report_descriptor_is_not_the_guests, |user| {
    let script =
        format!("exec 7>/dev/null; exec {} run --report fd:7 -- /bin/sh -c 'echo forged >&7'", tipstaff().display());
    let ran = tipstaff_testkit::plain(["/bin/sh", "-c", &script]).as_user(user).go();
    // "Bad file descriptor" ends dash with 2 and bash with 1; nothing of ours does.
    ran.check([1, 2].contains(&ran.code()), "descriptor 7 is closed in the box");
});

both!(quiet_and_summary, |user| {
    let ran = run(["spin"]).cpu("100ms").as_user(user).go();
    ran.check(!ran.stderr.is_empty(), "a summary for people on stderr");
    ran.check(!ran.stderr.contains(&0x1b), "no colour when stderr is no terminal");
    let ran = run(["spin"]).cpu("100ms").flag("--quiet").as_user(user).go();
    ran.check(ran.stderr.is_empty(), "--quiet says nothing");
});

both!(every_limit_stands_in_enforcement, |user| {
    let ran =
        run(["exit", "0"]).profile("judge").cpu("1s").memory("64MiB").processes(4).output("1KiB").as_user(user).go();
    ran.expect_ok();
    let rules = ran.report["enforcement"].as_array().expect("a list");
    ran.check(!rules.is_empty(), "enforcement names the rules");
    for rule in rules {
        ran.check(rule["level"] == "full" || rule["why"].is_string(), format_args!("no reason for {rule}"));
        ran.check(rule["level"] == "full", format_args!("weakened without --best-effort: {rule}"));
    }
    let text = ran.report["enforcement"].to_string();
    for word in ["cpu", "memory", "processes", "output"] {
        ran.check(text.contains(word), format_args!("{word} does not stand in enforcement"));
    }
});

both!(bytes_that_are_no_text_are_base64, |user| {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"/no/such/\xff\xfe");
    let ran = run([name]).as_user(user).go();
    ran.expect_exit(127);
    let message = &ran.report["error"]["message"];
    ran.check(message.is_string() || message["base64"].is_string(), "text, or base64");
});
