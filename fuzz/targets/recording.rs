//! Recordings: read, merged, made profiles of.
#![no_main]

#[path = "../../crates/record/tests/suite/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|text: &str| check::recording(text));
