//! Stand-ins: processes that wait in a seccomp listener for calls which wait elsewhere.
//!
//! A filter cannot be changed once it is installed, so whoever wants to serve a listener for the calls of others, chosen call by call, gives away the listener of a thread of his own:
//! [`listen`]. Each call that is to be told there has a process that makes a call of that thread's filter: [`StandIn`]. What the listener's owner does is then the
//! kernel's own business: RECV, SEND, ID_VALID, poll(2), and every error (seccomp_unotify(2)).
//!
//! A stand-in shares our memory ([`crate::shared`]), and has no descriptors: whatever is put into its table (SECCOMP_IOCTL_NOTIF_ADDFD) is put nowhere.

use core::ffi::c_void;
use core::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tipstaff_abi::bpf::{self, BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, Insn, SeccompData};

use crate::raw::{Errno, addr, call};
use crate::seccomp::{self, Wait};
use crate::shared::{Arena, CloneSpec, clone_vm};
use crate::{ids, pidfd, wait};

/// The call that stands for others: it writes to its caller's memory where the kernel makes it, so its caller knows.
pub const CALL: u32 = libc::SYS_sched_rr_get_interval as u32;
/// No time that the kernel gives.
const UNTOUCHED: i64 = i64::MIN;

/// Puts the calling thread, and all that it makes from now on, under a filter that notifies one call that nobody makes otherwise, and returns the listener,
/// close-on-exec. Not to be undone: for a thread that does nothing else. EBUSY: a listener is in the chain of its filters already.
pub fn listen() -> Result<OwnedFd, Errno> {
    let program = [
        Insn::new(BPF_LD | BPF_W | BPF_ABS, SeccompData::NR),
        Insn::jump(BPF_JMP | BPF_JEQ, CALL, 0, 1),
        Insn::new(BPF_RET | BPF_K, bpf::SECCOMP_RET_USER_NOTIF),
        Insn::new(BPF_RET | BPF_K, bpf::SECCOMP_RET_ALLOW),
    ];
    // SAFETY: prctl with integers; of this thread alone.
    unsafe { call(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0, 0])? };
    let fd = seccomp::install(&program, Some(Wait::Interruptible))?.unwrap_or(-1);
    // SAFETY: a new descriptor of ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What the call of a stand-in has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This value, or negated errno. -ENOSYS also where nobody has the listener any more.
    Value(i64),
    /// SECCOMP_USER_NOTIF_FLAG_CONTINUE.
    Continue,
}

struct Job {
    parent: i32,
    ticket: u64,
    time: [AtomicI64; 2],
    value: AtomicI64,
}

/// A process whose call waits in the listener of the thread that has made it.
#[derive(Debug)]
pub struct StandIn {
    pidfd: OwnedFd,
    job: *const Job,
    ended: bool,
    _arena: Arena,
}

// SAFETY: the job is never changed but by atomic operations, and freed by the one owner.
unsafe impl Send for StandIn {}

extern "C" fn main(job: *mut c_void) -> ! {
    // SAFETY: the job of `StandIn::new`, which is freed when this process has ended. The descriptors are copies of this process's own.
    unsafe {
        let job = &*job.cast::<Job>();
        let _ = call(libc::SYS_close_range, [0, u32::MAX as usize, 0, 0, 0, 0]);
        // The parent is a thread here: prctl(2), PR_SET_PDEATHSIG.
        let _ = call(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize, 0, 0, 0, 0]);
        if call(libc::SYS_getppid, [0; 6]) == Ok(job.parent as usize) {
            let value = match call(libc::c_long::from(CALL), [0, addr(&job.time), job.ticket as usize, 0, 0, 0]) {
                Ok(value) => value as i64,
                Err(e) => -i64::from(e.0),
            };
            job.value.store(value, SeqCst);
        }
        loop {
            let _ = call(libc::SYS_exit_group, [0; 6]);
        }
    }
}

