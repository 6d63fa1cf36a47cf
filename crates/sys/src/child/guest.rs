//! What the guest's first process does between its clone and its exec.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::ffi::CString;

use tipstaff_abi::bpf::Insn;

use super::{CStrings, ChildFd, Seen, quoted};
use crate::raw::{Errno, addr, addr_mut, call, call_retry, ptr, word};
use crate::rlimit::{self, Rlimit};
use crate::{capability, clock, close_range, landlock, pty, seccomp, signal};

/// One step of the guest's first process.
#[derive(Debug)]
pub enum GuestOp {
    /// setsid(2): no controlling terminal, no process group of the host's.
    NewSession,
    /// Moves itself into a control group: directory, and the path of its `tasks` beneath it.
    ///
    /// Not `cgroup.procs`: that takes a lock against every fork and exit of the machine (cgroup_threadgroup_rwsem), which costs a
    /// grace period, measured 8 to 16 ms, each time the machine has moved nobody for a while. A process of one thread needs no more.
    JoinCgroup(ChildFd, CString),
    /// dup3(2) from a descriptor above every target.
    DupTo(ChildFd, i32),
    /// The box's own /dev/null in place of a descriptor.
    Null(i32),
    /// Closes a range of descriptors that no mapping asked for.
    CloseRange(u32, u32),
    /// Marks everything from here up close-on-exec (CLOSE_RANGE_CLOEXEC, Linux 5.11), or closes it one by one.
    CloexecFrom(u32),
    /// A terminal of the box's own: opens `ptmx`, makes its other side the controlling terminal and descriptors 0, 1
    /// and 2, and sends the master away.
    Terminal {
        /// The multiplexer in the box's view.
        ptmx: CString,
        /// Unix socket that takes the master.
        channel: ChildFd,
        /// Rows and columns.
        size: (u16, u16),
    },
    /// Clears supplementary groups.
    ClearGroups,
    /// setresgid(2).
    Gid(u32),
    /// setresuid(2).
    Uid(u32),
    /// Empties ambient, bounding, effective, permitted and inheritable capabilities.
    DropCapabilities {
        /// The bounding set too: the keeper has not done so.
        bounding: bool,
    },
    /// PR_SET_NO_NEW_PRIVS.
    NoNewPrivs,
    /// PR_SET_PDEATHSIG to SIGKILL: a second line where the keeper is no PID 1.
    DieWithKeeper,
    /// umask(2).
    Umask(u32),
    /// sched_setscheduler(2) to SCHED_OTHER and setpriority(2) to 0 where that is allowed.
    NiceZero,
    /// oom_score_adj back to 0 where that is allowed: no guest is safer from the OOM killer than its host.
    OomScoreZero,
    /// chdir(2), and what directory that was.
    Chdir(CString, Seen),
    /// Opens the program and compares it with what was pinned: path, device, inode.
    OpenProgram {
        /// Path in the box's view.
        path: CString,
        /// st_dev of the pinned file.
        dev: u64,
        /// st_ino of the pinned file.
        ino: u64,
    },
    /// All dispositions default, nothing blocked.
    ResetSignals,
    /// Nothing blocked: the keeper has set all dispositions back.
    UnblockSignals,
    /// landlock_restrict_self(2).
    Landlock(ChildFd),
    /// prlimit(2) on itself.
    Limit(Rlimit),
    /// Waits for a tracer, or for whoever the box was prepared for: says that it is here (an eventfd), and goes on when the other eventfd says
    /// 1. The end of the supervisor, a pidfd, ends the wait.
    Gate {
        /// Written when this point is reached.
        arrived: ChildFd,
        /// 1: go on. Anything else: the tracer could not take us, or nobody wants the box.
        open: ChildFd,
        /// pidfd of the supervisor.
        supervisor: ChildFd,
        /// So many seconds it waits at most.
        patience: Option<u32>,
    },
    /// Installs the filter; with a channel, a listener is made and sent there.
    Seccomp {
        /// The filter.
        program: Vec<Insn>,
        /// Unix socket that takes the listener, and what ends the wait of a call that it has received.
        channel: Option<(ChildFd, seccomp::Wait)>,
        /// Three words that the filter's own exemption for that one sendmsg(2) compares.
        secret: [u64; 3],
    },
    /// execveat(2) of the program with AT_EMPTY_PATH.
    Exec {
        /// For the error message.
        name: CString,
        /// argv.
        argv: CStrings,
        /// envp.
        envp: CStrings,
        /// The word that the filter's own exemption for this one execveat(2) compares.
        secret: u64,
    },
}

