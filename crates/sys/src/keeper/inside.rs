//! What runs in the cloned process: raw system calls on prepared data, by the rules of [`crate::shared`].

use core::ffi::c_void;
use core::sync::atomic::Ordering::SeqCst;
use std::ffi::CString;
use std::os::fd::AsRawFd;

use super::{COMMAND_KILL, COMMAND_RELEASE, Context, DONE, FAILED, Leftover, RUNNING, Round, poke};
use crate::raw::{Errno, addr, addr_mut, call, call_retry, ptr, word};
use crate::rlimit::{RLIMIT_NPROC, Rlimit, set_of};
use crate::shared::{CloneSpec, clone_vm_raw};
use crate::signal::{self, SigSet};
use crate::{capability, child, clock, ids};

pub(super) extern "C" fn main(arg: *mut c_void) -> ! {
    // SAFETY: `arg` is the context of `start`, which outlives this process.
    let context = unsafe { &*arg.cast::<Context>() };
    keep(context);
    exit(0)
}

extern "C" fn guest_main(arg: *mut c_void) -> ! {
    // SAFETY: as in `main`; the keeper waits (CLONE_VFORK) while this runs.
    let context = unsafe { &*arg.cast::<Context>() };
    let round = present(context);
    let (index, errno) = child::run_guest(&context.launch.guest, &round.started_ns);
    fail(round, 2, index, errno);
    exit(127)
}

fn exit(code: usize) -> ! {
    loop {
        // SAFETY: ends this process alone.
        let _ = unsafe { call(libc::SYS_exit_group, [code, 0, 0, 0, 0, 0]) };
    }
}

/// What is known of the present box.
fn present(context: &Context) -> &Round {
    // SAFETY: the box's `Keeper` keeps it alive as long as this process lives or until it is told of the next box, and a while longer.
    unsafe { &*context.round.load(SeqCst) }
}

fn fail(round: &Round, stage: u32, index: u32, errno: Errno) {
    round.stage.store(stage, SeqCst);
    round.index.store(index, SeqCst);
    round.errno.store(errno.0, SeqCst);
    round.state.store(FAILED, SeqCst);
}

/// Descriptors that the keeper still needs once the guest runs, at fixed numbers.
const SUPERVISOR: i32 = 0;
const COMMANDS: i32 = 1;
const CHANGED: i32 = 2;
const CHILDREN: i32 = 3;
/// Our own list of children (proc_pid_task(5)), for the subreaper: open from the start, so that nothing that happens
/// to this process later can keep it from finding them.
const LIST: i32 = 4;
/// The supervisor's mount namespace.
const OUTSIDE: i32 = 5;
pub(super) const FIRST_LEFTOVER: i32 = 6;

/// How long it waits for another box, should the supervisor have become another program (execve(2)); else it is told to go earlier.
const IDLE_SECONDS: i64 = 5;

fn keep(context: &Context) {
    let mut first = true;
    while one_box(context, first) {
        first = false;
    }
}

/// From the start of a box to its end. True: there will be another.
fn one_box(context: &Context, first: bool) -> bool {
    let launch = &context.launch;
    let round = present(context);
    let set_up = if first { set_up(context) } else { Ok(()) };
    if let Err((stage, index, errno)) = set_up.and_then(|()| start_guest(context)) {
        fail(round, stage, index, errno);
    }
    if first {
        settle(context);
    }
    if round.state.load(SeqCst) == FAILED {
        // The failed guest process, if it got that far, is reaped here.
        end_all(context, launch.subreaper);
        poke(CHANGED);
        sweep(context);
        return false;
    }
    round.state.store(RUNNING, SeqCst);
    poke(CHANGED);
    watch(context);
    end_all(context, launch.subreaper);
    round.state.store(DONE, SeqCst);
    // Without leftovers the end of this process says it, and saves the supervisor a wake-up; unless somebody else waits for that end.
    if launch.keep.is_some() || !launch.leftovers.is_empty() {
        poke(CHANGED);
    }
    if launch.again {
        return await_another(context, round);
    }
    if !launch.leftovers.is_empty() {
        leave_mounts(context);
        await_release(context);
        sweep(context);
    }
    false
}

