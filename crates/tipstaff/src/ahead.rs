//! The next box of a command, prepared while the present one runs.
//!
//! A command that is spawned again within a second will probably be spawned once more. A thread then launches a box up to the step before its exec, and
//! the next spawn only opens its gate, if nothing has changed that a box started now would show: what the caller hands down
//! ([`Inherited`]), its standard streams, and what the box has seen of the host ([`Standing::is_current`]). Otherwise it is dropped, and the
//! spawn does everything itself.
//!
//! There is one such box per command. It goes with the command, with this process however that ends, and by itself when nobody has wanted it for
//! [`IDLE`]; the thread goes then too. The same thread waits for the keepers of boxes that have ended, at most [`GRAVES`].

use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, mem};

use tipstaff_launch::{Idle, Request, Standing, stand};
use tipstaff_supervise::Session;
use tipstaff_sys::inherited::{Inherited, Namespaces};
use tipstaff_sys::signal::{self, SigSet};
use tipstaff_sys::{ids, kcmp};

use crate::command::Prepared;
use crate::wires::{Wires, ours};

/// How long a box stands unused. Also how soon a spawn must follow on another for one to be prepared.
const IDLE: Duration = Duration::from_secs(1);
/// The box's own patience in seconds, should this process have become another program meanwhile (execve(2)).
const PATIENCE: u32 = 5;
/// Boxes that have ended and whose keepers nobody has waited for yet.
const GRAVES: usize = 8;
/// Keepers that wait for another box: one for the box that is running next, one for the box after that.
const KEEPERS: usize = 2;
/// So many boxes in a row that were of no use, and no more are prepared.
const MISSES: u32 = 3;

/// A box that stands ready.
pub(crate) struct Spare {
    pub standing: Standing,
    pub wires: Wires,
}

/// Copies of our standard streams that boxes have inherited.
type Streams = [Option<OwnedFd>; 3];

/// Prepares a box. Why it fails, the next spawn finds out by itself.
fn prepare(prepared: &Prepared, mut wires: Wires) -> Option<Spare> {
    let Prepared { armed, program, machine, env, .. } = prepared;
    // What leads to nobody but this one box cannot be given to another.
    let again = wires.relays.is_empty() && wires.ends.iter().all(Option::is_none);
    let wiring = mem::take(&mut wires.wiring);
    let request = Request { env: env.clone(), wiring, terminal: None, network: None };
    let standing = stand(armed, program, request, &machine.hierarchies, PATIENCE, again).ok()?;
    Some(Spare { standing, wires })
}

/// Our standard streams are the very files that boxes have inherited.
fn are_ours(streams: &Streams) -> bool {
    use std::os::fd::AsRawFd;
    let is_ours = |(target, stream): (usize, &OwnedFd)| kcmp::same_file(target as i32, stream.as_raw_fd()) == Ok(true);
    streams.iter().enumerate().filter_map(|(target, s)| Some((target, s.as_ref()?))).all(is_ours)
}

/// A command's box to come, and whoever prepares it.
#[derive(Default)]
pub(crate) struct Ahead {
    worker: Option<Worker>,
    namespaces: Option<Namespaces>,
    last: Option<Instant>,
    misses: u32,
}

impl std::fmt::Debug for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ahead").field("worker", &self.worker.is_some()).finish_non_exhaustive()
    }
}

struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// What the thread got of the one that started it, and its boxes of the thread.
    inherited: Inherited,
    prepared: Arc<Prepared>,
    streams: Streams,
    /// The process that has the thread: a child of fork(2) has only this memory.
    owner: i32,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The streams of the box that is to be prepared.
    order: Option<Wires>,
    /// Keepers that can have another box.
    idle: Vec<Idle>,
    /// The order is being carried out.
    busy: bool,
    spare: Option<Spare>,
    graves: Vec<Session>,
    /// When something was last wanted.
    wanted: Option<Instant>,
    /// The thread is to end, or has ended.
    over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The box that is ready, or that is about to be.
    fn spare(&self) -> Option<Spare> {
        let mut state = self.lock();
        while !state.over && (state.busy || state.order.is_some()) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.spare.take()
    }
}

impl Ahead {
    /// A box is being started. Whether there will soon be another, as far as one can tell, and it can be prepared.
    pub fn is_worth_it(&mut self) -> bool {
        let last = self.last.replace(Instant::now());
        self.misses < MISSES && last.is_some_and(|last| last.elapsed() < IDLE)
    }

    /// The box that is ready, or that is about to be, if it is what the caller would start now.
    pub fn take(&mut self, prepared: &Arc<Prepared>) -> Option<Spare> {
        let worker = self.worker.as_ref()?;
        if worker.owner != ids::pid() {
            mem::forget(self.worker.take());
            return None;
        }
        let same = Arc::ptr_eq(prepared, &worker.prepared)
            && worker.inherited == Inherited::now(&mut self.namespaces)
            && are_ours(&worker.streams);
        let spare = if same { worker.shared.spare() } else { None };
        if same && spare.is_none() {
            return None;
        }
        if let Some(mut spare) = spare
            && spare.standing.is_current(&prepared.armed, &prepared.program)
        {
            self.misses = 0;
            return Some(spare);
        }
        // So are the thread and the keepers.
        self.misses += 1;
        self.worker = None;
        None
    }

