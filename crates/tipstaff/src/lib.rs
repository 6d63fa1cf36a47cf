//! Take programs into custody: run them confined, limited and judged.
//!
//! The interface is that of [`std::process::Command`], with a [`Profile`] that says what is allowed and a [`Report`]
//! that says what happened and why.
//!
//! ```no_run
//! use tipstaff::{Command, Profile};
//!
//! # fn main() -> Result<(), tipstaff::Error> {
//! let profile = Profile::preset("judge")?.cpu_ms(1000).memory(64 << 20);
//! let mut child = Command::new("python3").arg("solution.py").profile(profile).spawn()?;
//! let report = child.wait()?;
//! println!("{} after {} ns of CPU", report.verdict, report.cpu_ns.total);
//! # Ok(())
//! # }
//! ```
//!
//! A box is one process tree. It is supervised by whoever waits for it ([`Child::wait`]), and until then by one thread of this process, which serves
//! all boxes; an event loop of the host's can do it as well ([`Command::spawn_unwatched`]). A [`Killer`] ends it from any
//! thread. Dropping a child ends its box; the end of this process, also by SIGKILL, ends every box.
//!
//! Spawning is safe from any thread of a threaded host: nothing is forked, no signal handler is installed, no SIGCHLD is
//! caused, and the only process that is this one's child is the box's keeper, which a host's `waitpid(-1)` does not see
//! unless it says `__WALL`.
//!
//! A command that is spawned again and again has its next box prepared ahead, by one more thread: [`Command::ahead`].
//!
//! [Handlers](handler) are asked before system calls are made, and can refuse, answer, delay and change them. Their box is traced by a thread of
//! this process (ptrace(2)), for which the paragraph above does not hold: see [`Command::handler`].
#![forbid(unsafe_code)]

mod ahead;
mod child;
mod command;
mod desk;
mod early;
mod error;
mod hall;
mod hidden;
mod machine;
mod names;
mod profile;
mod stdio;
mod wires;

pub use child::{Child, Killer, Output};
pub use command::Command;
pub use error::Error;
pub use machine::Machine;
pub use profile::Profile;
pub use stdio::Stdio;

pub use tipstaff_abi::{Arch, SyscallSet, Sysno};
pub use tipstaff_control as control;
pub use tipstaff_launch::Armed;
pub use tipstaff_policy as policy;
pub use tipstaff_policy::lower::Plan;
pub use tipstaff_report as report;
pub use tipstaff_report::{Report, Verdict};
pub use tipstaff_supervise::handler;
pub use tipstaff_supervise::{Action, Handler, Look, LookProcess, Rewriter};
pub use tipstaff_supervise::{AuditTrail, Category, Decision, Dropped, Event, Interest, PolicyFn, Restrict, Subject};
