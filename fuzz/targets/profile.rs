//! Profiles (TOML): read, written, merged, lowered.
#![no_main]

#[path = "../../crates/policy/tests/profile/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|text: &str| check::profile(text));
