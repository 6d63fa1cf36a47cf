//! Threads that have made calls, so that handlers hear of their end.
//!
//! Notifications tell nothing of ends. A pidfd of the thread (PIDFD_THREAD, Linux 6.9; of its process before) becomes readable, and keeps its number from being taken for
//! another's meanwhile.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tipstaff_sys::{Errno, pidfd};

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

#[derive(Debug)]
pub(super) struct Threads {
    known: HashMap<i32, OwnedFd>,
    ends: OwnedFd,
}

impl Threads {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { known: HashMap::new(), ends: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Readable when one of them has ended.
    pub fn ends(&self) -> BorrowedFd<'_> {
        self.ends.as_fd()
    }

    /// A thread calls. True: its number was another's, who is gone.
    pub fn meet(&mut self, tid: i32, process: impl FnOnce() -> i32) -> bool {
        let stale = match self.known.get(&tid) {
            Some(fd) => poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&NOW)).is_ok_and(|n| n > 0),
            None => false,
        };
        if stale {
            self.known.remove(&tid);
        }
        if !self.known.contains_key(&tid) {
            let opened = match pidfd::open_thread(tid) {
                Err(Errno::INVAL) => pidfd::open(process()),
                other => other,
            };
            // Without a descriptor to spare its end is not told.
            if let Ok(fd) = opened
                && epoll::add(&self.ends, &fd, EventData::new_u64(tid.cast_unsigned().into()), EventFlags::IN).is_ok()
            {
                self.known.insert(tid, fd);
            }
        }
        stale
    }

    /// Those that have ended since.
    pub fn ended(&mut self) -> Vec<i32> {
        let mut events = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; 64];
        let Ok((ready, _)) = epoll::wait(&self.ends, &mut events, Some(&NOW)) else { return Vec::new() };
        let tids: Vec<i32> = ready.iter().map(|event| event.data.u64() as i32).collect();
        // Closing the descriptor takes it out of the epoll set.
        tids.into_iter().filter(|tid| self.known.remove(tid).is_some()).collect()
    }
}
