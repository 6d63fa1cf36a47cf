//! The kernel's own answer. A filter cannot be taken off again, so each is tried in a child that ends with it.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeMap;

use tipstaff_abi::{Arch, Sysno};
use tipstaff_seccomp::{Action, Condition, Filter, Op, Program, Rule, Table};

/// Signals that end a child are told as 256 + signal.
const SIGNALED: i32 = 256;

fn nr(name: &str) -> Sysno {
    Sysno::by_name(Arch::X86_64, name).expect("a call")
}

fn filter(rules: &[(&str, Rule)]) -> Filter {
    let mut table =
        Table { arch: Arch::X86_64, rules: BTreeMap::new(), default: Action::Allow, unknown: Action::Errno(38) };
    for (name, rule) in rules {
        table.push(nr(name), rule.clone());
    }
    Filter { tables: vec![table], foreign: Action::Errno(77) }
}

fn when(condition: Condition, action: Action) -> Rule {
    Rule { conditions: vec![condition], action }
}

/// Runs `body` in a child under the program, and answers its exit status. `body` may only make system calls: the child
/// is a copy of one thread of a threaded process.
fn under(program: &Program, body: fn() -> i32) -> i32 {
    // `struct sock_filter` is eight bytes in this order, as `Insn` is.
    let insns: Vec<libc::sock_filter> =
        program.insns().iter().map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();
    let fprog = libc::sock_fprog { len: u16::try_from(insns.len()).expect("fits"), filter: insns.as_ptr().cast_mut() };
    // SAFETY: the child only makes system calls until _exit; what they point to was made before and lives in its copy.
    unsafe {
        match libc::fork() {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => {
                let set = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                    && libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const fprog) == 0;
                libc::_exit(if set { body() } else { 99 });
            }
            child => {
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { SIGNALED + libc::WTERMSIG(status) }
            }
        }
    }
}

/// A call's errno, 0 if it succeeded.
fn errno(number: i64, args: [u64; 3]) -> i32 {
    // SAFETY: the tests only make calls that take no pointers, or whose pointers are null.
    let result = unsafe { libc::syscall(number, args[0], args[1], args[2]) };
    // SAFETY: the address of this thread's errno is always valid.
    if result == -1 { unsafe { *libc::__errno_location() } } else { 0 }
}

#[test]
fn the_kernel_takes_and_obeys_it() {
    let tiocsti = when(Condition::w32(1, Op::Eq, 0x5412), Action::Errno(55));
    let wide = when(Condition::w64(0, Op::Gt, 1 << 33), Action::Errno(56));
    let program = filter(&[("ioctl", tiocsti), ("getpriority", wide)]).compile().expect("compiles");
    let status = under(&program, || {
        let checks = [
            errno(libc::SYS_ioctl, [u64::MAX, 0x5412, 0]) == 55,
            errno(libc::SYS_ioctl, [u64::MAX, 1 << 32 | 0x5412, 0]) == 55,
            errno(libc::SYS_ioctl, [u64::MAX, 0x5413, 0]) == libc::EBADF,
            errno(libc::SYS_getpriority, [1 << 33, 0, 0]) != 56,
            errno(libc::SYS_getpriority, [1 << 33 | 1, 0, 0]) == 56,
            errno(libc::SYS_getpid, [0; 3]) == 0,
            errno(600, [0; 3]) == libc::ENOSYS,
            errno(-1, [0; 3]) == libc::ENOSYS,
            errno(0x4000_0000 | libc::SYS_getpid, [0; 3]) == 77,
        ];
        // The first check that failed.
        checks.iter().position(|&held| !held).map_or(0, |at| 1 + at as i32)
    });
    assert_eq!(status, 0);
}

#[test]
fn the_kernel_kills_by_sigsys() {
    let program = filter(&[("ptrace", Rule::always(Action::KillProcess))]).compile().expect("compiles");
    let status = under(&program, || errno(libc::SYS_ptrace, [99, 0, 0]));
    assert_eq!(status, SIGNALED + libc::SIGSYS);
    // The control: the same child lives if the rule is off.
    let program = filter(&[]).compile().expect("compiles");
    assert!(under(&program, || errno(libc::SYS_ptrace, [99, 0, 0])) < SIGNALED);
}

#[test]
fn the_kernel_takes_the_largest_programs() {
    let mut filter = filter(&[]);
    let mut largest = None;
    for at in 0_u32.. {
        let rule = when(Condition::w32(1, Op::Eq, at * 3), Action::Errno((at % 500) as u16));
        filter.tables[0].push(Sysno(at % 300), rule);
        if at % 100 == 0 {
            match filter.compile() {
                Ok(program) => largest = Some(program),
                Err(_) => break,
            }
        }
    }
    let largest = largest.expect("at least one");
    assert!(largest.len() > 3_800, "{}", largest.len());
    assert_eq!(under(&largest, || 0), 0);
}
