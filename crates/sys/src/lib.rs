//! One safe function per system call that rustix lacks, and the code that runs in the child.
//!
//! This is the only crate with `unsafe`. Each file is one man page or one state of the child:
//!
//! * [`raw`]: the system call instruction, without libc's `errno`;
//! * [`shared`]: a process that shares our memory (`clone(CLONE_VM)`), the way every box starts;
//! * [`child`]: the operations that run between clone and exec, as data, and their one executor;
//! * [`keeper`]: the box's keeper, PID 1 of its namespace or a child subreaper;
//! * [`stand_in`]: calls that wait in a listener for those of others;
//! * [`traced`]: a program that its own tracer starts; [`waker`]: what ends its wait;
//! * the rest: one man page each.

pub mod affinity;
pub mod apart;
pub mod arch;
pub mod bpf;
pub mod btf;
pub mod capability;
pub mod child;
pub mod clock;
pub mod close_range;
pub mod ids;
pub mod inherited;
pub mod kcmp;
pub mod keeper;
pub mod landlock;
pub mod madvise;
pub mod mask;
pub mod peek;
pub mod pidfd;
pub mod probe;
pub mod process_vm;
pub mod ptrace;
pub mod ptrace_copy;
pub mod pty;
pub mod raw;
pub mod rlimit;
pub mod seccomp;
pub mod shared;
pub mod signal;
pub mod socket;
pub mod stand_in;
pub mod start;
pub mod traced;
pub mod unshare;
pub mod wait;
pub mod waker;

pub use raw::Errno;
