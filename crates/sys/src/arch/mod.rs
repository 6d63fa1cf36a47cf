//! The instructions and registers that differ between architectures. Each pair of files defines the same names:
//! `syscall6` and `clone_call`, and `Registers`.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::{clone_call, syscall6};
#[cfg(target_arch = "aarch64")]
#[path = "registers_aarch64.rs"]
pub mod registers;

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{clone_call, syscall6};
#[cfg(target_arch = "x86_64")]
#[path = "registers_x86_64.rs"]
pub mod registers;
