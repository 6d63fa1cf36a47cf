//! The tests of `policy` under the ptrace engine: the same programs, the same functions, the same decisions.
#![forbid(unsafe_code)]

#[path = "../policy/births.rs"]
mod births;
#[path = "../policy/functions.rs"]
mod functions;
#[path = "../policy/guests.rs"]
mod guests;
#[path = "../policy/late.rs"]
mod late;
#[path = "../policy/network.rs"]
mod network;
#[path = "../policy/restrict.rs"]
mod restrict;
