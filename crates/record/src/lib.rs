//! Records what programs do: which system calls, with which arguments, which files and addresses.
//!
//! Three backends give the same [`Run`], tagged with their name. They are tried in this order, and whoever is passed over says why:
//!
//! 1. **eBPF** (`tipstaff-observe`): the target never waits. Needs CAP_BPF and CAP_PERFMON.
//! 2. **ptrace** ([`tipstaff_trace`]): one stop per call of a program that we start, two of one that runs already. Needs no privilege for one's own programs.
//! 3. **notify** ([`tipstaff_notify`]): every call asks and is let go on. For programs that we start; debuggers still work inside.
#![forbid(unsafe_code)]

mod book;
mod container;
mod ebpf;
mod enforce;
mod error;
mod judge;
mod learned;
mod limits;
mod look;
mod notify;
mod options;
mod process;
mod profile;
mod ptrace;
mod recorder;
mod session;
pub mod words;

pub use container::container;
pub use enforce::{Enforced, Refusal, enforce};
pub use error::{Error, PassedOver};
pub use judge::{Judgement, WouldDeny, judge, looked_at};
pub use learned::{LearnOptions, Limits, learn};
pub use options::{Command, ContainerTarget, Options, Target};
pub use profile::{Generalised, heading, meet_floor, profile};
pub use recorder::Recorder;
pub use session::Event;
pub use tipstaff_recording::{Backend, Recording, Run};
