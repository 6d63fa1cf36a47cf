//! x86_64: number in rax, arguments in rdi, rsi, rdx, r10, r8, r9; rcx and r11 are lost.

use core::arch::asm;
use core::ffi::c_void;

/// The system call instruction.
///
/// # Safety
/// The caller answers for what the system call does with its arguments.
#[inline(always)]
pub(crate) unsafe fn syscall6(nr: usize, a: [usize; 6]) -> isize {
    let ret: isize;
    // SAFETY: the register convention of syscall(2); the caller answers for the arguments.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr as isize => ret,
            in("rdi") a[0],
            in("rsi") a[1],
            in("rdx") a[2],
            in("r10") a[3],
            in("r8") a[4],
            in("r9") a[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    ret
}

/// `clone` or `clone3` with a stack of its own: the child calls `entry(arg)` on the new stack and never
/// returns here, so nothing of the caller's frame is used by two tasks.
///
/// # Safety
/// `nr` is a clone call whose child starts on a 16-byte aligned stack large enough for `entry`.
#[inline(never)]
pub(crate) unsafe fn clone_call(
    nr: usize,
    a: [usize; 5],
    entry: extern "C" fn(*mut c_void) -> !,
    arg: *mut c_void,
) -> isize {
    let ret: isize;
    // SAFETY: the parent falls through to label 2; the child has rax = 0 and jumps into `entry`, which never returns.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") nr as isize => ret,
            in("rdi") a[0],
            in("rsi") a[1],
            in("rdx") a[2],
            in("r10") a[3],
            in("r8") a[4],
            in("r12") entry,
            in("r13") arg,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    ret
}
