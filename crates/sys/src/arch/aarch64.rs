//! aarch64: number in x8, arguments in x0 to x5, result in x0.

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
            "svc 0",
            in("x8") nr,
            inlateout("x0") a[0] as isize => ret,
            in("x1") a[1],
            in("x2") a[2],
            in("x3") a[3],
            in("x4") a[4],
            in("x5") a[5],
            options(nostack),
        );
    }
    ret
}

/// `clone` or `clone3` with a stack of its own: the child calls `entry(arg)` on the new stack and never
/// returns here. The last two arguments of clone(2) are swapped on this architecture (tls before ctid).
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
    let (d, e) = if nr == libc::SYS_clone as usize { (a[4], a[3]) } else { (a[3], a[4]) };
    // SAFETY: the parent falls through to label 2; the child has x0 = 0 and jumps into `entry`, which never returns.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, {arg}",
            "blr {entry}",
            "brk 1",
            "2:",
            in("x8") nr,
            inlateout("x0") a[0] as isize => ret,
            in("x1") a[1],
            in("x2") a[2],
            in("x3") d,
            in("x4") e,
            entry = in(reg) entry,
            arg = in(reg) arg,
        );
    }
    ret
}