impl StandIn {
    /// Made by a thread that [listens](listen), and ends with that thread. `ticket` is the third argument word of what is received.
    pub fn new(ticket: u64) -> Result<Self, Errno> {
        let arena = Arena::new()?;
        let time = [AtomicI64::new(UNTOUCHED), AtomicI64::new(UNTOUCHED)];
        let job = Box::into_raw(Box::new(Job { parent: ids::pid(), ticket, time, value: AtomicI64::new(i64::MIN) }));
        // SAFETY: arena and job are kept until the child is reaped (`drop`).
        match unsafe { clone_vm(&CloneSpec::default(), &arena, 0, main, job.cast()) } {
            Ok((_, pidfd)) => Ok(Self { pidfd, job, ended: false, _arena: arena }),
            Err(e) => {
                // SAFETY: nobody has got it.
                drop(unsafe { Box::from_raw(job) });
                Err(e)
            }
        }
    }

    /// Readable when its call has returned.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Whether its call has returned, within some milliseconds.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let soon = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&soon)).is_ok_and(|n| n > 0)
    }

    /// Waits until its call has returned. None: it was killed.
    pub fn finish(mut self) -> Option<Answer> {
        self.end();
        // SAFETY: it is freed in `drop` alone.
        let job = unsafe { &*self.job };
        match (job.value.load(SeqCst), job.time[0].load(SeqCst)) {
            (i64::MIN, _) => None,
            (value, UNTOUCHED) => Some(Answer::Value(value)),
            _ => Some(Answer::Continue),
        }
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            while wait::reap(self.pidfd.as_fd(), true) == Ok(None) {}
        }
    }
}

impl Drop for StandIn {
    /// Its call is withdrawn: nobody finds it in the listener afterwards.
    fn drop(&mut self) {
        if !self.ended {
            // ESRCH: it has ended.
            let _ = pidfd::send_signal(self.pidfd.as_fd(), libc::SIGKILL);
            self.end();
        }
        // SAFETY: from `Box::into_raw`, and the child has ended.
        drop(unsafe { Box::from_raw(self.job.cast_mut()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::{FLAG_CONTINUE, NotifResp, notif_recv, notif_send};

    /// In a thread of its own, since the filter stays.
    fn listening(test: fn(OwnedFd)) {
        let run = move || match listen() {
            Ok(listener) => test(listener),
            Err(e) => eprintln!("skipped: no listener can be had ({e})"),
        };
        std::thread::spawn(run).join().expect("the test");
    }

    #[test]
    fn an_answer_is_told_from_a_call_that_is_made() {
        listening(|listener| {
            let answers = [(7, 0, 0, Answer::Value(7)), (0, 0, 0, Answer::Value(0)), (0, -13, 0, Answer::Value(-13))];
            for (val, error, flags, expected) in
                [answers.as_slice(), &[(0, 0, FLAG_CONTINUE, Answer::Continue)]].concat()
            {
                let stand_in = StandIn::new(42).expect("a process");
                let got = notif_recv(listener.as_fd()).expect("its call");
                assert_eq!(got.data.args[2], 42);
                notif_send(listener.as_fd(), &NotifResp { id: got.id, val, error, flags }).expect("an answer");
                assert_eq!(stand_in.finish(), Some(expected));
            }
        });
    }

    #[test]
    fn one_that_goes_leaves_nothing_and_one_without_a_listener_gets_enosys() {
        listening(|listener| {
            let stand_in = StandIn::new(1).expect("a process");
            let id = notif_recv(listener.as_fd()).expect("its call").id;
            assert!(seccomp::notif_id_valid(listener.as_fd(), id), "it waits");
            drop(stand_in);
            assert!(!seccomp::notif_id_valid(listener.as_fd(), id), "it is gone");
            let stand_in = StandIn::new(2).expect("a process");
            drop(listener);
            assert_eq!(stand_in.finish(), Some(Answer::Value(-38)));
        });
    }
}