    /// What was prepared is not wanted any more.
    pub fn forget(&mut self) {
        self.worker = None;
    }

    /// Has a box prepared by a keeper that has had one before, which needs no thread for it. False if there is none.
    pub fn order_again(&mut self) -> bool {
        let Some(worker) = &self.worker else { return false };
        let mut state = worker.shared.lock();
        let Some(keeper) = state.idle.pop().filter(|_| !state.over) else { return false };
        state.wanted = Some(Instant::now());
        state.spare = Some(Spare { standing: keeper.stand(), wires: Wires::default() });
        true
    }

    /// Has a box prepared. `inherits`: the standard streams that are the caller's own. Without a thread for it, none is.
    pub fn order(&mut self, prepared: &Arc<Prepared>, wires: Wires, inherits: [bool; 3]) {
        if self.worker.as_ref().is_none_or(|worker| worker.shared.lock().over) {
            let inherited = Inherited::now(&mut self.namespaces);
            self.worker = Worker::new(Arc::clone(prepared), inherited, inherits).ok();
        }
        if let Some(worker) = &self.worker {
            let mut state = worker.shared.lock();
            (state.order, state.wanted) = (Some(wires), Some(Instant::now()));
            worker.shared.changed.notify_all();
        }
    }

    /// Who waits for the keepers of boxes that have ended.
    pub fn undertaker(&self) -> Option<Undertaker> {
        self.worker.as_ref().map(|worker| Undertaker(Arc::clone(&worker.shared)))
    }
}

/// Drops what is left of a box that has ended, where nobody waits for that.
#[derive(Clone)]
pub(crate) struct Undertaker(Arc<Shared>);

impl std::fmt::Debug for Undertaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Undertaker")
    }
}

impl Undertaker {
    /// Where nobody is there for it, or too many wait already, the caller waits for the keeper.
    pub fn take(&self, mut remains: Session) {
        let mut state = self.0.lock();
        let idle = if state.idle.len() < KEEPERS && !state.over { remains.idle_keeper() } else { None };
        let waits = idle.is_none();
        state.idle.extend(idle);
        if state.over || state.graves.len() >= GRAVES {
            drop(state);
            drop(remains);
            return;
        }
        state.graves.push(remains);
        // Where nobody is to be waited for, there are only descriptors to be closed, some at a time.
        if waits || state.graves.len() > GRAVES / 2 {
            self.0.changed.notify_all();
        }
    }
}

impl Worker {
    fn new(prepared: Arc<Prepared>, inherited: Inherited, inherits: [bool; 3]) -> io::Result<Self> {
        let mut streams = [const { None }; 3];
        for (target, stream) in streams.iter_mut().enumerate().filter(|(target, _)| inherits[*target]) {
            *stream = Some(ours(target)?);
        }
        if !are_ours(&streams) {
            // Without kcmp(2) it could not be told later.
            return Err(io::ErrorKind::Unsupported.into());
        }
        let from = Arc::clone(&prepared);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("tipstaff-ahead".into()).spawn(move || work(&theirs, &from))?;
        Ok(Self { shared, thread: Some(thread), inherited, prepared, streams, owner: ids::pid() })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.owner != ids::pid() {
            // The thread, its lock and its boxes are another process's.
            mem::forget((mem::take(&mut self.shared), self.thread.take()));
            return;
        }
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Says that the thread has ended, however it ends.
struct Over<'a>(&'a Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.over = true;
        let left = (state.order.take(), state.spare.take(), mem::take(&mut state.idle), mem::take(&mut state.graves));
        drop(state);
        self.0.changed.notify_all();
        drop(left);
    }
}

fn work(shared: &Shared, prepared: &Prepared) {
    // A host's signal handlers run in its own threads.
    signal::set_mask(SigSet::ALL_OF_A_HOST);
    let _over = Over(shared);
    let mut state = shared.lock();
    while !state.over {
        if let Some(order) = state.order.take() {
            state.busy = true;
            let old = state.spare.take();
            drop(state);
            drop(old);
            let spare = prepare(prepared, order);
            state = shared.lock();
            state.busy = false;
            state.spare = spare;
            shared.changed.notify_all();
        } else if !state.graves.is_empty() {
            let graves = mem::take(&mut state.graves);
            drop(state);
            drop(graves);
            state = shared.lock();
        } else {
            let (after, waited) = match shared.changed.wait_timeout(state, IDLE) {
                Ok(after) => after,
                Err(poisoned) => poisoned.into_inner(),
            };
            state = after;
            let unwanted = state.wanted.is_none_or(|wanted| wanted.elapsed() >= IDLE);
            if waited.timed_out() && unwanted && state.order.is_none() && state.graves.is_empty() {
                return;
            }
        }
    }
}