impl GuestOp {
    /// The step in words, for an error message.
    pub fn words(&self) -> String {
        match self {
            Self::NewSession => "setsid".into(),
            Self::JoinCgroup(..) => "join the control group".into(),
            Self::DupTo(_, to) => format!("dup onto descriptor {to}"),
            Self::Null(to) => format!("open /dev/null as descriptor {to}"),
            Self::CloseRange(..) | Self::CloexecFrom(_) => "close_range".into(),
            Self::Terminal { ptmx, .. } => format!("open a terminal by {}", quoted(ptmx)),
            Self::ClearGroups => "setgroups".into(),
            Self::Gid(gid) => format!("setgid {gid}"),
            Self::Uid(uid) => format!("setuid {uid}"),
            Self::DropCapabilities { .. } => "drop capabilities".into(),
            Self::NoNewPrivs => "no_new_privs".into(),
            Self::DieWithKeeper => "set the parent death signal".into(),
            Self::Umask(_) => "umask".into(),
            Self::NiceZero => "setpriority".into(),
            Self::OomScoreZero => "oom_score_adj".into(),
            Self::Chdir(path, _) => format!("chdir {}", quoted(path)),
            Self::OpenProgram { path, .. } => format!("open {}", quoted(path)),
            Self::ResetSignals | Self::UnblockSignals => "reset signals".into(),
            Self::Landlock(_) => "landlock_restrict_self".into(),
            Self::Limit(limit) => format!("set resource limit {}", limit.resource),
            Self::Gate { .. } => "wait at the gate".into(),
            Self::Seccomp { .. } => "install the seccomp filter".into(),
            Self::Exec { name, .. } => format!("exec {}", quoted(name)),
        }
    }

    /// The name of the step in a report: `exec` is what the exit status depends on.
    pub fn step(&self) -> &'static str {
        match self {
            Self::Exec { .. } | Self::OpenProgram { .. } => "exec",
            Self::Chdir(..) => "chdir",
            Self::Seccomp { .. } => "seccomp",
            Self::Landlock(_) => "landlock",
            Self::Limit(_) => "rlimit",
            Self::JoinCgroup(..) => "cgroup",
            Self::Uid(_) | Self::Gid(_) | Self::ClearGroups => "ids",
            Self::Terminal { .. } => "tty",
            Self::Gate { .. } => "ptrace",
            _ => "launch",
        }
    }
}

/// What one step leaves for the next.
struct State {
    program: i32,
}

fn open_program(path: &CString, dev: u64, ino: u64) -> Result<i32, Errno> {
    let flags = (libc::O_PATH | libc::O_CLOEXEC) as usize;
    // SAFETY: open and fstat with values that live across the calls.
    unsafe {
        let fd = call_retry(libc::SYS_openat, [word(libc::AT_FDCWD), ptr(path), flags, 0, 0, 0])?;
        let mut st: libc::stat = core::mem::zeroed();
        call(libc::SYS_fstat, [fd, addr_mut(&mut st), 0, 0, 0, 0])?;
        if st.st_dev != dev || st.st_ino != ino {
            return Err(Errno::STALE);
        }
        Ok(fd as i32)
    }
}

/// `to` is open, so that another number comes out of the opening.
fn null(to: i32) -> Result<(), Errno> {
    let flags = (libc::O_RDWR | libc::O_CLOEXEC) as usize;
    // SAFETY: a constant string, and descriptors of our own.
    unsafe {
        let fd = call_retry(libc::SYS_openat, [word(libc::AT_FDCWD), ptr(c"/dev/null"), flags, 0, 0, 0])?;
        call_retry(libc::SYS_dup3, [fd, word(to), 0, 0, 0, 0])?;
        call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]).map(drop)
    }
}

