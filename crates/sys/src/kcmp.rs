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

#[cfg(test)]
mod tests {
    use super::*;

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
