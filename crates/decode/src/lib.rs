//! System calls in words.
//!
//! A system call is a number and six words. What they mean depends on the architecture, on the other words, and on memory that only the
//! traced process has. This crate knows the tables; the memory and the descriptors are asked through two small traits, so it makes
//! no system call itself and its tests run anywhere.
#![forbid(unsafe_code)]

mod value;
mod world;

pub use value::{Arg, Call, Returned, Value};
pub use world::{Files, Memory, World};
