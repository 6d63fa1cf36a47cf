//! Somebody waits in RECV at nearly every moment.
//!
//! Between a call and its RECV a signal ends the wait, and the caller gets EINTR, also from calls that never return it natively (fork(2)). That time is short only if
//! somebody is in RECV when the call is made. Nearly all calls are dealt with in a microsecond, and the thread that has received one deals with it at once: another
//! one would cost a wake-up for each. What takes longer, since proc(5) has to be read, is left to a second thread; and what comes meanwhile waits behind it,
//! received and so killable.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use tipstaff_notify::{Listener, Next, Notification};

use super::watch::Watch;
use super::{Flags, is_ready};
use crate::process;

/// Who computes for so long makes his next call after the signal.
const SETTLED: Duration = Duration::from_millis(10);

/// The two threads.
pub(super) struct Receivers {
    work: Arc<Work>,
    /// How many have not been told to have ended.
    left: usize,
}

struct Work {
    listener: Listener,
    flags: Arc<Flags>,
    desk: Mutex<Desk>,
    /// There is work on the desk.
    work: Condvar,
    watch: Mutex<Watch>,
    /// Threads that have ended, and how.
    ends: Mutex<Vec<io::Result<()>>>,
    /// Readable when there is one.
    news: OwnedFd,
}

/// What has been received and not been dealt with.
#[derive(Default)]
struct Desk {
    /// The second thread is at work, or called.
    busy: bool,
    waiting: VecDeque<Received>,
    over: bool,
}

enum Received {
    Call(Notification),
    /// A call that was gone already.
    Lost,
}

impl Receivers {
    pub(super) fn start(listener: Listener, watch: Watch, flags: Arc<Flags>) -> io::Result<Self> {
        let work = Arc::new(Work {
            listener,
            flags,
            desk: Mutex::default(),
            work: Condvar::new(),
            watch: Mutex::new(watch),
            ends: Mutex::default(),
            news: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        run(&work, "receiver", Work::receive)?;
        run(&work, "worker", Work::work)?;
        Ok(Self { work, left: 2 })
    }

    /// Readable when a thread has ended.
    pub(super) fn news(&self) -> BorrowedFd<'_> {
        self.work.news.as_fd()
    }

    /// They have ended since the last task has. Err: one of them cannot go on; nobody answers calls any more once this has been dropped.
    pub(super) fn ended(&mut self) -> io::Result<bool> {
        let _ = rustix::io::read(&self.work.news, &mut [0; 8]);
        for end in self.work.ends.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            end?;
            self.left -= 1;
        }
        Ok(self.left == 0)
    }

    pub(super) fn watch(&self) -> MutexGuard<'_, Watch> {
        self.work.watch()
    }
}

fn run(work: &Arc<Work>, name: &str, run: fn(&Work) -> io::Result<()>) -> io::Result<()> {
    let work = Arc::clone(work);
    let body = move || {
        let mut end = End { work: &work, how: Err(io::Error::other("a thread has panicked")) };
        end.how = run(&work);
    };
    Builder::new().name(name.into()).spawn(body).map(drop)
}

impl Work {
    /// The first thread.
    fn receive(&self) -> io::Result<()> {
        let _over = Over(self);
        loop {
            let received = match self.listener.wait_for_any()? {
                Next::Call(call) => Received::Call(call),
                Next::Nothing => Received::Lost,
                Next::Ended => return Ok(()),
            };
            let mut desk = self.desk();
            if desk.busy {
                desk.waiting.push_back(received);
                continue;
            }
            // Nobody is at work, and nobody else begins.
            drop(desk);
            let mut watch = self.watch();
            match received {
                Received::Call(call) if watch.is_quick(&call) && !self.flags.stopping.load(SeqCst) => {
                    watch.called(call)
                }
                slow => {
                    let mut desk = self.desk();
                    desk.busy = true;
                    desk.waiting.push_back(slow);
                    self.work.notify_one();
                }
            }
        }
    }

    /// The second one.
    fn work(&self) -> io::Result<()> {
        let mut desk = self.desk();
        loop {
            let Some(received) = desk.waiting.pop_front() else {
                desk.busy = false;
                if desk.over {
                    return Ok(());
                }
                desk = self.work.wait(desk).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(desk);
            self.deal_with(received);
            desk = self.desk();
        }
    }

    fn deal_with(&self, received: Received) {
        let mut watch = self.watch();
        match received {
            // It is being killed: no code of it runs any more.
            Received::Call(call) if self.flags.stopping.load(SeqCst) => {
                if let Some(tid) = call.pid() {
                    watch.process_of(tid.cast_signed());
                    watch.kill_all();
                }
                call.leave_to_die();
            }
            Received::Call(call) => {
                if let Some(parent) = watch.told_of(&call) {
                    self.settle(parent);
                }
                watch.called(call);
            }
            Received::Lost => watch.lost(),
        }
    }

    /// Waits until a process can be signalled without harm: its call has been received, or it is blocked in one that was let go on.
    fn settle(&self, pid: i32) {
        let until = Instant::now() + SETTLED;
        while Instant::now() < until {
            let of = |received: &Received| matches!(received, Received::Call(call) if call.pid() == Some(pid.cast_unsigned()));
            let blocked = || !is_ready(&self.listener) && process::is_blocked(pid);
            if self.desk().waiting.iter().any(of) || blocked() {
                return;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing more will be received.
struct Over<'a>(&'a Work);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.desk().over = true;
        self.0.work.notify_one();
    }
}

/// Tells of a thread's end, however it comes.
struct End<'a> {
    work: &'a Work,
    how: io::Result<()>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let how = std::mem::replace(&mut self.how, Ok(()));
        self.work.ends.lock().unwrap_or_else(PoisonError::into_inner).push(how);
        // It cannot be full.
        let _ = rustix::io::write(&self.work.news, &1u64.to_ne_bytes());
    }
}