/// Waits for another box, at most [`IDLE_SECONDS`]. Nothing is left of the last one: every child has been reaped.
fn await_another(context: &Context, last: &Round) -> bool {
    let limit = libc::timespec { tv_sec: IDLE_SECONDS, tv_nsec: 0 };
    loop {
        if !core::ptr::eq(context.round.load(SeqCst), last) {
            return true;
        }
        if orders(context) & COMMAND_RELEASE != 0 {
            return false;
        }
        let mut left = limit;
        let mut fds = [pollfd(COMMANDS), pollfd(SUPERVISOR)];
        // SAFETY: two pollfd and a timespec, which the kernel writes to.
        let ready = unsafe { call(libc::SYS_ppoll, [addr_mut(&mut fds), 2, addr_mut(&mut left), 0, 0, 0]) };
        if ready == Ok(0) || fds[1].revents != 0 {
            return false;
        }
    }
}

fn set_up(context: &Context) -> Result<(), (u32, u32, Errno)> {
    const PR_SET_CHILD_SUBREAPER: usize = 36;
    let launch = &context.launch;
    // Blocked already by the clone; but everything below rests on SIGCHLD arriving at the signalfd.
    signal::set_mask(SigSet::ALL);
    reset_sigchld();
    if launch.subreaper {
        // SAFETY: integers.
        unsafe { call(libc::SYS_prctl, [PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0, 0]) }.map_err(|e| (1, 0, e))?;
    }
    // The modes that operations give are meant as they stand. The keeper's file system state is its own (no CLONE_FS).
    // SAFETY: integers.
    let _ = unsafe { call(libc::SYS_umask, [0; 6]) };
    let mut state = child::SetupState { root: -1, disk: -1, ruleset: launch.ruleset.unwrap_or(-1) };
    for (index, op) in launch.setup.iter().enumerate() {
        if let Err(e) = child::run_setup(op, &mut state) {
            if let (Some(prepared), false) = (&launch.prepared, matches!(op, child::SetupOp::Prepared(..))) {
                // What the supervisor makes meanwhile is ours to remove: not before it is there.
                let _ = child::told_to_go(prepared.as_raw_fd(), launch.supervisor.as_raw_fd(), None);
            }
            return Err((0, index as u32, e));
        }
    }
    if let Some(keep) = &launch.keep {
        keep_only(keep);
    }
    if launch.again {
        // Once for all its boxes: children inherit both, and the keeper itself executes nothing.
        signal::reset_dispositions();
        capability::drop_bounding();
    }
    Ok(())
}

fn start_guest(context: &Context) -> Result<(), (u32, u32, Errno)> {
    let launch = &context.launch;
    let cgroup = launch.guest_cgroup.as_ref().map(|(parent, name)| directory(*parent, name)).transpose();
    let cgroup = cgroup.map_err(|e| (1, 0, e))?;
    let spec = CloneSpec { namespaces: 0, vfork: true, pidfd: false, cgroup, clone3: launch.clone3 };
    let arg = core::ptr::from_ref(context).cast_mut().cast::<c_void>();
    // SAFETY: the guest runs on stack 1 until it executes, while the keeper waits.
    let (pid, _) = unsafe { clone_vm_raw(&spec, &context.arena, 1, guest_main, arg) }.map_err(|e| (1, 0, e))?;
    present(context).guest_pid.store(pid, SeqCst);
    Ok(())
}

/// Closes every descriptor but these, which are in ascending order. Without close_range(2) (Linux 5.9) up to the largest number that
/// [`settle`] closes too.
fn keep_only(keep: &[i32]) {
    let mut next = 0usize;
    for fd in keep.iter().map(|fd| *fd as usize).chain([usize::MAX]) {
        if fd > next {
            let last = (fd - 1).min(u32::MAX as usize);
            // SAFETY: the keeper's descriptor table is its own (no CLONE_FILES).
            unsafe {
                if call(libc::SYS_close_range, [next, last, 0, 0, 0, 0]).is_err() {
                    for fd in next..=last.min(4095) {
                        let _ = call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
                    }
                }
            }
        }
        next = fd.saturating_add(1);
    }
}

fn directory(parent: i32, name: &CString) -> Result<i32, Errno> {
    let flags = (libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) as usize;
    // SAFETY: a C string and an open directory.
    unsafe { call_retry(libc::SYS_openat, [word(parent), ptr(name), flags, 0, 0, 0]).map(|fd| fd as i32) }
}

/// SIGCHLD must not be ignored, or the kernel reaps behind our back and the times are lost.
fn reset_sigchld() {
    let default = [0usize; 4];
    // SAFETY: a zeroed kernel sigaction is SIG_DFL with no flags.
    let _ = unsafe { call(libc::SYS_rt_sigaction, [libc::SIGCHLD as usize, addr(&default), 0, 8, 0, 0]) };
}

