//! What the writers promise, one module each.

mod filter;
mod html;
mod json;
mod perfetto;
mod samples;
mod summary;
mod text;
mod why;
