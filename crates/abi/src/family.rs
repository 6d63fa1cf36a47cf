//! Families of system calls that a policy treats alike.
//!
//! A deny list that names calls one by one forgets the next variant: `creat` beside `open`, `open_tree_attr` beside
//! `open_tree`. So policies name families, and a test here makes sure that every number since Linux 5.1
//! has been looked at: it is in a family or in the list of ordinary calls, on purpose.

use crate::{Arch, SyscallSet, Sysno};

/// Calls that belong together.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// The name that profiles and reports use.
    pub name: &'static str,
    /// Why somebody would deny it, in one sentence.
    pub why: &'static str,
    /// The members; not every architecture has every one.
    pub calls: &'static [&'static str],
}

impl Family {
    /// The members' numbers on an architecture.
    #[must_use]
    pub fn numbers(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, self.calls.iter().copied())
    }

    /// Whether a call is a member.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.calls.contains(&name)
    }
}

/// A family by its name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name)
}

/// The families of a call; most calls have none.
pub fn of(arch: Arch, nr: Sysno) -> impl Iterator<Item = &'static Family> {
    let name = nr.name(arch);
    FAMILIES.iter().filter(move |family| name.is_some_and(|name| family.contains(name)))
}

/// Every family. A call can be in more than one.
#[rustfmt::skip]
pub const FAMILIES: &[Family] = &[
    Family { name: "namespace", why: "makes or enters namespaces, where the kernel exposes more of itself",
        calls: &["unshare", "setns", "clone3"] },
    Family { name: "fork", why: "makes tasks",
        calls: &["fork", "vfork", "clone", "clone3"] },
    Family { name: "exec", why: "starts programs",
        calls: &["execve", "execveat"] },
    Family { name: "mount", why: "changes the tree of mounts",
        calls: &["mount", "umount", "umount2", "pivot_root", "chroot", "fsopen", "fspick", "fsconfig", "fsmount", "move_mount", "mount_setattr"] },
    Family { name: "tree", why: "opens parts of the mount tree; open_tree is an O_PATH open that needs no privilege",
        calls: &["open_tree", "open_tree_attr"] },
    Family { name: "mountinfo", why: "lists mounts and namespaces past any virtual /proc",
        calls: &["statmount", "listmount", "listns"] },
    Family { name: "module", why: "loads kernel code",
        calls: &["init_module", "finit_module", "delete_module"] },
    Family { name: "kexec", why: "replaces the kernel",
        calls: &["kexec_load", "kexec_file_load"] },
    Family { name: "keyring", why: "kernel keys outlive the box and are shared across it",
        calls: &["add_key", "request_key", "keyctl"] },
    Family { name: "io_uring", why: "does file and network operations that no filter sees",
        calls: &["io_uring_setup", "io_uring_enter", "io_uring_register"] },
    Family { name: "bpf", why: "loads programs into the kernel",
        calls: &["bpf"] },
    Family { name: "perf", why: "observes other tasks and the kernel",
        calls: &["perf_event_open"] },
    Family { name: "ptrace", why: "reads and steers other processes",
        calls: &["ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "process_madvise", "process_mrelease"] },
    Family { name: "userfaultfd", why: "stalls the kernel in the middle of a copy, which widens every race",
        calls: &["userfaultfd"] },
    Family { name: "clock_set", why: "sets the clock of the whole machine",
        calls: &["settimeofday", "clock_settime", "clock_settime64", "adjtimex", "clock_adjtime", "clock_adjtime64", "stime"] },
    Family { name: "swap", why: "changes the machine's swap space",
        calls: &["swapon", "swapoff"] },
    Family { name: "reboot", why: "stops the machine",
        calls: &["reboot"] },
    Family { name: "quota", why: "changes disk quotas",
        calls: &["quotactl", "quotactl_fd"] },
    Family { name: "acct", why: "switches process accounting",
        calls: &["acct"] },
    Family { name: "handle", why: "opens files by handle, past every path rule",
        calls: &["open_by_handle_at", "name_to_handle_at"] },
    Family { name: "fanotify", why: "observes and holds up other processes' file accesses",
        calls: &["fanotify_init", "fanotify_mark"] },
    Family { name: "rawio", why: "talks to hardware ports and firmware",
        calls: &["iopl", "ioperm", "vm86", "vm86old", "pciconfig_iobase", "pciconfig_read", "pciconfig_write"] },
    Family { name: "ldt", why: "writes segment descriptors; a long record of kernel bugs",
        calls: &["modify_ldt"] },
    Family { name: "migrate", why: "moves pages of processes between memory nodes",
        calls: &["migrate_pages", "move_pages"] },
    Family { name: "mempolicy", why: "chooses the memory nodes of the caller itself",
        calls: &["mbind", "set_mempolicy", "set_mempolicy_home_node", "get_mempolicy"] },
    Family { name: "syslog", why: "reads the kernel's log, addresses included",
        calls: &["syslog"] },
    Family { name: "vhangup", why: "hangs up the caller's terminal",
        calls: &["vhangup"] },
    Family { name: "hostname", why: "renames the machine",
        calls: &["sethostname", "setdomainname"] },
    Family { name: "lsm", why: "reads and sets security labels",
        calls: &["lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules"] },
    Family { name: "secretmem", why: "memory that nobody else can read and that is never reclaimed",
        calls: &["memfd_secret"] },
    Family { name: "obsolete", why: "kept by the kernel for programs of another age, or never implemented",
        calls: &["nfsservctl", "uselib", "sysfs", "ustat", "_sysctl", "create_module", "get_kernel_syms", "query_module", "afs_syscall",
            "tuxcall", "security", "vserver", "getpmsg", "putpmsg", "epoll_ctl_old", "epoll_wait_old", "lookup_dcookie", "bdflush", "break",
            "ftime", "gtty", "stty", "idle", "lock", "mpx", "prof", "profil", "ulimit"] },
    Family { name: "personality", why: "switches hardening of the address space off",
        calls: &["personality"] },
    Family { name: "prctl", why: "many unrelated switches of one task",
        calls: &["prctl"] },
    Family { name: "prlimit", why: "limits of other processes of the same user",
        calls: &["prlimit64"] },
    Family { name: "scheduling", why: "how other tasks of the same user are run",
        calls: &["sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr", "setpriority", "ioprio_set"] },
    Family { name: "ioctl", why: "whatever a driver offers",
        calls: &["ioctl"] },
    Family { name: "fcntl", why: "flags, locks and owners of files",
        calls: &["fcntl", "fcntl64"] },
    Family { name: "socket", why: "makes sockets",
        calls: &["socket", "socketpair", "socketcall"] },
    Family { name: "mode", why: "gives files the set-id bits",
        calls: &["chmod", "fchmod", "fchmodat", "fchmodat2"] },
    Family { name: "owner", why: "gives files away",
        calls: &["chown", "lchown", "fchown", "fchownat", "chown32", "lchown32", "fchown32"] },
    Family { name: "mknod", why: "makes device nodes",
        calls: &["mknod", "mknodat"] },
    Family { name: "rename", why: "gives files other names, and can leave a device in their place",
        calls: &["rename", "renameat", "renameat2"] },
    Family { name: "open", why: "opens or creates files",
        calls: &["open", "openat", "openat2", "creat", "open_tree", "open_tree_attr", "open_by_handle_at"] },
    Family { name: "times", why: "sets the times of files",
        calls: &["utime", "utimes", "futimesat", "utimensat", "utimensat_time64"] },
    Family { name: "xattr", why: "sets or removes extended attributes of files",
        calls: &["setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat"] },
    Family { name: "xattr_read", why: "reads extended attributes of files",
        calls: &["getxattr", "lgetxattr", "fgetxattr", "getxattrat", "listxattr", "llistxattr", "flistxattr", "listxattrat"] },
    Family { name: "file_attr", why: "inode flags and project ids",
        calls: &["file_getattr", "file_setattr"] },
    Family { name: "sysv_ipc", why: "System V objects outlive the box unless it has an IPC namespace of its own",
        calls: &["shmget", "shmat", "shmctl", "shmdt", "semget", "semop", "semctl", "semtimedop", "semtimedop_time64", "msgget", "msgsnd",
            "msgrcv", "msgctl", "ipc"] },
    Family { name: "mqueue", why: "POSIX message queues outlive the box unless it has an IPC namespace of its own",
        calls: &["mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_timedsend_time64", "mq_timedreceive_time64", "mq_notify",
            "mq_getsetattr"] },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls since Linux 5.1 that were looked at and need no family: they act on what the caller already
    /// holds, or an older call of the same meaning is unrestricted, too.
    #[rustfmt::skip]
    const ORDINARY: &[&str] = &[
        // Restricting oneself, one's own memory, one's own waiting.
        "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
        "mseal", "map_shadow_stack", "cachestat",
        "futex_waitv", "futex_wake", "futex_wait", "futex_requeue", "epoll_pwait2",
        // Process fds: the kernel checks them as it checks kill.
        "pidfd_send_signal", "pidfd_open",
        "close_range",
        // A path call like access(2).
        "faccessat2",
        // The kernel refuses both to everybody but the trampoline that it planted itself.
        "uretprobe", "uprobe",
    ];

    #[test]
    fn every_member_exists_somewhere() {
        for family in FAMILIES {
            for call in family.calls {
                let known = Arch::ALL.iter().any(|&arch| Sysno::by_name(arch, call).is_some());
                assert!(known, "{}: {call}", family.name);
            }
        }
    }

    #[test]
    fn names_are_unique() {
        for (at, family) in FAMILIES.iter().enumerate() {
            assert!(!FAMILIES[..at].iter().any(|other| other.name == family.name), "{}", family.name);
        }
    }

    #[test]
    fn every_new_number_was_looked_at() {
        // 424 is the first number that all architectures share.
        for arch in [Arch::X86_64, Arch::I386, Arch::Aarch64] {
            let new = Sysno::all(arch).filter(|&(nr, _)| nr.0 >= 424);
            for (nr, name) in new {
                let decided = of(arch, nr).next().is_some() || ORDINARY.contains(&name);
                assert!(decided, "{} {name} is in no family and not in ORDINARY", arch.name());
            }
        }
    }
}
