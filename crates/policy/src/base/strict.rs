//! The strict base: an allow list for programs that compute.
//!
//! One process with threads: it starts, reads and writes files, prints, and ends. C, C++, Rust, Python, and simple programs
//! for the JVM, Go and Node run in it. No sockets that could reach anybody else, no second process, no ptrace.
//! What a path may be is Landlock's and the mount tree's matter.

use tipstaff_abi::{
    Arch, Sysno,
    errno::{ENOSYS, EPERM},
};
use tipstaff_seccomp::{Action, Condition, Op};

use super::{ALLOW, BaseRule, Rules, default_rules};

/// Threads are `clone` with this bit, processes without.
const CLONE_THREAD: u32 = 0x0001_0000;

/// Runtimes wake their own event loops by a pair of these. A pair of *datagram* sockets could send to any socket whose
/// address it can name; a connected stream cannot.
const SOCK_STREAM: u32 = 1;
const SOCK_TYPE_MASK: u64 = 0xf;

#[rustfmt::skip]
pub(super) const CALLS: &[&[&str]] = &[
    // Starting and ending. The launcher itself executes the program under this filter.
    &["execve", "execveat", "exit", "exit_group", "restart_syscall"],
    // Memory.
    &["brk", "mmap", "mmap2", "munmap", "mremap", "mprotect", "madvise", "msync", "mincore", "mlock", "mlock2", "munlock", "mlockall",
        "munlockall", "membarrier", "pkey_alloc", "pkey_free", "pkey_mprotect", "map_shadow_stack", "mseal", "memfd_create",
        "get_mempolicy"],
    // Threads.
    &["clone", "futex", "futex_time64", "futex_waitv", "futex_wait", "futex_wake", "futex_requeue", "set_robust_list",
        "get_robust_list", "set_tid_address", "gettid", "rseq", "getcpu", "set_thread_area", "get_thread_area", "arch_prctl", "prctl",
        "set_tls", "get_tls", "cacheflush", "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam",
        "sched_getscheduler", "sched_setscheduler", "sched_getattr", "sched_get_priority_min", "sched_get_priority_max",
        "sched_rr_get_interval", "getpriority", "setpriority"],
    // Open files.
    &["read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "lseek", "_llseek",
        "close", "close_range", "dup", "dup2", "dup3", "pipe", "pipe2", "fcntl", "fcntl64", "ioctl", "flock", "fstat", "fstat64",
        "fsync", "fdatasync", "sync_file_range", "sync_file_range2", "ftruncate", "ftruncate64", "fallocate", "fadvise64",
        "fadvise64_64", "arm_fadvise64_64", "readahead", "sendfile", "sendfile64", "copy_file_range", "splice", "tee", "vmsplice",
        "getdents", "getdents64", "fstatfs", "fstatfs64", "fchdir", "fchmod", "cachestat"],
    // Paths.
    &["open", "openat", "creat", "stat", "lstat", "stat64", "lstat64", "newfstatat", "fstatat64", "statx", "statfs", "statfs64",
        "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getcwd", "chdir", "mkdir", "mkdirat", "rmdir", "unlink",
        "unlinkat", "rename", "renameat", "renameat2", "truncate", "truncate64", "chmod", "fchmodat", "fchmodat2", "utimensat",
        "utimensat_time64", "umask", "getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr"],
    // Waiting.
    &["poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64", "epoll_create", "epoll_create1",
        "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "signalfd", "signalfd4", "timerfd_create",
        "timerfd_settime", "timerfd_settime64", "timerfd_gettime", "timerfd_gettime64", "wait4", "waitid", "waitpid"],
    // A pair of streams to oneself.
    &["socketpair", "getsockname", "getsockopt", "sendto", "recvfrom", "shutdown"],
    // Time.
    &["time", "times", "gettimeofday", "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "clock_nanosleep",
        "clock_nanosleep_time64", "nanosleep", "alarm", "getitimer", "setitimer", "timer_create", "timer_settime", "timer_settime64",
        "timer_gettime", "timer_gettime64", "timer_getoverrun", "timer_delete"],
    // Signals.
    &["rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64",
        "rt_sigqueueinfo", "rt_tgsigqueueinfo", "sigaltstack", "sigaction", "sigprocmask", "sigreturn", "signal", "pause", "kill",
        "tkill", "tgkill"],
    // Who and where am I.
    &["getpid", "getppid", "getpgrp", "getpgid", "getsid", "getuid", "geteuid", "getgid", "getegid", "getuid32", "geteuid32",
        "getgid32", "getegid32", "getresuid", "getresgid", "getresuid32", "getresgid32", "getgroups", "getgroups32", "capget",
        "getrlimit", "ugetrlimit", "setrlimit", "prlimit64", "getrusage", "sysinfo", "uname", "getrandom", "personality"],
];

/// What strict allows, and what it answers otherwise than by EPERM. The rules of a call stand in their order: argument
/// rules of the default first, then the call itself.
#[must_use]
pub fn strict_rules(arch: Arch) -> Vec<BaseRule> {
    let denied = default_rules(arch, false);
    let mut rules = Rules::new(arch);
    for &call in CALLS.iter().copied().flatten() {
        let Some(syscall) = Sysno::by_name(arch, call) else { continue };
        rules.list.extend(denied.iter().filter(|rule| rule.syscall == syscall).cloned());
        if call == "clone" {
            let no_thread = Condition::w32(0, Op::MaskedEq(u64::from(CLONE_THREAD)), 0);
            rules.deny("fork", "clone", &[no_thread], EPERM);
        }
        if call == "socketpair" {
            let stream = Condition::w32(1, Op::MaskedEq(SOCK_TYPE_MASK), SOCK_STREAM);
            rules.add(ALLOW, call, &[stream], Action::Allow);
            continue;
        }
        rules.add(ALLOW, call, &[], Action::Allow);
    }
    // Whatever programs expect to be absent on some kernels must look absent, or they do not fall back.
    let absent = Action::Errno(ENOSYS);
    rules.list.extend(denied.into_iter().filter(|rule| rule.action == absent && rule.conditions.is_empty()));
    rules.deny("open", "openat2", &[], ENOSYS);
    rules.list
}
