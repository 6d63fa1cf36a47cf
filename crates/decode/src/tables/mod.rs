//! Names of numbers.

pub(crate) mod files;
pub(crate) mod futex;
#[cfg(test)]
mod generate;
pub(crate) mod ioctl;
pub(crate) mod ipc;
pub(crate) mod kernel;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod net;
pub(crate) mod process;
pub(crate) mod security;
pub(crate) mod signal;
pub(crate) mod time;
