//! What a tracer sees, against what the program itself says. Each test is a process of its own: cargo nextest.
#![forbid(unsafe_code)]

mod attach;
mod drills;
mod escapes;
mod exec;
mod filter;
mod hold;
mod kills;
mod kit;
mod launch;
mod memory;
mod place;
mod stopper;
mod stops;
mod thirty_two;
