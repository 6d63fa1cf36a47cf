//! Engines: who asks the handlers.
//!
//! Under the native engine nobody does: the kernel decides alone. [`ptrace`] traces every task of the box from before its first instruction.

mod exec;
mod pool;
mod ptrace;

pub use ptrace::Ptrace;
pub(crate) use ptrace::Said;
