//! Engines: who asks the handlers.
//!
//! Under the native engine nobody does: the kernel decides alone. [`Ptrace`] traces every task of the box from before its first instruction.

mod exec;
mod guide;
mod pool;
mod ptrace;
mod voice;

pub use ptrace::Ptrace;
pub(crate) use voice::Said;
