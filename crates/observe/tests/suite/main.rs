//! What a recording sees, against what the program itself says. Each test is a process of its own: cargo nextest.
#![forbid(unsafe_code)]

mod arguments;
mod counts;
mod details;
mod join;
mod kit;
mod limits;
mod many;
mod phases;
mod refused;
mod strace;
mod unavailable;