fn oom_score_zero() {
    let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    // SAFETY: constant strings. Raising the score is always allowed; lowering it needs CAP_SYS_RESOURCE, and a
    // host that raised it has it inherited: both failures are left as they are.
    unsafe {
        let path = ptr(c"/proc/self/oom_score_adj");
        if let Ok(fd) = call(libc::SYS_openat, [word(libc::AT_FDCWD), path, flags, 0, 0, 0]) {
            let _ = call(libc::SYS_write, [fd, ptr(c"0"), 1, 0, 0, 0]);
            let _ = call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
        }
    }
}

#[repr(C)]
struct ScmRights {
    len: usize,
    level: i32,
    kind: i32,
    fd: i32,
    pad: i32,
}

fn terminal(ptmx: &CString, channel: i32, size: (u16, u16)) -> Result<(), Errno> {
    let master = pty::open_master_raw(ptmx)?;
    pty::set_size_raw(master, size)?;
    let slave = pty::open_peer_raw(master)?;
    pty::set_controlling_raw(slave)?;
    for target in 0..3 {
        // SAFETY: duplicates onto the standard descriptors of this process alone.
        unsafe { call_retry(libc::SYS_dup3, [word(slave), target, 0, 0, 0, 0])? };
    }
    // Both numbers are above the targets, and go at exec.
    send_fd(channel, master, &[0; 3])
}

/// Sends a descriptor with SCM_RIGHTS. For the listener: the three words beyond sendmsg's own arguments are ignored by the kernel and
/// seen by the filter: where the profile denies sendmsg(2), they alone open it, and no guest knows them.
fn send_fd(channel: i32, fd: i32, secret: &[u64; 3]) -> Result<(), Errno> {
    let byte = [0u8; 1];
    let iov = libc::iovec { iov_base: byte.as_ptr() as *mut _, iov_len: 1 };
    let control = ScmRights { len: 16 + size_of::<i32>(), level: libc::SOL_SOCKET, kind: libc::SCM_RIGHTS, fd, pad: 0 };
    // SAFETY: msghdr is plain data; every pointer leads to a value of this frame.
    unsafe {
        let mut msg: libc::msghdr = core::mem::zeroed();
        msg.msg_iov = core::ptr::from_ref(&iov) as *mut _;
        msg.msg_iovlen = 1;
        msg.msg_control = core::ptr::from_ref(&control) as *mut _;
        msg.msg_controllen = size_of::<ScmRights>() as _;
        let [x, y, z] = *secret;
        call_retry(libc::SYS_sendmsg, [word(channel), addr(&msg), 0, x as usize, y as usize, z as usize])?;
    }
    Ok(())
}

/// A call whose arguments are integers, or addresses inside the operation, which outlives it.
fn plain(nr: libc::c_long, a: [usize; 6]) -> Result<(), Errno> {
    // SAFETY: `step` passes nothing else.
    unsafe { call_retry(nr, a).map(drop) }
}

