//! Handlers that are there already.
//!
//! | handler | what it does |
//! |---|---|
//! | [`Count`] | counts calls by name |
//! | [`Inject`] | lets calls fail, return something else, wait, or be followed by a signal |
//! | [`PathPolicy`] | says which paths may be read, written, looked at and executed, refuses softly, and counts |

mod count;
mod inject;
mod path;

pub use count::{Count, Counts};
pub use inject::{Inject, When};
pub use path::{PathCounts, PathPolicy, PathTally};
