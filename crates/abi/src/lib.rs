//! Syscall tables, architectures, errnos, BPF instructions and kernel capabilities as plain data.
//!
//! Nothing here makes a system call or depends on another crate, so every other room can use it, and its tests
//! run anywhere. Every architecture is a value ([`Arch`]), never a `cfg`: a filter for aarch64 can be built and
//! proven on x86_64.
#![forbid(unsafe_code)]

mod arch;
pub mod bpf;
pub mod capability;
pub mod caps;
pub mod ebpf;
pub mod enumerable;
pub mod errno;
pub mod family;
mod nearest;
mod one_line;
mod set;
pub mod signal;
mod sysno;

pub use arch::{Arch, NO_CALL, X32_BIT};
pub use nearest::nearest;
pub use one_line::one_line;
pub use set::SyscallSet;
pub use sysno::Sysno;