/// Keeps only the descriptors that are needed from here on, so that no pipe or file of the host's is held open.
fn settle(context: &Context) {
    let launch = &context.launch;
    // SAFETY: the keeper's descriptor table is its own (no CLONE_FILES).
    unsafe {
        let keep = |from: i32, to: i32| {
            let _ = call(libc::SYS_dup3, [word(from), word(to), libc::O_CLOEXEC as usize, 0, 0, 0]);
        };
        keep(launch.supervisor.as_raw_fd(), SUPERVISOR);
        keep(context.command_fd.as_raw_fd(), COMMANDS);
        keep(context.changed.as_raw_fd(), CHANGED);
        for (to, leftover) in (FIRST_LEFTOVER..).zip(&launch.leftovers) {
            keep(leftover.parent.as_raw_fd(), to);
        }
        // Whatever the host had under these numbers is not ours to hold open.
        for number in [LIST, OUTSIDE] {
            let _ = call(libc::SYS_close, [word(number), 0, 0, 0, 0, 0]);
        }
        if let Some(outside) = &launch.outside {
            keep(outside.as_raw_fd(), OUTSIDE);
        }
        if launch.subreaper {
            let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
            let list = ptr(c"/proc/thread-self/children");
            if let Ok(list) = call(libc::SYS_openat, [word(libc::AT_FDCWD), list, flags, 0, 0, 0])
                && list as i32 != LIST
            {
                keep(list as i32, LIST);
            }
        }
        let children = signal::fd_raw(SigSet::of(&[libc::SIGCHLD])).unwrap_or(-1);
        if children != CHILDREN {
            keep(children, CHILDREN);
        }
        let last = FIRST_LEFTOVER as usize + launch.leftovers.len();
        // For the next guest too: nothing else has been left open.
        if launch.again {
            return;
        }
        if call(libc::SYS_close_range, [last, u32::MAX as usize, 0, 0, 0, 0]).is_err() {
            for fd in last..4096 {
                let _ = call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
            }
        }
    }
}

/// Waits until the guest's first process has ended, a kill is ordered, or the supervisor is gone.
fn watch(context: &Context) {
    loop {
        reap(context);
        if present(context).has_status.load(SeqCst) || orders(context) & COMMAND_KILL != 0 {
            return;
        }
        let mut fds = [pollfd(CHILDREN), pollfd(COMMANDS), pollfd(SUPERVISOR)];
        // SAFETY: an array of three pollfd, no timeout.
        let _ = unsafe { call(libc::SYS_ppoll, [addr_mut(&mut fds), 3, 0, 0, 0, 0]) };
        while signal::next_raw(CHILDREN).is_some() {}
        if fds[2].revents != 0 {
            return;
        }
    }
}

fn pollfd(fd: i32) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

/// Takes what the supervisor asked for; forwards a signal on the way.
fn orders(context: &Context) -> u32 {
    let round = present(context);
    let mut count = 0u64;
    // SAFETY: reads eight bytes of a non-blocking eventfd.
    let _ = unsafe { call(libc::SYS_read, [word(COMMANDS), addr_mut(&mut count), 8, 0, 0, 0]) };
    let signal = round.forward.swap(0, SeqCst);
    let guest = round.guest_pid.load(SeqCst);
    if signal != 0 && guest > 0 && !round.has_status.load(SeqCst) {
        // The guest leads a session of its own, so its process group has its number; should it have gone to
        // another group, the process itself.
        if signal::kill_raw(-guest, signal).is_err() {
            let _ = signal::kill_raw(guest, signal);
        }
    }
    let everybody = round.everybody.swap(0, SeqCst);
    if everybody != 0 {
        let _ = signal_everybody(everybody);
    }
    round.command.load(SeqCst)
}

/// Reaps what has ended, without waiting. False when there is no child left.
fn reap(context: &Context) -> bool {
    loop {
        let mut status = 0i32;
        // SAFETY: rusage is plain data.
        let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
        let flags = (libc::WNOHANG | libc::__WALL) as usize;
        // SAFETY: the kernel writes a status word and a struct rusage.
        let pid = unsafe {
            call_retry(libc::SYS_wait4, [word(-1), addr_mut(&mut status), flags, addr_mut(&mut usage), 0, 0])
        };
        match pid {
            Ok(0) => return true,
            Ok(pid) if status & 0xff == 0x7f => let_go(pid as i32, status >> 8 & 0xff),
            Ok(pid) => count(context, pid as i32, status, &usage),
            Err(_) => return false,
        }
    }
}

