//! A guest that asks, and what comes of each answer.
#![forbid(unsafe_code)]

mod answers;
mod asker;
mod signals;
