//! Seccomp user notifications as values that are answered exactly once: seccomp_unotify(2).
//!
//! A [`Listener`] yields [`Notification`]s. Each is consumed by its answer; one that is dropped unanswered answers
//! itself with an errno, so that a guest is never left waiting, and never let through by accident.
//!
//! What is read from the caller's memory ([`Notification::read`]) is believed only if the call still waits afterwards (SECCOMP_IOCTL_NOTIF_ID_VALID):
//! else the thread may have died meanwhile, and its number may be another's. And it is an allegation: the guest's other threads can change
//! it before the kernel reads it again. So [`Notification::proceed`] lets a call through only when nothing was read. Whoever has read
//! acts on the guest's behalf and gives the result, or refuses.
//!
//! ```no_run
//! use tipstaff_abi::Arch;
//! use tipstaff_notify::{Filter, Next, Program};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let filter = Filter::notifying(Arch::native().ok_or("unknown machine")?, ["mkdir", "mkdirat"]);
//! let (running, listener) = Program::new("/bin/mkdir").args(["/tmp/x"]).start(&filter)?;
//! // Ends when the last task under the filter has.
//! while let Next::Call(call) = listener.wait()? {
//!     println!("{:?} wants a directory", call.pid());
//!     call.refuse(13)?;
//! }
//! println!("{:?}", running.wait()?);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod filter;
mod launch;
mod listener;
mod notification;

pub use filter::Filter;
pub use launch::{Program, Running};
pub use listener::{Listener, Next, receive, receive_fd};
pub use notification::{Gone, NotRegisters, Notification};
