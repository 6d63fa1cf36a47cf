//! What this kernel and this user can enforce, found by trying.
//!
//! [`quick`] asks only what costs a system call and assumes that namespaces and a listener can be had where nothing
//! speaks against it: a launch that finds otherwise fails at that step, closed, and then [`full`] tries each thing in
//! a process of its own, so that lowering can start again from the truth.

use core::ffi::c_void;
use core::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::ffi::CString;

use tipstaff_abi::bpf::{Insn, SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF};
use tipstaff_abi::caps::{CgroupCaps, KernelCaps};

use crate::child::{self, SetupOp};
use crate::raw::{Errno, call};
use crate::shared::{Arena, CloneSpec, clone_vm};
use crate::{affinity, capability, ids, landlock, pidfd, seccomp, wait};

/// CLONE_NEW* flags by what they isolate.
pub mod ns {
    /// Mounts.
    pub const MOUNT: u64 = libc::CLONE_NEWNS as u64;
    /// Processes.
    pub const PID: u64 = libc::CLONE_NEWPID as u64;
    /// System V IPC and POSIX message queues.
    pub const IPC: u64 = libc::CLONE_NEWIPC as u64;
    /// Host name.
    pub const UTS: u64 = libc::CLONE_NEWUTS as u64;
    /// Network.
    pub const NET: u64 = libc::CLONE_NEWNET as u64;
    /// Users.
    pub const USER: u64 = libc::CLONE_NEWUSER as u64;
    /// The cgroup root.
    pub const CGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
}

/// The steps that give a new user namespace its one-to-one map: the ordinary user keeps their number, or is seen as
/// another one.
pub fn user_map(inside: (u32, u32), outside: (u32, u32)) -> Vec<SetupOp> {
    let file = |name: &str, text: String| {
        let path = CString::new(format!("/proc/self/{name}")).unwrap_or_default();
        SetupOp::WriteFile(path, text.into_bytes())
    };
    vec![
        // Since Linux 3.19 an unprivileged gid_map wants setgroups(2) switched off first.
        file("setgroups", "deny".into()),
        file("uid_map", format!("{} {} 1", inside.0, outside.0)),
        file("gid_map", format!("{} {} 1", inside.1, outside.1)),
    ]
}

fn clone3_there() -> bool {
    // SAFETY: a null argument of size 0 is EINVAL where the call exists; a container's filter answers ENOSYS or EPERM.
    unsafe { call(libc::SYS_clone3, [0, 0, 0, 0, 0, 0]) == Err(Errno::INVAL) }
}

/// Cheap, optimistic: see the module's text. Control groups are left out ([`CgroupCaps::NONE`]).
pub fn quick() -> KernelCaps {
    let uid = ids::uid();
    let caps = capability::effective();
    let has = |c: u32| caps >> c & 1 == 1;
    let admin = has(capability::SYS_ADMIN);
    let seccomp_there = seccomp::action_available(SECCOMP_RET_ALLOW);
    KernelCaps {
        // Another architecture would not have compiled (`crate::arch`).
        arch: tipstaff_abi::Arch::native().unwrap_or(tipstaff_abi::Arch::X86_64),
        release: ids::release(),
        root: uid == 0,
        uid,
        gid: ids::gid(),
        namespaces: admin,
        user_namespace: !admin,
        mount_api: true,
        procfs: true,
        landlock_abi: landlock::abi().unwrap_or(0),
        seccomp: seccomp_there,
        listener: seccomp_there && seccomp::action_available(SECCOMP_RET_USER_NOTIF) && seccomp::notif_sizes_match(),
        clone3: clone3_there(),
        pidfd: pidfd::open(ids::pid()).is_ok(),
        setpcap: has(capability::SETPCAP),
        setuid: has(capability::SETUID) && has(capability::SETGID),
        setgroups: true,
        cgroup: CgroupCaps::NONE,
        cpus: affinity::cpus(),
    }
}

