//! A child that does nothing, so that wait4(2) can be ended from anywhere: killing it is a change that the wait reports.
//!
//! A blocking wait for tracees cannot be combined with poll(2), and a signal handler that interrupts it can come a moment before
//! it. A child's end cannot be missed: it stays a zombie until the wait has told it.

use core::ffi::c_void;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::raw::{Errno, call};
use crate::shared::{Arena, CloneSpec, clone_vm};
use crate::{ids, pidfd, wait};

extern "C" fn main(parent: *mut c_void) -> ! {
    // SAFETY: integers and null pointers. The descriptors are copies of this process's own: closing them ends nothing of the host's.
    unsafe {
        let _ = call(libc::SYS_close_range, [0, u32::MAX as usize, 0, 0, 0, 0]);
        // The parent is a thread here: prctl(2), PR_SET_PDEATHSIG.
        let _ = call(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize, 0, 0, 0, 0]);
        if call(libc::SYS_getppid, [0; 6]) == Ok(parent.addr()) {
            // Every signal is blocked, so this lasts until SIGKILL.
            while call(libc::SYS_ppoll, [0; 6]).is_err() {}
        }
        loop {
            let _ = call(libc::SYS_exit_group, [0; 6]);
        }
    }
}

/// The child, owned by the thread that waits.
#[derive(Debug)]
pub struct Waker {
    pid: i32,
    pidfd: Arc<OwnedFd>,
    _arena: Arena,
}

/// Ends the wait: any thread, any signal handler, any number of times.
#[derive(Clone, Debug)]
pub struct Wake(Arc<OwnedFd>);

impl Waker {
    /// A new child of the calling thread; it ends with that thread.
    pub fn new() -> Result<Self, Errno> {
        let arena = Arena::new()?;
        let parent = core::ptr::without_provenance_mut(ids::pid() as usize);
        // SAFETY: the arena is kept until the child is reaped (`drop`); the argument is a number.
        let (pid, pidfd) = unsafe { clone_vm(&CloneSpec::default(), &arena, 0, main, parent)? };
        Ok(Self { pid, pidfd: Arc::new(pidfd), _arena: arena })
    }

    /// The process id that the wait will tell.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What ends the wait.
    pub fn wake(&self) -> Wake {
        Wake(Arc::clone(&self.pidfd))
    }
}

impl Wake {
    /// Makes the wait return, now or when it is next entered. One system call; safe in a signal handler.
    pub fn wake(&self) {
        let _ = pidfd::send_signal(self.0.as_fd(), libc::SIGKILL);
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        // ESRCH: the wait has reaped it already.
        if pidfd::send_signal(self.pidfd.as_fd(), libc::SIGKILL).is_ok() {
            let _ = wait::tracee(self.pid, None);
        }
    }
}
