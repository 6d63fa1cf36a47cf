//! What the record crate promises to those who call it.

mod learn;
mod library;
