//! kcmp(2).

use crate::raw::{Errno, call};

/// Whether two processes share their memory (CLONE_VM). EPERM: the caller may not look at one of them; ENOSYS: a kernel without
/// CONFIG_KCMP; ESRCH: one is gone.
pub fn same_memory(one: i32, other: i32) -> Result<bool, Errno> {
    const KCMP_VM: usize = 1;
    // SAFETY: no pointers.
    let order = unsafe { call(libc::SYS_kcmp, [one as usize, other as usize, KCMP_VM, 0, 0, 0])? };
    Ok(order == 0)
}

/// Whether two descriptors of ours are one open file (dup(2)). Errors as [`same_memory`]; EBADF.
pub fn same_file(one: i32, other: i32) -> Result<bool, Errno> {
    const KCMP_FILE: usize = 0;
    let me = crate::ids::pid() as usize;
    // SAFETY: no pointers.
    let order = unsafe { call(libc::SYS_kcmp, [me, me, KCMP_FILE, one as usize, other as usize, 0])? };
    Ok(order == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_file_and_a_second_opening_is_not() {
        use std::os::fd::AsRawFd;
        let [one, other] = [(); 2].map(|()| std::fs::File::open("/dev/null").expect("/dev/null"));
        let copy = one.try_clone().expect("dup");
        if same_file(one.as_raw_fd(), one.as_raw_fd()) == Err(Errno::NOSYS) {
            return;
        }
        assert_eq!(same_file(one.as_raw_fd(), copy.as_raw_fd()), Ok(true));
        assert_eq!(same_file(one.as_raw_fd(), other.as_raw_fd()), Ok(false));
    }

    #[test]
    fn a_process_shares_its_memory_with_itself_and_not_with_a_child() {
        let me = std::process::id().cast_signed();
        if same_memory(me, me) == Err(Errno::NOSYS) {
            return;
        }
        assert_eq!(same_memory(me, me), Ok(true));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        assert_eq!(same_memory(me, child.id().cast_signed()), Ok(false));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        assert_eq!(same_memory(me, i32::MAX), Err(Errno::SRCH));
    }
}
