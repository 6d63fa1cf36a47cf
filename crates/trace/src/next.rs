//! The next change, and zombies that an observer keeps.
//!
//! A wait for any tracee finds a zombie first, again and again. So while one is kept only stops can be waited for like this, and ends are looked for
//! among the tasks that are about to end: without blocking, in ever longer intervals. The kernel offers no wait for "any of these".
//! While a new task's maker has not told of it a wait cannot block either: whether there is still somebody who may tell is looked at in the same intervals.

use std::thread::sleep;
use std::time::Duration;

use tipstaff_sys::Errno;
use tipstaff_sys::wait::{self, Change, Look, Usage};

use crate::observer::Observer;
use crate::{Tracer, task::Task};

/// Between two looks while a zombie is kept and nothing happens.
const SHORTEST: Duration = Duration::from_micros(20);
const LONGEST: Duration = Duration::from_millis(2);

/// A task's next change.
pub(crate) struct Next {
    pub tid: i32,
    pub change: Change,
}

/// Reaps a zombie that was kept, in the tracer's thread, where the tracer itself is not at hand: in a stop. [`Tracer::bury`] is still due.
pub fn reap(tid: i32) {
    // ECHILD: an exec of its process took its number.
    let _ = wait::look(tid, Look::Reap, None);
}

impl Tracer {
    /// Reaps a zombie that was kept. Nothing happens if there is none of this number.
    pub fn bury(&mut self, tid: i32) {
        if self.kept.remove(&tid) {
            reap(tid);
        }
    }

    /// Waits for the next change. None: there is none yet, and the observer lingers.
    pub(crate) fn next(&mut self, observer: &mut dyn Observer, usage: &mut Usage) -> Result<Option<Next>, Errno> {
        let mut pause = SHORTEST;
        loop {
            let keeping = !self.kept.is_empty() || observer.keeping();
            if !keeping && (self.early.is_empty() || observer.lingers()) {
                return self.any(observer.lingers(), usage);
            }
            let peek = self.kept.is_empty() && self.early.is_empty() && !observer.lingers();
            let found = if !keeping {
                if let Some((tid, change)) = wait::any_now(self.config.usage.then_some(&mut *usage))? {
                    return Ok(Some(Next { tid, change }));
                }
                None
            } else if peek {
                wait::look(-1, Look::Next, self.config.usage.then_some(&mut *usage))?
            } else {
                self.look(pause >= LONGEST, usage)?
            };
            match found {
                Some((tid, change @ Change::Ended(_)))
                    if self.tasks.get(tid).is_some_and(|task| observer.keeps(task)) =>
                {
                    self.kept.insert(tid);
                    return Ok(Some(Next { tid, change }));
                }
                Some((tid, change @ Change::Ended(_))) => {
                    reap(tid);
                    return Ok(Some(Next { tid, change }));
                }
                Some((tid, Change::Stopped(_))) if peek => {
                    match wait::look(tid, Look::Stop, None) {
                        Ok(Some((tid, change))) => return Ok(Some(Next { tid, change })),
                        // Killed in between, it is in no stop; and a zombie is nobody to a wait for stops.
                        Ok(None) | Err(Errno::CHILD) => {}
                        Err(errno) => return Err(errno),
                    }
                }
                Some((tid, change)) => return Ok(Some(Next { tid, change })),
                None if observer.lingers() => return Ok(None),
                None => {
                    // Whoever is to tell of a new task has had the time.
                    if pause > SHORTEST && !self.early.is_empty() {
                        self.early.strike_others();
                        self.adopt(observer);
                        if !self.ready.is_empty() {
                            return Ok(None);
                        }
                    }
                    sleep(pause);
                    pause = (pause * 2).min(LONGEST);
                }
            }
        }
    }

    /// Where no zombie is kept. `lingers`: others get the CPU once, and then it is over.
    fn any(&self, lingers: bool, usage: &mut Usage) -> Result<Option<Next>, Errno> {
        if lingers {
            for turn in 0..=1 {
                if turn > 0 {
                    std::thread::yield_now();
                }
                if let Some((tid, change)) = wait::any_now(self.config.usage.then_some(&mut *usage))? {
                    return Ok(Some(Next { tid, change }));
                }
            }
            return Ok(None);
        }
        let (tid, change) = wait::any(self.config.usage.then_some(usage))?;
        Ok(Some(Next { tid, change }))
    }

    pub(crate) fn bury_all(&mut self) {
        while let Some(&tid) = self.kept.first() {
            self.bury(tid);
        }
    }

    /// Stops of anybody, ends of whoever has announced his, and of all others now and then. Stops are told by this.
    fn look(&self, all: bool, usage: &mut Usage) -> Result<Option<(i32, Change)>, Errno> {
        let mut nobody = match wait::look(-1, Look::Stop, self.config.usage.then_some(&mut *usage)) {
            Ok(None) => false,
            // Also where all are zombies.
            Err(Errno::CHILD) => all,
            found => return found,
        };
        let tasks = self.tasks.iter().filter(|task| all || task.exiting).map(Task::tid);
        let strangers = self.early.tids().filter(|_| all).chain(self.waker.as_ref().map(|waker| waker.pid()));
        for tid in tasks.chain(strangers) {
            match wait::look(tid, Look::End, self.config.usage.then_some(&mut *usage)) {
                Ok(None) => nobody = false,
                Err(Errno::CHILD) => {}
                found => return found,
            }
        }
        if nobody { Err(Errno::CHILD) } else { Ok(None) }
    }
}
