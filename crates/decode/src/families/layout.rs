//! The structures against the kernel's headers: each field lies where a C compiler puts it, for callers of both word sizes.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use super::{
    fcntl, files, futex, ioctl, ipc, kernel, mount, perf, plain, process, sched, security, signal, stat, time, wait,
};
use crate::kind::{Kind, Record};

/// A structure of ours, its name in C, and the header that has it. Fields that older headers lack, and those that C calls otherwise, are excepted.
type Line = (Record, &'static str, &'static str, &'static [&'static str]);

/// The same description for both word sizes.
#[rustfmt::skip]
const BOTH: &[Line] = &[
    (stat::STATX, "struct statx", "linux/stat.h", &["stx_subvol", "stx_dio_mem_align", "stx_dio_offset_align"]),
    (stat::STATFS, "struct statfs", "asm/statfs.h", &[]),
    (fcntl::FLOCK, "struct flock", "linux/fcntl.h", &[]),
    (fcntl::OWNER, "struct f_owner_ex", "linux/fcntl.h", &[]),
    (plain::SYSINFO, "struct sysinfo", "linux/sysinfo.h", &[]),
    (sched::ATTR, "struct sched_attr", "linux/sched/types.h", &[]),
    (ipc::MQ_ATTR, "struct mq_attr", "linux/mqueue.h", &[]),
    (ipc::SEMBUF, "struct sembuf", "linux/sem.h", &[]),
    (ioctl::WINSIZE, "struct winsize", "asm/termios.h", &[]),
    (ioctl::TERMIOS, "struct termios", "asm/termbits.h", &[]),
    (ioctl::SECCOMP_NOTIF_RESP, "struct seccomp_notif_resp", "linux/seccomp.h", &[]),
    (ioctl::FILE_CLONE_RANGE, "struct file_clone_range", "linux/fs.h", &[]),
    (kernel::URING_PARAMS, "struct io_uring_params", "linux/io_uring.h", &[]),
    (kernel::SQ_OFFSETS, "struct io_sqring_offsets", "linux/io_uring.h", &["user_addr"]),
    (kernel::CQ_OFFSETS, "struct io_cqring_offsets", "linux/io_uring.h", &["user_addr"]),
    (kernel::IOCB, "struct iocb", "linux/aio_abi.h", &[]),
    (kernel::EVENT, "struct io_event", "linux/aio_abi.h", &[]),
    (perf::MAP_CREATE, "union bpf_attr", "linux/bpf.h", &[]),
    (perf::PROG_LOAD, "union bpf_attr", "linux/bpf.h", &[]),
    (perf::OBJECT_PATH, "union bpf_attr", "linux/bpf.h", &[]),
    (security::RULESET, "struct landlock_ruleset_attr", "linux/landlock.h", &["handled_access_net", "scoped"]),
    (security::SIZES, "struct seccomp_notif_sizes", "linux/seccomp.h", &[]),
    (security::FILTER, "struct sock_fprog", "linux/filter.h", &[]),
    (mount::SETATTR, "struct mount_attr", "linux/mount.h", &[]),
    (futex::WAITV, "struct futex_waitv", "linux/futex.h", &[]),
    (futex::ROBUST_LIST, "struct robust_list_head", "linux/futex.h", &[]),
    (process::CLONE_ARGS, "struct clone_args", "linux/sched.h", &[]),
    (time::TIMEX, "struct timex", "linux/timex.h", &[]),
    (time::ITIMERVAL, "struct itimerval", "linux/time.h", &[]),
    (wait::RUSAGE, "struct rusage", "linux/resource.h", &[]),
    (files::OPEN_HOW, "struct open_how", "linux/openat2.h", &[]),
];

