//! What a kernel and a user can enforce, as a value.
//!
//! The `sys` crate fills it by probing; lowering takes it as an argument, so that a test can
//! take any feature away and look at what lowering does without it.

/// Where control groups can be created, and which controllers are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupCaps {
    /// The memory controller can be used for a new child group.
    pub memory: bool,
    /// The pids controller can be used for a new child group.
    pub pids: bool,
    /// CPU time is accounted per group (v1 `cpuacct`, v2 `cpu.stat`).
    pub cpu: bool,
    /// CPU time can be bounded per group (v1 `cpu`, v2 `cpu`).
    pub bandwidth: bool,
    /// At least one of the usable controllers is on the unified (v2) hierarchy.
    pub v2: bool,
    /// At least one of the usable controllers is on a v1 hierarchy.
    pub v1: bool,
}

impl CgroupCaps {
    /// No control group at all.
    pub const NONE: Self = Self { memory: false, pids: false, cpu: false, bandwidth: false, v2: false, v1: false };
}

/// What this kernel, this user and this surrounding allow. All fields are found by trying,
/// never by comparing version numbers: a container's seccomp profile can take any of them away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelCaps {
    /// The architecture that programs are run on.
    pub arch: crate::Arch,
    /// `uname -r` as (major, minor); information only.
    pub release: (u32, u32),
    /// Effective uid is 0 in the caller's user namespace.
    pub root: bool,
    /// Effective user id of the caller.
    pub uid: u32,
    /// Effective group id of the caller.
    pub gid: u32,
    /// `clone(2)` with namespace flags works directly (CAP_SYS_ADMIN).
    pub namespaces: bool,
    /// A user namespace can be created and its id map written.
    pub user_namespace: bool,
    /// `fsopen`, `open_tree`, `move_mount` and `mount_setattr` work (Linux 5.12) inside a new mount namespace.
    pub mount_api: bool,
    /// A fresh procfs can be mounted in a new PID namespace (not so inside many containers).
    pub procfs: bool,
    /// Landlock ABI version, 0 when absent or switched off.
    pub landlock_abi: u32,
    /// `seccomp(SECCOMP_SET_MODE_FILTER)` works.
    pub seccomp: bool,
    /// A listener can be had (`SECCOMP_FILTER_FLAG_NEW_LISTENER`, Linux 5.0; EBUSY inside another listener's tree).
    pub listener: bool,
    /// `clone3(2)` works (Linux 5.3; container profiles answer ENOSYS).
    pub clone3: bool,
    /// `pidfd_open(2)` works (Linux 5.3).
    pub pidfd: bool,
    /// CAP_SETPCAP is held, so that the bounding set can be emptied.
    pub setpcap: bool,
    /// CAP_SETUID and CAP_SETGID are held.
    pub setuid: bool,
    /// setgroups(2) is not switched off in this user namespace.
    pub setgroups: bool,
    /// Control groups.
    pub cgroup: CgroupCaps,
    /// Number of CPUs this process may run on.
    pub cpus: u32,
}

impl KernelCaps {
    /// Everything there, as on a current kernel with root: the start of a test that takes something away.
    pub fn full() -> Self {
        Self {
            arch: crate::Arch::X86_64,
            release: (6, 18),
            root: true,
            uid: 0,
            gid: 0,
            namespaces: true,
            user_namespace: true,
            mount_api: true,
            procfs: true,
            landlock_abi: 7,
            seccomp: true,
            listener: true,
            clone3: true,
            pidfd: true,
            setpcap: true,
            setuid: true,
            setgroups: true,
            cgroup: CgroupCaps { memory: true, pids: true, cpu: true, bandwidth: true, v2: false, v1: true },
            cpus: 2,
        }
    }
}
