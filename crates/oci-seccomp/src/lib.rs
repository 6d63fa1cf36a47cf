//! OCI seccomp JSON, strict and with the container engines' extensions.
//!
//! - [`Document`] is the JSON as it is written: the runtime specification's `linux.seccomp`, and what Docker (moby) and
//!   containers-common (Podman, Buildah, CRI-O) add. It goes both ways.
//! - [`import`] evaluates a document for one machine ([`Env`]) as those engines and runc do, and answers a
//!   [`Filter`](tipstaff_seccomp::Filter).
//!
//! # How rules are read
//! - Entries for one call are or-bound, in order. The arguments of one entry are and-bound, except that an
//!   entry which names the same argument twice is or-bound: runc makes a rule of each condition then.
//! - An entry without arguments beats every entry with arguments for the same call, wherever it stands: that is how
//!   libseccomp builds its tree. Among entries without arguments the first counts.
//! - Everything compares 64 bits, as libseccomp does. Whoever writes profiles for `int` arguments masks them.
//! - An entry with the default action is left out, as runc does it, so it hides nothing.
//! - Names that the architecture does not have are skipped and listed ([`Imported::ignored`]).
//!
//! # Where we are stricter
//! - An unknown key, action, operator, architecture, errno or flag is an error that names its place.
//! - A number that no table knows is ENOSYS, whatever the default action is (runc does so for numbers newer than the
//!   profile). A call of an architecture that the document does not list kills the process.
//! - 32-bit x86 reaches sockets through `socketcall`, too, whose arguments are behind a pointer. libseccomp adds rules there;
//!   we do not: a document that limits `socket` by argument should not allow `socketcall`.
#![forbid(unsafe_code)]

pub mod compare;
mod convert;
pub mod danger;
mod document;
mod env;
mod error;
pub mod explain;
pub mod extend;
pub mod floor;
mod form;
mod import;
pub mod learn;
pub mod libseccomp;
pub mod lint;
pub mod meaning;
pub mod merge;
mod of_filter;
pub mod region;
mod resolve;
pub mod runtimes;
pub mod systemd;
mod words;
mod write;

pub use document::{ArchMap, Arg, Condition, Document, Syscall};
pub use env::Env;
pub use error::Error;
pub use form::Form;
pub use import::{Imported, evaluate, import, parse};
pub use of_filter::OfFilter;
