//! Handlers and the engine that asks them, in real boxes.
#![forbid(unsafe_code)]

mod basics;
mod deferral;
mod ending;
mod example;
mod exec;
mod guests;
mod outranked;
mod paths;
mod signals;
