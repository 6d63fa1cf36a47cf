//! What the writers promise, one module each.

mod samples;
mod text;