/// What only a 64-bit caller has in this shape.
#[rustfmt::skip]
const WIDE: &[Line] = &[
    (stat::STAT_X86_64, "struct stat", "asm/stat.h", &[]),
    (ipc::MSQID, "struct msqid64_ds", "linux/msg.h", &["msg_lspid", "msg_lrpid"]),
    (ipc::SHMID, "struct shmid64_ds", "linux/shm.h", &[]),
    (ipc::SEMID, "struct semid64_ds", "linux/sem.h", &[]),
    (time::TMS, "struct tms", "linux/times.h", &[]),
    (kernel::SEGMENT, "struct kexec_segment", "linux/kexec.h", &[]),
];

#[rustfmt::skip]
const NARROW: &[Line] = &[
    (stat::STAT64, "struct stat64", "asm/stat.h", &[]),
    (stat::STAT32, "struct stat", "asm/stat.h", &[]),
    (stat::STATFS64, "struct statfs64", "asm/statfs.h", &[]),
    (fcntl::FLOCK64, "struct flock64", "linux/fcntl.h", &[]),
];

/// Where the fields lie by our own rules.
fn offsets(record: Record, word: usize, aligned: bool) -> Vec<(&'static str, usize)> {
    let (mut at, mut found) = (0_usize, Vec::new());
    for &(name, kind) in record {
        let (size, align) = kind.layout(word, aligned);
        at = at.next_multiple_of(align);
        if !matches!(kind, Kind::Skip(_) | Kind::SkipLong(_)) {
            found.push((name, at));
        }
        at += size;
    }
    found
}

/// What a compiler has to say against a text.
fn complaints(flag: &str, text: &str) -> Option<String> {
    let folder = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let args = ["-fsyntax-only", "-w", flag, &folder, "-x", "c", "-"];
    let mut run = Command::new("gcc")
        .args(args)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .ok()?;
    run.stdin.take()?.write_all(text.as_bytes()).ok()?;
    Some(String::from_utf8_lossy(&run.wait_with_output().ok()?.stderr).into_owned())
}

/// How many of them were compared.
fn check(lines: &[Line], flag: &str, word: usize, aligned: bool) -> usize {
    let mut compared = 0;
    for (record, name, header, except) in lines {
        let head =
            format!("#include <stddef.h>\n#include <linux/types.h>\n#include <linux/time.h>\n#include <{header}>\n");
        match complaints(flag, &format!("{head}static {name} one;\nint size = sizeof(one);\n")) {
            Some(fault) if fault.is_empty() => {}
            _ => {
                println!("not compared: {name} with {flag}: no gcc, or no such header");
                continue;
            }
        }
        let mut text = head;
        for (field, at) in offsets(record, word, aligned).into_iter().filter(|(field, _)| !except.contains(field)) {
            text += &format!("_Static_assert(offsetof({name}, {field}) == {at}, \"{field} is not at {at}\");\n");
        }
        let fault = complaints(flag, &text).expect("gcc ran a moment ago");
        assert!(fault.is_empty(), "{name} with {flag}:\n{fault}");
        compared += 1;
    }
    compared
}

#[test]
#[cfg(target_arch = "x86_64")]
fn structures_lie_as_in_c() {
    if check(BOTH, "-m64", 8, true) + check(WIDE, "-m64", 8, true) == 0 {
        tipstaff_testkit::skip!("no gcc, or no kernel headers");
    }
    // The rest of what is imported here has names of its own in C.
    assert_eq!(
        offsets(signal::SIGACTION, 8, true),
        [("sa_handler", 0), ("sa_flags", 8), ("sa_restorer", 16), ("sa_mask", 24)]
    );
    assert_eq!(offsets(signal::STACK, 8, true), [("ss_sp", 0), ("ss_flags", 8), ("ss_size", 16)]);
    assert_eq!(offsets(files::UTIMBUF, 4, false), [("actime", 0), ("modtime", 4)]);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn structures_of_32_bits_lie_as_in_c() {
    if check(BOTH, "-m32", 4, false) + check(NARROW, "-m32", 4, false) == 0 {
        tipstaff_testkit::skip!("no gcc that knows -m32, or no headers for it");
    }
}
