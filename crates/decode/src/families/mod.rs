//! What the calls are given and what they return, a file for each family of man pages.

mod common;
mod dir;
mod fcntl;
mod files;
mod futex;
mod ids;
mod io;
mod ioctl;
mod ipc;
mod kernel;
mod keys;
#[cfg(test)]
mod layout;
mod memory;
mod mount;
mod net;
mod perf;
mod plain;
mod poll;
mod prctl;
mod process;
mod ptrace;
mod sched;
mod security;
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
    ipc::CALLS,
    kernel::CALLS,
    keys::CALLS,
    memory::CALLS,
    mount::CALLS,
    net::CALLS,
    perf::CALLS,
    plain::CALLS,
    poll::CALLS,
    prctl::CALLS,
    process::CALLS,
    ptrace::CALLS,
    sched::CALLS,
    security::CALLS,
    signal::CALLS,
    stat::CALLS,
    time::CALLS,
    wait::CALLS,
];
