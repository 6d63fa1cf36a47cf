//! The instructions that differ between architectures. Each file defines the same names:
//! `syscall6` and `clone_call`.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::{clone_call, syscall6};

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{clone_call, syscall6};
