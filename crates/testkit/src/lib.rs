//! The kit that the tests stand on: guests, users, poorer machines, and what is left behind.
//!
//! A test is a sentence:
//!
//! ```no_run
//! use tipstaff_testkit::{User, Without, run};
//!
//! let ran = run(["spin"]).profile("judge").cpu("300ms").as_user(User::Ordinary).without(Without::Cgroup).go();
//! ran.expect_verdict("time_limit").expect_exit(124);
//! ```
//!
//! The words: a **guest** is a small C program of `guests/`, compiled once and kept in a place that every user
//! may read; a **run** is one execution of the `tipstaff` command as a black box; **ran** is what came of it, with
//! the report; a **poorer machine** is this one with a feature really taken away from outside, so that what is
//! tested is what a user of such a machine gets.
//!
//! One file per word. Nothing here knows how Tipstaff works inside, and nothing here is `unsafe`: what needs raw
//! system calls is a C tool beside the guests (`without`, `inject`, `onpty`).
#![forbid(unsafe_code)]

mod binary;
mod container;
mod elsewhere;
mod gate;
mod guest;
mod machine;
mod place;
mod pty;
mod ran;
mod run;
mod skip;
mod survivors;
mod traces;
mod user;

pub use binary::tipstaff;
pub use container::{Bundle, Podman, Runtime, Said, busybox_root, find};
pub use elsewhere::{also_elsewhere, is_on, this_program};
pub use gate::Gate;
pub use guest::{GUESTS, guest, guest_32, guest_dynamic};
pub use machine::{Machine, Under, Without};
pub use place::{Scratch, target_dir};
pub use pty::Pty;
pub use ran::{Ran, Right};
pub use run::{Run, Started, plain, run, tipstaff_command};
pub use rustix::process::Signal;
pub use skip::{last_skip, note_skip};
pub use survivors::{GONE, Process, await_no_survivor, descendants, marker, survivors};
pub use traces::Traces;
pub use user::User;

/// Is the full size of a drill asked for (`TIPSTAFF_DRILL=full`)? CI runs the smallest.
#[must_use]
pub fn full_drill() -> bool {
    std::env::var_os("TIPSTAFF_DRILL").is_some_and(|size| size == "full")
}
