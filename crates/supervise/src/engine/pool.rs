//! Decisions that come later: a few threads that may be slow, and one that knows what time it is.
//!
//! Nothing is started before the first deferral. A full pool, a panic and a deadline all answer with what the handler said for that case.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::handler::{Action, Deferred, Later, Reply, Work, caught};

/// Threads at the start; when all are at work another one is started.
const WORKERS: usize = 4;
/// Threads at most: so much work that does not end can be borne.
const MOST: usize = 32;
/// Waiting for a worker; what comes on top is answered at once.
const QUEUE: usize = 64;

/// A decision that has come.
#[derive(Debug)]
pub(super) struct Answer {
    pub ticket: u64,
    /// Not [`Action::Defer`].
    pub action: Action,
    /// What a panic said.
    pub fault: Option<String>,
}

/// Where answers arrive, and what wakes the tracer up for them. Whoever has an answer puts it here itself: on its way to a caller that waits, each
/// thread that has to be woken counts.
#[derive(Default)]
struct Tray {
    /// Not answered yet.
    open: BTreeMap<u64, Open>,
    answers: Vec<Answer>,
    wake: Option<Wake>,
    /// When the clerk looks next; None: when the bell rings.
    alarm: Option<Instant>,
}

/// A decision that is waited for.
struct Open {
    until: Instant,
    otherwise: Action,
    /// What the report is to say if the deadline comes first.
    late: Option<String>,
}

/// Ends the wait of whoever collects answers.
pub(super) type Wake = Box<dyn FnOnce() + Send>;

pub(super) struct Pool {
    jobs: SyncSender<(u64, Work)>,
    queue: Arc<Mutex<Receiver<(u64, Work)>>>,
    workers: usize,
    /// Work that is waiting or being done.
    busy: Arc<AtomicUsize>,
    /// Wakes the clerk for a deadline that is before its alarm.
    clerk: Sender<()>,
    tray: Arc<Mutex<Tray>>,
    next: u64,
}

impl Pool {
    pub fn start() -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::sync_channel::<(u64, Work)>(QUEUE);
        let (clerk, bell) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let tray = Arc::<Mutex<Tray>>::default();
        let theirs = Arc::clone(&tray);
        thread::Builder::new().name("deadlines".into()).spawn(move || keep_time(&bell, &theirs))?;
        let mut pool = Self { jobs, queue, workers: 0, busy: Arc::default(), clerk, tray, next: 0 };
        for _ in 0..WORKERS {
            pool.hire()?;
        }
        Ok(pool)
    }

    fn hire(&mut self) -> std::io::Result<()> {
        let (queue, tray, busy) = (Arc::clone(&self.queue), Arc::clone(&self.tray), Arc::clone(&self.busy));
        thread::Builder::new().name("deferred".into()).spawn(move || work(&queue, &tray, &busy))?;
        self.workers += 1;
        Ok(())
    }

    /// Hands work to a thread; another one is started if all have some that takes its time.
    fn give(&mut self, ticket: u64, work: Work) -> bool {
        let busy = self.busy.fetch_add(1, SeqCst) + 1;
        if busy > self.workers && self.workers < MOST {
            // Without it the work waits for those that are there.
            let _ = self.hire();
        }
        let given = self.jobs.try_send((ticket, work)).is_ok();
        if !given {
            self.busy.fetch_sub(1, SeqCst);
        }
        given
    }

    /// Takes a decision in hand; its ticket. Err: the pool is full, and this is the answer, with what the report is to say of it.
    pub fn take(&mut self, deferred: Deferred) -> Result<u64, (Action, Option<String>)> {
        let Deferred { work, deadline, otherwise, late, .. } = deferred;
        let ticket = self.next;
        // Never given again, so that no late answer meets another call.
        self.next += 1;
        // A deadline that no clock reaches is none.
        let until = Instant::now().checked_add(deadline);
        let until = until.unwrap_or_else(|| Instant::now() + std::time::Duration::from_secs(1 << 30));
        let full = match *otherwise {
            Action::Errno(errno) => Action::Errno(errno),
            _ => Action::Errno(tipstaff_abi::errno::EPERM),
        };
        // Before the work can be done with it.
        let crowded = late.as_ref().map(|_| "too many decisions wait".to_owned());
        let early = {
            let mut tray = lock(&self.tray);
            tray.open.insert(ticket, Open { until, otherwise: plain(*otherwise), late });
            tray.alarm.is_none_or(|alarm| until < alarm)
        };
        if early && self.clerk.send(()).is_err() {
            lock(&self.tray).open.remove(&ticket);
            return Err((full, crowded));
        }
        match work {
            Later::Time => Ok(ticket),
            Later::Own(start) => {
                let tray = Arc::clone(&self.tray);
                start(Reply::new(move |action| done(&tray, ticket, Ok(action))));
                Ok(ticket)
            }
            // If it is full: its deadline will find nobody.
            Later::Pool(work) => self.give(ticket, work).then_some(ticket).ok_or((full, crowded)),
        }
    }

    /// What has come. If nothing has, `wake` is called when it does.
    pub fn answers(&self, wake: Wake) -> Vec<Answer> {
        let mut tray = lock(&self.tray);
        let answers = std::mem::take(&mut tray.answers);
        if answers.is_empty() {
            tray.wake = Some(wake);
        }
        answers
    }
}

