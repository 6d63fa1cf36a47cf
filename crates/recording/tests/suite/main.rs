//! What the recording crate promises.

mod any;
mod coverage;
mod laws;
mod schema;
