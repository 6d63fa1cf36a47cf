//! The tests of `handlers` under the ptrace engine: the same programs, the same handlers, the same decisions.
#![forbid(unsafe_code)]

#[path = "../handlers/basics.rs"]
mod basics;
#[path = "../handlers/deferral.rs"]
mod deferral;
#[path = "../handlers/ending.rs"]
mod ending;
#[path = "../handlers/example.rs"]
mod example;
#[path = "../handlers/exec.rs"]
mod exec;
#[path = "../handlers/guests.rs"]
mod guests;
#[path = "../handlers/outranked.rs"]
mod outranked;
#[path = "../handlers/paths.rs"]
mod paths;
#[path = "../handlers/signals.rs"]
mod signals;
