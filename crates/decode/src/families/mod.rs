//! What the calls are given and what they return, a file for each family of man pages.

mod common;
mod dir;
mod fcntl;
mod files;
mod futex;
mod ids;
mod io;
mod ioctl;
mod memory;
mod plain;
mod poll;
mod process;
mod sched;
pub mod signal;
mod stat;
mod time;
mod wait;

use crate::kind::Spec;

/// Every call that is described.
pub(crate) static ALL: &[&[Spec]] = &[
    dir::CALLS,
    fcntl::CALLS,
    files::CALLS,
    futex::CALLS,
    ids::CALLS,
    io::CALLS,
    ioctl::CALLS,
    memory::CALLS,
    plain::CALLS,
    poll::CALLS,
    process::CALLS,
    sched::CALLS,
    signal::CALLS,
    stat::CALLS,
    time::CALLS,
    wait::CALLS,
];