/// A child has made us its tracer (PTRACE_TRACEME) and stands in a stop: it goes on untraced, with the signal that it was about to get. The
/// SIGTRAP of its exec is none.
fn let_go(pid: i32, signal: i32) {
    let deliver = if signal == libc::SIGTRAP { 0 } else { signal };
    // SAFETY: integers; addresses are ignored.
    let _ = unsafe { call(libc::SYS_ptrace, [libc::PTRACE_DETACH as usize, word(pid), 0, word(deliver), 0, 0]) };
}

fn micros(t: libc::timeval) -> u64 {
    (t.tv_sec as u64).wrapping_mul(1_000_000).wrapping_add(t.tv_usec as u64)
}

fn count(context: &Context, pid: i32, status: i32, usage: &libc::rusage) {
    let round = present(context);
    round.user_us.fetch_add(micros(usage.ru_utime), SeqCst);
    round.system_us.fetch_add(micros(usage.ru_stime), SeqCst);
    round.reaped.fetch_add(1, SeqCst);
    if pid == round.guest_pid.load(SeqCst) && !round.has_status.load(SeqCst) {
        round.ended_ns.store(clock::monotonic_ns(), SeqCst);
        if !context.launch.subreaper {
            round.last_pid.store(last_pid(), SeqCst);
        }
        if context.launch.watch_disk {
            look_at_disk(context);
        }
        round.status.store(status, SeqCst);
        round.has_status.store(true, SeqCst);
    }
}

/// What is used and left of the private disk: statfs(2) of /run, which lies on it.
fn look_at_disk(context: &Context) {
    // SAFETY: plain data, which the kernel fills.
    let mut found: libc::statfs = unsafe { core::mem::zeroed() };
    // SAFETY: a constant path and a struct statfs.
    if unsafe { call(libc::SYS_statfs, [ptr(c"/run"), addr_mut(&mut found), 0, 0, 0, 0]) }.is_ok() {
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_bsize as u64);
        present(context).disk_used.store(bytes(found.f_blocks.saturating_sub(found.f_bfree)), SeqCst);
        present(context).disk_left.store(bytes(found.f_bavail), SeqCst);
    }
}

/// The last pid handed out in the reader's PID namespace: the last field of proc_loadavg(5), in the box's own /proc.
/// 0 where there is none.
fn last_pid() -> i32 {
    let mut text = [0u8; 128];
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    // SAFETY: a constant path and a local buffer.
    let n = unsafe {
        match call(libc::SYS_openat, [word(libc::AT_FDCWD), ptr(c"/proc/loadavg"), flags, 0, 0, 0]) {
            Ok(fd) => {
                let n = call_retry(libc::SYS_read, [fd, addr_mut(&mut text), text.len(), 0, 0, 0]);
                let _ = call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
                n.unwrap_or(0)
            }
            Err(_) => 0,
        }
    };
    let digits = text.iter().take(n).rev().skip_while(|b| !b.is_ascii_digit()).take_while(|b| b.is_ascii_digit());
    // Read backwards: each digit counts ten times the one before.
    let (pid, _) = digits.fold((0i32, 1i32), |(sum, unit), digit| {
        (sum.wrapping_add(i32::from(digit - b'0').wrapping_mul(unit)), unit.wrapping_mul(10))
    });
    pid
}

/// A signal for everybody but ourselves: kill(2) with -1, which is the box only because we are PID 1 of its namespace. Anywhere else it would be the whole
/// machine, so we ask the kernel who we are, and trust no memory of it: EPERM.
fn signal_everybody(number: i32) -> Result<(), Errno> {
    if ids::pid() != 1 { Err(Errno::PERM) } else { signal::kill_raw(-1, number) }
}
/// Rounds of [`end_all`], of 2 ms at most, after which the supervisor is told that it takes long.
const LONG: u32 = 500;

/// Kills and reaps until nobody is left.
fn end_all(context: &Context, subreaper: bool) {
    let mut rounds = 0u32;
    loop {
        if !reap(context) {
            return;
        }
        rounds = rounds.saturating_add(1);
        if rounds == LONG {
            poke(CHANGED);
        }
        if subreaper {
            kill_children();
        } else {
            // In one step that no fork can outrun.
            let _ = signal_everybody(libc::SIGKILL);
        }
        let mut fds = [pollfd(CHILDREN)];
        let pause = libc::timespec { tv_sec: 0, tv_nsec: 2_000_000 };
        // SAFETY: one pollfd and a timespec.
        let _ = unsafe { call(libc::SYS_ppoll, [addr_mut(&mut fds), 1, addr(&pause), 0, 0, 0]) };
        while signal::next_raw(CHILDREN).is_some() {}
    }
}

