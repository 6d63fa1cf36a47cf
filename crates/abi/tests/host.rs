//! The tables against the C library's headers of the machine that runs the test.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use tipstaff_abi::{Arch, Sysno, errno, signal};

macro_rules! agree {
    ($($call:ident => $constant:ident,)*) => {
        [$((stringify!($call), libc::$constant)),*]
    };
}

#[test]
fn numbers_agree_with_libc() {
    let Some(arch) = Arch::native() else { return };
    let calls = agree! {
        read => SYS_read, openat => SYS_openat, execve => SYS_execve, execveat => SYS_execveat, clone => SYS_clone,
        clone3 => SYS_clone3, ioctl => SYS_ioctl, prctl => SYS_prctl, ptrace => SYS_ptrace, mount => SYS_mount,
        umount2 => SYS_umount2, setns => SYS_setns, unshare => SYS_unshare, bpf => SYS_bpf, keyctl => SYS_keyctl,
        io_uring_setup => SYS_io_uring_setup, userfaultfd => SYS_userfaultfd, seccomp => SYS_seccomp,
        fsopen => SYS_fsopen, open_tree => SYS_open_tree, pidfd_getfd => SYS_pidfd_getfd, futex => SYS_futex,
        landlock_restrict_self => SYS_landlock_restrict_self, memfd_secret => SYS_memfd_secret,
        process_mrelease => SYS_process_mrelease, restart_syscall => SYS_restart_syscall, mseal => SYS_mseal,
        fchmodat2 => SYS_fchmodat2, newfstatat => SYS_newfstatat,
    };
    for (name, number) in calls {
        let ours = Sysno::by_name(arch, name).map(|nr| i64::from(nr.0));
        assert_eq!(ours, Some(number), "{name}");
    }
}

#[test]
fn errnos_and_signals_agree_with_libc() {
    for (name, number) in [("EPERM", libc::EPERM), ("ENOSYS", libc::ENOSYS), ("EHWPOISON", libc::EHWPOISON)] {
        assert_eq!(errno::by_name(name), Some(number));
    }
    let numbers = [libc::SIGHUP, libc::SIGKILL, libc::SIGCHLD, libc::SIGXCPU, libc::SIGXFSZ, libc::SIGSYS];
    let names = ["SIGHUP", "SIGKILL", "SIGCHLD", "SIGXCPU", "SIGXFSZ", "SIGSYS"];
    for (number, name) in numbers.into_iter().zip(names) {
        assert_eq!(signal::name(number).as_deref(), Some(name));
    }
}
