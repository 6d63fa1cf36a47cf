//! process_vm_readv(2), process_vm_writev(2). The address is the other process's: it is never used here but passed on, so a
//! wrong one is EFAULT and nothing worse.

use crate::raw::{Errno, addr, call};

fn transfer(nr: libc::c_long, tid: i32, address: u64, local: *mut u8, len: usize) -> Result<usize, Errno> {
    let here = libc::iovec { iov_base: local.cast(), iov_len: len };
    let there = libc::iovec { iov_base: core::ptr::without_provenance_mut(address as usize), iov_len: len };
    // SAFETY: `local` is a live buffer of `len` bytes, which the kernel writes (readv) or reads (writev).
    unsafe { call(nr, [tid as usize, addr(&here), 1, addr(&there), 1, 0]) }
}

/// Reads from a process's memory into a buffer and returns how many bytes were read, fewer where a page behind the first could not
/// be. EFAULT: not even the first byte; ESRCH; EPERM. Pages without PROT_READ cannot be read.
pub fn read(tid: i32, address: u64, into: &mut [u8]) -> Result<usize, Errno> {
    transfer(libc::SYS_process_vm_readv, tid, address, into.as_mut_ptr(), into.len())
}

/// Writes into a process's memory and returns how many bytes were written. Pages without PROT_WRITE are EFAULT.
pub fn write(tid: i32, address: u64, bytes: &[u8]) -> Result<usize, Errno> {
    transfer(libc::SYS_process_vm_writev, tid, address, bytes.as_ptr().cast_mut(), bytes.len())
}
