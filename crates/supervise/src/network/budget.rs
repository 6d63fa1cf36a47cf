//! What one box may make the supervisor hold for its calls that wait: descriptors, bytes, calls.
//!
//! A guest chooses how much a message carries and for how long nobody takes it. All of it is asked for before it is copied, and given back when
//! the job that holds it is dropped.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tipstaff_abi::errno::ENOBUFS;
use tipstaff_sys::rlimit;

/// Calls on their way at the same time.
const JOBS: usize = 64;
/// The socket, and the caller.
const OF_A_JOB: usize = 2;
/// Most descriptors that are held: one message with SCM_MAX_FD of them, its socket and its caller are 255.
const DESCRIPTORS: usize = 256;
/// Bytes of data and control messages.
const BYTES: usize = 4 << 20;

/// What is left of one box's budget.
pub(super) struct Budget(Mutex<Left>);

struct Left {
    jobs: usize,
    descriptors: usize,
    bytes: usize,
}

/// What one job has of it.
pub(super) struct Share {
    budget: Arc<Budget>,
    descriptors: Cell<usize>,
    bytes: Cell<usize>,
}

impl Budget {
    /// A quarter of the descriptors that this process may have, at most: what else it does for the box needs some as well.
    pub fn new() -> Self {
        let own = rlimit::get(rlimit::RLIMIT_NOFILE).map_or(DESCRIPTORS as u64, |(soft, _)| soft / 4);
        Self::of(JOBS, usize::try_from(own).unwrap_or(DESCRIPTORS).min(DESCRIPTORS), BYTES)
    }

    fn of(jobs: usize, descriptors: usize, bytes: usize) -> Self {
        Self(Mutex::new(Left { jobs, descriptors, bytes }))
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The share of one more job. Err: ENOBUFS.
    pub fn job(self: &Arc<Self>) -> Result<Share, u16> {
        let mut left = self.lock();
        left.jobs = left.jobs.checked_sub(1).ok_or(ENOBUFS)?;
        drop(left);
        let share = Share { budget: Arc::clone(self), descriptors: Cell::new(0), bytes: Cell::new(0) };
        share.descriptors(OF_A_JOB)?;
        Ok(share)
    }
}

impl Share {
    /// So many more descriptors. Err: ENOBUFS, as of sendmsg(2).
    pub fn descriptors(&self, count: usize) -> Result<(), u16> {
        let mut left = self.budget.lock();
        left.descriptors = left.descriptors.checked_sub(count).ok_or(ENOBUFS)?;
        self.descriptors.set(self.descriptors.get() + count);
        Ok(())
    }

    /// So many more bytes. Err: ENOBUFS.
    pub fn bytes(&self, count: usize) -> Result<(), u16> {
        if self.bytes_up_to(count)? == count { Ok(()) } else { Err(ENOBUFS) }
    }

    /// So many more bytes, or those that are left, if any are. How many. Err: ENOBUFS.
    pub fn bytes_up_to(&self, count: usize) -> Result<usize, u16> {
        let mut left = self.budget.lock();
        let given = count.min(left.bytes);
        if given == 0 && count > 0 {
            return Err(ENOBUFS);
        }
        left.bytes -= given;
        self.bytes.set(self.bytes.get() + given);
        Ok(given)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut left = self.budget.lock();
        left.jobs += 1;
        left.descriptors += self.descriptors.get();
        left.bytes += self.bytes.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back_with_the_job() {
        let budget = Arc::new(Budget::of(2, 8, 100));
        let first = budget.job().expect("room");
        let second = budget.job().expect("room");
        assert_eq!(budget.job().err(), Some(ENOBUFS), "two jobs");
        assert_eq!(first.descriptors(5), Err(ENOBUFS));
        assert_eq!((first.descriptors(4), second.descriptors(1)), (Ok(()), Err(ENOBUFS)));
        assert_eq!((first.bytes(60), second.bytes_up_to(60), second.bytes_up_to(1)), (Ok(()), Ok(40), Err(ENOBUFS)));
        assert_eq!(second.bytes_up_to(0), Ok(0), "nothing is always there");
        drop(first);
        let third = budget.job().expect("its place");
        assert_eq!((third.descriptors(2), third.bytes(60)), (Ok(()), Ok(())));
        drop((second, third));
        let left = budget.lock();
        assert_eq!((left.jobs, left.descriptors, left.bytes), (2, 8, 100));
    }

    #[test]
    fn a_refused_job_costs_nothing() {
        let budget = Arc::new(Budget::of(2, 1, 0));
        assert_eq!(budget.job().err(), Some(ENOBUFS));
        let left = budget.lock();
        assert_eq!((left.jobs, left.descriptors), (2, 1));
    }
}
