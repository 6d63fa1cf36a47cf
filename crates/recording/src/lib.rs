//! What programs were seen to do.
//!
//! - A [`Run`] is one program watched once: where and by what ([`Run::backend`]), how far it can be trusted ([`Completeness`]), the calls it made,
//!   and, where asked for, files, sockets and capabilities.
//! - A [`Recording`] is a set of runs, and the file. Merging is the union of sets, so it does not matter in which order, or how often, recordings are
//!   merged.
//! - [`Coverage`] looks at all runs of a recording together: which call was seen in how many of them, when first, and how many are likely to be still
//!   unseen.
//! - [`selected`] says which argument words are recorded, for every backend alike.
//!
//! A call is known by architecture and number. A number without a name is kept, and written `#451`.
//!
//! Nothing here makes a system call.
#![forbid(unsafe_code)]

mod arguments;
mod call;
mod completeness;
mod coverage;
mod recording;
mod resource;
mod run;
mod table;
mod words;

pub use arguments::{MOST_TUPLES, Select, selected};
pub use call::{Arguments, Call, ErrnoCount, Results, Seen, call_name};
pub use completeness::{Completeness, Reason, Shortfall};
pub use coverage::{Coverage, Covered, Estimate};
pub use recording::{Error, JSON_SCHEMA, Recording, SCHEMA};
pub use resource::{Access, Capability, Executable, FileUse, Socket, SocketUse};
pub use run::{Backend, Container, Exit, Machine, Phase, Run, Target};
pub use table::{Row, Table};