/// Like [`quick`], with every assumption tried out.
pub fn full() -> KernelCaps {
    let mut caps = quick();
    caps.setgroups = !std::fs::read("/proc/self/setgroups").is_ok_and(|text| text.starts_with(b"deny"));
    let base = if caps.namespaces { 0 } else { ns::USER };
    let map = |caps: &KernelCaps| {
        if base == 0 { Vec::new() } else { user_map((caps.uid, caps.gid), (caps.uid, caps.gid)) }
    };
    let all = base | ns::PID | ns::MOUNT | ns::IPC | ns::UTS | ns::NET;
    let works = attempt(&caps, all, map(&caps)).is_ok();
    caps.namespaces &= works;
    caps.user_namespace &= works;
    if works {
        let mut ops = map(&caps);
        ops.push(SetupOp::PrivateMounts);
        ops.push(SetupOp::NewRoot(c"/proc".into()));
        ops.push(SetupOp::Mkdir(c"proc".into(), 0o755));
        let mount_api = attempt(&caps, all, ops);
        caps.mount_api = mount_api.is_ok();
        let mut ops = map(&caps);
        ops.push(SetupOp::PrivateMounts);
        ops.push(SetupOp::NewRoot(c"/proc".into()));
        ops.push(SetupOp::Mkdir(c"proc".into(), 0o755));
        ops.push(SetupOp::Proc(c"proc".into()));
        // pivot_root(2) answers EINVAL where "/" is the initial ramfs.
        ops.push(SetupOp::PivotRoot);
        caps.procfs = caps.mount_api && attempt(&caps, all, ops).is_ok();
    } else {
        caps.mount_api = false;
        caps.procfs = false;
    }
    caps.listener = caps.listener && try_listener(&caps);
    caps
}

struct Attempt {
    ops: Vec<SetupOp>,
    listener: bool,
    errno: AtomicI32,
}

extern "C" fn attempt_main(arg: *mut c_void) -> ! {
    // SAFETY: the attempt outlives this process: `run_attempt` waits for it.
    let attempt = unsafe { &*arg.cast::<Attempt>() };
    let mut state = child::SetupState { root: -1, disk: -1, ruleset: -1 };
    let mut result = Ok(());
    for op in &attempt.ops {
        result = result.and_then(|()| child::run_setup(op, &mut state));
    }
    if attempt.listener && result.is_ok() {
        const ALLOW: [Insn; 1] = [Insn { code: 0x06, jt: 0, jf: 0, k: SECCOMP_RET_ALLOW }];
        // SAFETY: integers.
        let _ = unsafe { call(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0, 0]) };
        result = seccomp::install(&ALLOW, Some(seccomp::Wait::Killable)).map(drop);
    }
    attempt.errno.store(result.map_or_else(|e| e.0, |()| 0), SeqCst);
    loop {
        // SAFETY: ends this process alone.
        let _ = unsafe { call(libc::SYS_exit_group, [0; 6]) };
    }
}

fn run_attempt(caps: &KernelCaps, namespaces: u64, ops: Vec<SetupOp>, listener: bool) -> Result<(), Errno> {
    use std::os::fd::AsFd;
    let attempt = Box::new(Attempt { ops, listener, errno: AtomicI32::new(libc::EIO) });
    let arena = Arena::new()?;
    let spec = CloneSpec { namespaces, clone3: caps.clone3, ..CloneSpec::default() };
    let arg = core::ptr::from_ref(&*attempt).cast_mut().cast::<c_void>();
    // SAFETY: arena and attempt live until the process has been waited for, or are leaked.
    let (_, pidfd) = unsafe { clone_vm(&spec, &arena, 0, attempt_main, arg)? };
    match wait::reap(pidfd.as_fd(), true) {
        Ok(_) | Err(Errno::CHILD) => {}
        Err(e) => {
            core::mem::forget((attempt, arena));
            return Err(e);
        }
    }
    match attempt.errno.load(SeqCst) {
        0 => Ok(()),
        errno => Err(Errno(errno)),
    }
}

fn attempt(caps: &KernelCaps, namespaces: u64, ops: Vec<SetupOp>) -> Result<(), Errno> {
    run_attempt(caps, namespaces, ops, false)
}

fn try_listener(caps: &KernelCaps) -> bool {
    run_attempt(caps, 0, Vec::new(), true).is_ok()
}