/// A deferral within a deferral is none.
fn plain(action: Action) -> Action {
    match action {
        Action::Defer(_) => Action::Errno(tipstaff_abi::errno::EPERM),
        other => other,
    }
}

fn lock(tray: &Mutex<Tray>) -> MutexGuard<'_, Tray> {
    tray.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(queue: &Mutex<Receiver<(u64, Work)>>, tray: &Mutex<Tray>, busy: &AtomicUsize) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((ticket, work)) = job else { return };
        let action = caught(work);
        busy.fetch_sub(1, SeqCst);
        done(tray, ticket, action);
    }
}

fn done(tray: &Mutex<Tray>, ticket: u64, action: Result<Action, String>) {
    let mut tray = lock(tray);
    // Too late: it has been answered.
    let Some(Open { otherwise, .. }) = tray.open.remove(&ticket) else { return };
    tray.put(match action {
        Ok(Action::Defer(_)) => Answer { ticket, action: otherwise, fault: None },
        Ok(action) => Answer { ticket, action, fault: None },
        Err(words) => Answer { ticket, action: otherwise, fault: Some(words) },
    });
}

/// Answers what is due, until the pool is gone.
fn keep_time(bell: &Receiver<()>, tray: &Mutex<Tray>) {
    loop {
        let next = lock(tray).due(Instant::now());
        let rung = match next {
            None => bell.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => bell.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        if rung == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

impl Tray {
    fn put(&mut self, answer: Answer) {
        self.answers.push(answer);
        if let Some(wake) = self.wake.take() {
            wake();
        }
    }

    /// Answers what is overdue, and sets the alarm for the next.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        let due: Vec<u64> = self.open.iter().filter(|(_, open)| open.until <= now).map(|(ticket, _)| *ticket).collect();
        for ticket in due {
            if let Some(Open { otherwise, late, .. }) = self.open.remove(&ticket) {
                self.put(Answer { ticket, action: otherwise, fault: late });
            }
        }
        self.alarm = self.open.values().map(|open| open.until).min();
        self.alarm
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn deferred(action: Action) -> Deferred {
        match action {
            Action::Defer(deferred) => deferred,
            other => panic!("{other:?}"),
        }
    }

    fn next(pool: &Pool) -> Answer {
        loop {
            let (told, heard) = mpsc::channel();
            let mut answers = pool.answers(Box::new(move || {
                let _ = told.send(());
            }));
            match answers.pop() {
                Some(answer) => {
                    assert!(answers.is_empty(), "one at a time");
                    return answer;
                }
                None => heard.recv().expect("woken"),
            }
        }
    }

    #[test]
    fn work_answers() {
        let mut pool = Pool::start().expect("threads");
        let ticket = pool.take(deferred(Action::defer(LONG, 5, || Action::Return(7)))).expect("room");
        let answer = next(&pool);
        assert!(answer.ticket == ticket && matches!(answer.action, Action::Return(7)) && answer.fault.is_none());
    }

    #[test]
    fn a_deadline_answers_and_late_work_does_not() {
        let mut pool = Pool::start().expect("threads");
        let (go, wait) = mpsc::channel::<()>();
        let slow = Action::defer(Duration::from_millis(1), 5, move || {
            let _ = wait.recv();
            Action::Allow
        });
        let ticket = pool.take(deferred(slow)).expect("room");
        let answer = next(&pool);
        assert!(answer.ticket == ticket && matches!(answer.action, Action::Errno(5)));
        go.send(()).expect("it waits");
        let second = pool.take(deferred(Action::defer(LONG, 5, || Action::Allow))).expect("room");
        assert_eq!(next(&pool).ticket, second, "nothing of the first");
    }

    #[test]
    fn work_that_hangs_does_not_hold_up_other_work() {
        let mut pool = Pool::start().expect("threads");
        let (go, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        for _ in 0..WORKERS {
            let wait = Arc::clone(&wait);
            let hang = move || {
                let _ = wait.lock().expect("gate").recv();
                Action::Allow
            };
            pool.take(deferred(Action::defer(LONG, 5, hang))).expect("room");
        }
        let ticket = pool.take(deferred(Action::defer(LONG, 5, || Action::Return(7)))).expect("room");
        assert_eq!(next(&pool).ticket, ticket);
        drop(go);
    }

    #[test]
    fn who_must_answer_in_time_is_told_of_if_not() {
        let mut pool = Pool::start().expect("threads");
        let (go, wait) = mpsc::channel::<()>();
        let slow = Action::defer(Duration::from_millis(1), 5, move || {
            let _ = wait.recv();
            Action::Allow
        });
        pool.take(Deferred { late: Some("too late".into()), ..deferred(slow) }).expect("room");
        assert_eq!(next(&pool).fault.as_deref(), Some("too late"));
        drop(go);
    }

    #[test]
    fn a_panic_and_a_deferral_answer_with_the_errno() {
        let mut pool = Pool::start().expect("threads");
        pool.take(deferred(Action::defer(LONG, 5, || panic!("oh")))).expect("room");
        let answer = next(&pool);
        assert!(matches!(answer.action, Action::Errno(5)));
        assert_eq!(answer.fault.as_deref(), Some("oh"));
        let again = || Action::defer(LONG, 6, || Action::Allow);
        pool.take(deferred(Action::defer(LONG, 5, again))).expect("room");
        assert!(matches!(next(&pool).action, Action::Errno(5)));
    }

    #[test]
    fn a_full_pool_refuses_at_once_and_time_needs_no_thread() {
        let mut pool = Pool::start().expect("threads");
        let gate = Arc::new(Mutex::new(()));
        let shut = gate.lock().expect("gate");
        let mut taken = 0;
        let refused = loop {
            let gate = Arc::clone(&gate);
            let work = move || {
                drop(gate.lock());
                Action::Allow
            };
            match pool.take(deferred(Action::defer(LONG, 5, work))) {
                Ok(_) => taken += 1,
                Err(refused) => break refused,
            }
        };
        assert!(matches!(refused, (Action::Errno(5), None)));
        assert!((QUEUE..=QUEUE + MOST).contains(&taken) && pool.workers == MOST, "{taken}");
        let ticket = pool.take(deferred(Action::after(Duration::from_millis(1), Action::Return(3)))).expect("no work");
        let answer = next(&pool);
        assert!(answer.ticket == ticket && matches!(answer.action, Action::Return(3)));
        drop(shut);
    }
}
