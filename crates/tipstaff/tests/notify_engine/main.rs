//! The notify engine under attack: races, storms, signals, kills, and tools that trace inside of a box.
#![forbid(unsafe_code)]

mod crowd;
#[allow(dead_code, reason = "shared with the tests of handlers")]
#[path = "../handlers/guests.rs"]
mod guests;
mod hot;
mod inside;
mod killed;
mod race;
mod waits;
