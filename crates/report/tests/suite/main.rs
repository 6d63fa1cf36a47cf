//! One test binary: a sentence of the contract is a test.

mod samples;

mod judge;
mod schema;
mod status;
mod summary;