/// SIGKILL to every direct child; their children become ours and fall in the next round. RLIMIT_NPROC 0 first, so
/// that an ordinary user's fork bomb cannot outrun the rounds.
fn kill_children() {
    let mut buffer = [0u8; 4096];
    // SAFETY: reads from the start of a file of ours into a local buffer.
    let read = unsafe { call_retry(libc::SYS_pread64, [word(LIST), addr_mut(&mut buffer), buffer.len(), 0, 0, 0]) };
    let read = read.unwrap_or(0);
    let mut pid = 0i32;
    for byte in buffer.iter().take(read) {
        if byte.is_ascii_digit() {
            pid = pid.wrapping_mul(10).wrapping_add(i32::from(byte - b'0'));
        } else if pid > 0 {
            let _ = set_of(pid, &Rlimit { resource: RLIMIT_NPROC, soft: 0, hard: 0 });
            let _ = signal::kill_raw(pid, libc::SIGKILL);
            pid = 0;
        }
    }
}

/// Lets the empty box's mounts go while the supervisor reads the figures: the end of a mount namespace is a grace period of RCU, some
/// 100 µs that would be waited for at our exit.
fn leave_mounts(context: &Context) {
    if context.launch.outside.is_some() {
        // SAFETY: integers. Refused, the namespace goes with this process.
        let _ = unsafe { call(libc::SYS_setns, [word(OUTSIDE), libc::CLONE_NEWNS as usize, 0, 0, 0, 0]) };
    }
}

fn await_release(context: &Context) {
    loop {
        if orders(context) & COMMAND_RELEASE != 0 {
            return;
        }
        let mut fds = [pollfd(COMMANDS), pollfd(SUPERVISOR)];
        // SAFETY: two pollfd, no timeout.
        let _ = unsafe { call(libc::SYS_ppoll, [addr_mut(&mut fds), 2, 0, 0, 0, 0]) };
        if fds[1].revents != 0 {
            return;
        }
    }
}

fn sweep(context: &Context) {
    for mounted in context.launch.leftovers.iter().filter_map(|leftover| leftover.mounted.as_ref()) {
        // SAFETY: a C string.
        let _ = unsafe { call(libc::SYS_umount2, [ptr(mounted), libc::MNT_DETACH as usize, 0, 0, 0, 0]) };
    }
    for (fd, leftover) in (FIRST_LEFTOVER..).zip(&context.launch.leftovers) {
        if !leftover.shared || is_last(fd) {
            remove(fd, leftover);
        }
    }
}

/// Nobody else holds the lock on a directory. Ours becomes exclusive, so whoever comes now waits for us to be done.
pub(super) fn is_last(directory: i32) -> bool {
    // SAFETY: integers.
    unsafe { call(libc::SYS_flock, [word(directory), (libc::LOCK_EX | libc::LOCK_NB) as usize, 0, 0, 0, 0]).is_ok() }
}

/// Whether a file says just this.
fn says(parent: i32, name: &CString, text: &str) -> bool {
    let mut bytes = [0_u8; 16];
    let flags = (libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC) as usize;
    // SAFETY: a C string, an open directory, a buffer of the length given.
    unsafe {
        let Ok(fd) = call(libc::SYS_openat, [word(parent), ptr(name), flags, 0, 0, 0]) else { return false };
        let read = call(libc::SYS_read, [fd, addr_mut(&mut bytes), bytes.len(), 0, 0, 0]).unwrap_or(0);
        let _ = call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
        bytes.get(..read) == Some(text.as_bytes())
    }
}

/// rmdir, for up to a second: a control group is busy until the last exit has been accounted. A file is unlinked.
pub(super) fn remove(parent: i32, leftover: &Leftover) {
    let name = &leftover.name;
    let how = match leftover.text {
        Some(text) if !says(parent, name, text) => return,
        Some(_) => 0,
        None => libc::AT_REMOVEDIR as usize,
    };
    for _ in 0..1000 {
        // SAFETY: a C string and an open directory.
        let done = unsafe { call(libc::SYS_unlinkat, [word(parent), ptr(name), how, 0, 0, 0]) };
        match done {
            Err(Errno(libc::EBUSY)) => {}
            _ => return,
        }
        let pause = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        // SAFETY: a timespec.
        let _ = unsafe { call(libc::SYS_nanosleep, [addr(&pause), 0, 0, 0, 0, 0]) };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn outside_of_a_namespace_of_its_own_nobody_signals_everybody() {
        // 0 is no signal: it would ask whether there is anybody, and there is.
        assert_eq!(super::signal_everybody(0), Err(super::Errno::PERM));
        assert_eq!(super::signal::kill_raw(-1, 0), Ok(()), "the control");
    }
}