fn step(op: &GuestOp, state: &mut State) -> Result<(), Errno> {
    match op {
        GuestOp::NewSession => plain(libc::SYS_setsid, [0; 6]),
        GuestOp::JoinCgroup(parent, tasks) => join(*parent, tasks),
        GuestOp::DupTo(from, to) => plain(libc::SYS_dup3, [word(*from), word(*to), 0, 0, 0, 0]),
        GuestOp::Null(to) => null(*to),
        GuestOp::CloseRange(first, last) => close_range::close(*first, *last),
        GuestOp::CloexecFrom(first) => close_range::cloexec_from(*first),
        GuestOp::Terminal { ptmx, channel, size } => terminal(ptmx, *channel, *size),
        GuestOp::ClearGroups => plain(libc::SYS_setgroups, [0; 6]),
        GuestOp::Gid(id) => plain(libc::SYS_setresgid, [*id as usize, *id as usize, *id as usize, 0, 0, 0]),
        GuestOp::Uid(id) => plain(libc::SYS_setresuid, [*id as usize, *id as usize, *id as usize, 0, 0, 0]),
        GuestOp::DropCapabilities { bounding } => capability::drop_all(*bounding),
        GuestOp::NoNewPrivs => plain(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0, 0]),
        GuestOp::DieWithKeeper => {
            plain(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize, 0, 0, 0, 0])
        }
        GuestOp::Umask(mask) => plain(libc::SYS_umask, [*mask as usize, 0, 0, 0, 0, 0]),
        GuestOp::NiceZero => {
            // SCHED_OTHER with its only priority: a host that runs in real time keeps that for itself.
            let _ = plain(libc::SYS_sched_setscheduler, [0, libc::SCHED_OTHER as usize, addr(&0i32), 0, 0, 0]);
            // Lowering the nice value may be refused; then the guest keeps the host's.
            let _ = plain(libc::SYS_setpriority, [libc::PRIO_PROCESS as usize, 0, 0, 0, 0, 0]);
            Ok(())
        }
        GuestOp::OomScoreZero => {
            oom_score_zero();
            Ok(())
        }
        GuestOp::Chdir(path, seen) => {
            plain(libc::SYS_chdir, [ptr(path), 0, 0, 0, 0, 0])?;
            seen.look(libc::AT_FDCWD);
            Ok(())
        }
        GuestOp::OpenProgram { path, dev, ino } => open_program(path, *dev, *ino).map(|fd| state.program = fd),
        GuestOp::ResetSignals => {
            signal::reset_dispositions();
            signal::set_mask(signal::SigSet::default());
            Ok(())
        }
        GuestOp::UnblockSignals => {
            signal::set_mask(signal::SigSet::default());
            Ok(())
        }
        GuestOp::Landlock(ruleset) => landlock::restrict_self_raw(*ruleset),
        GuestOp::Limit(limit) => rlimit::set(limit),
        GuestOp::Gate { arrived, open, supervisor, patience } => gate(*arrived, *open, *supervisor, *patience),
        GuestOp::Seccomp { program, channel, secret } => match channel {
            None => seccomp::install(program, None).map(drop),
            Some((channel, wait)) => {
                let listener = seccomp::install(program, Some(*wait))?.unwrap_or(-1);
                send_fd(*channel, listener, secret)
            }
        },
        GuestOp::Exec { argv, envp, secret, .. } => {
            let flags = libc::AT_EMPTY_PATH as usize;
            let args = [word(state.program), ptr(c""), argv.as_word(), envp.as_word(), flags, *secret as usize];
            plain(libc::SYS_execveat, args)
        }
    }
}

fn join(parent: i32, tasks: &CString) -> Result<(), Errno> {
    let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    // SAFETY: open, write and close with values that live across the calls.
    unsafe {
        let fd = call_retry(libc::SYS_openat, [word(parent), ptr(tasks), flags, 0, 0, 0])?;
        let done = call_retry(libc::SYS_write, [fd, ptr(c"0"), 1, 0, 0, 0]);
        let _ = call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
        done.map(drop)
    }
}

fn gate(arrived: i32, open: i32, supervisor: i32, patience: Option<u32>) -> Result<(), Errno> {
    let one = 1u64;
    // SAFETY: eight bytes of a local.
    unsafe { call_retry(libc::SYS_write, [word(arrived), addr(&one), 8, 0, 0, 0])? };
    super::told_to_go(open, supervisor, patience)
}

/// Executes the list; returns only when a step failed: its index and errno. Says when the program started. Child-safe.
pub(crate) fn run(ops: &[GuestOp], started_ns: &AtomicU64) -> (u32, Errno) {
    let mut state = State { program: -1 };
    for (index, op) in ops.iter().enumerate() {
        // Before the filter, which may not let the clock be read.
        if matches!(op, GuestOp::Seccomp { .. } | GuestOp::Exec { .. }) && started_ns.load(SeqCst) == 0 {
            started_ns.store(clock::monotonic_ns(), SeqCst);
        }
        if let Err(errno) = step(op, &mut state) {
            return (index as u32, errno);
        }
    }
    (ops.len() as u32, Errno::INVAL)
}
