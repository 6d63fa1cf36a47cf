//! What the record crate promises to those who call it.

mod anything;
mod check;
mod learn;
mod library;
