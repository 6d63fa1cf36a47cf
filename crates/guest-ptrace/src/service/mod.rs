//! Listeners of guests' own, beside ours: seccomp_unotify(2).
//!
//! The kernel allows one listener in a chain of filters, and ours is in it. So a guest's filter is installed with stops (SECCOMP_RET_TRACE) in the place of its
//! notifications, and what the guest gets is the listener of a thread of ours, the [`clerk`]. Each call that the guest's filter would notify has a **stand-in** there, a
//! process that waits in the clerk's filter. So RECV, SEND, ID_VALID, poll(2), blocking, signals and errors of the guest's supervisor are the kernel's own. What is ours:
//!
//! ```text
//!  task                      tracer                     clerk's listener        guest's supervisor
//!  ────                      ──────                     ────────────────        ──────────────────
//!  call ── RET_TRACE ──────▶ the guest's filter says
//!                            USER_NOTIF: stand-in ────▶ waits ────────────────▶ RECV: pid and call are
//!  waits in our listener ◀── "held" address                                     put right at its return
//!                            reads what the stand-in ◀─ returns ◀────────────── SEND
//!  returns, or is judged ◀── got
//! ```
//!
//! - **Who is asked** is decided by the program as the guest wrote it, for every stop of a task that is under it: no other data, and no newer filter, leads around it.
//! - **How it waits.** The same call with the same arguments goes to our listener by its instruction pointer alone, so that every filter says of it what it said before. That wait is the
//!   kernel's: signals end it, and descriptors can be put into the table of whoever waits (SECCOMP_IOCTL_NOTIF_ADDFD).
//! - **What is continued** is made once more, with signals blocked so that nothing comes between, and meets our filter and handlers then, with its registers as they are.

mod answers;
mod clerk;
mod held;
mod install;
mod requests;
mod rewrite;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tipstaff_abi::bpf::{Insn, SeccompData};
use tipstaff_supervise::Anteroom;
use tipstaff_sys::stand_in::{Answer, StandIn};
use tipstaff_trace::seam::{Asked, Stopping};
use tipstaff_trace::{Call, Resume, Stop as Real, Tracer};

use crate::mediator::Mediator;
use clerk::Clerk;
use held::{Continued, Held};
use requests::Request;

const ENOSYS: i64 = 38;
/// Listeners of one box: each is a thread of ours.
const LISTENERS: usize = 64;
/// Calls of one box that are in listeners at once: each is a process of ours. More wait until one of them is answered.
const STAND_INS: usize = 512;

/// All that is known of guests' listeners.
#[derive(Debug)]
pub(crate) struct Service {
    anteroom: Arc<Anteroom>,
    /// Whose filters a thread is under, the oldest first.
    chains: HashMap<i32, Vec<u32>>,
    /// What the threads of a process are about to be under.
    syncing: HashMap<i32, Vec<u32>>,
    listeners: BTreeMap<u32, Listener>,
    next: u32,
    /// Threads that wait in our listener, or are made to do something before their call returns.
    held: HashMap<i32, Held>,
    /// Threads that make a call once more which their supervisor has continued.
    continued: HashMap<i32, Continued>,
    /// Calls that wait for an answer. In the order of their tickets.
    waiting: BTreeMap<u64, Waiting>,
    tickets: u64,
    /// By the kernel's id, which a supervisor has received.
    ids: HashMap<u64, u64>,
    /// Calls without a stand-in, since there are enough.
    queue: VecDeque<u64>,
    /// What waited last and does not any more: a supervisor may be about to hear of it.
    gone: VecDeque<(u64, i32, SeccompData)>,
    /// Requests of supervisors that the kernel is answering.
    requests: HashMap<i32, Request>,
    /// Threads that are held until something else has come.
    late: BTreeSet<i32>,
}

/// One that a guest has.
#[derive(Debug)]
struct Listener {
    clerk: Clerk,
    /// As the guest wrote it.
    program: Vec<Insn>,
    /// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV.
    killable: bool,
    /// Threads under it.
    members: usize,
}

/// A call that waits for an answer.
#[derive(Debug)]
struct Waiting {
    tid: i32,
    listener: u32,
    data: SeccompData,
    stand_in: Option<StandIn>,
    /// The kernel's id, once it has been received.
    id: Option<u64>,
    answer: Option<Answer>,
}

impl Waiting {
    /// The stand-in has been answered, or is being.
    fn has_returned(&self) -> bool {
        self.stand_in.as_ref().is_some_and(StandIn::has_ended)
    }
}

impl Service {
    pub fn new(anteroom: Arc<Anteroom>) -> Self {
        Self {
            anteroom,
            chains: HashMap::new(),
            syncing: HashMap::new(),
            listeners: BTreeMap::new(),
            next: 0,
            held: HashMap::new(),
            continued: HashMap::new(),
            waiting: BTreeMap::new(),
            tickets: 0,
            ids: HashMap::new(),
            queue: VecDeque::new(),
            gone: VecDeque::new(),
            requests: HashMap::new(),
            late: BTreeSet::new(),
        }
    }

    /// Whose notification a call is: the newest filter's that says so, as in the kernel.
    fn whose(&self, chain: &[u32], data: &SeccompData) -> Option<u32> {
        chain.iter().rev().copied().find(|id| {
            let listener = self.listeners.get(id);
            listener.is_some_and(|l| tipstaff_seccomp::run(&l.program, data).is_ok_and(rewrite::notifies))
        })
    }

    fn join(&mut self, tid: i32, chain: Vec<u32>) {
        for id in &chain {
            if let Some(listener) = self.listeners.get_mut(id) {
                listener.members += 1;
            }
        }
        let former = self.chains.insert(tid, chain);
        self.left(former);
    }

    /// A thread is no more.
    pub fn leave(&mut self, tid: i32) {
        let former = self.chains.remove(&tid);
        self.left(former);
    }

    fn left(&mut self, chain: Option<Vec<u32>>) {
        for id in chain.into_iter().flatten() {
            let Some(listener) = self.listeners.get_mut(&id) else { continue };
            listener.members -= 1;
            if listener.members == 0 {
                // The clerk ends with it, and its supervisor is told: POLLHUP.
                self.listeners.remove(&id);
            }
        }
    }

    /// A task has a child, which is under the same filters.
    pub fn born(&mut self, parent: (i32, i32), child: i32) {
        let (tid, process) = parent;
        if let Some(chain) = self.syncing.get(&process).or_else(|| self.chains.get(&tid)) {
            let chain = chain.clone();
            self.join(child, chain);
        }
    }

    /// A thread has executed a program, and is the process now.
    pub fn executed(&mut self, tid: i32, former: i32) {
        if former != tid
            && let Some(chain) = self.chains.remove(&former)
        {
            let replaced = self.chains.insert(tid, chain);
            self.left(replaced);
        }
    }
}

impl Mediator {
    /// Listeners of guests' own are served.
    #[must_use]
    pub fn serving(mut self, anteroom: Option<Arc<Anteroom>>) -> Self {
        self.service = anteroom.map(|anteroom| Box::new(Service::new(anteroom)));
        self
    }

    /// Whether a guest's supervisor has a say in a call.
    pub(crate) fn asks_listener(&mut self, stopping: Stopping<'_>, stop: &Real) -> Asked {
        let (tid, process) = (stopping.task.tid(), stopping.task.process());
        let own = self.scripts.contains_key(&tid);
        let (Some(service), Real::Seccomp(seccomp)) = (&mut self.service, stop) else { return Asked::No };
        let call = *seccomp.call();
        if service.held.get(&tid).is_some_and(|held| held.strays(&call)) {
            self.lets_go(tid);
            return self.asks_listener(stopping, stop);
        }
        if service.held.contains_key(&tid) {
            return Asked::Takes(self.held_again(tid, stop));
        }
        if let Some(continued) = service.continued.remove(&tid) {
            continued.unblock(tid);
            if continued.is(&call) {
                return Asked::Continued;
            }
        }
        let marked = seccomp.data() == rewrite::MARK;
        let chain = match service.chains.get(&tid) {
            None if marked => service.syncing.get(&process),
            chain => chain,
        };
        let Some(chain) = chain.filter(|_| call.arch == self.arch) else { return Asked::No };
        if own {
            // A call in our name.
            return Asked::Takes(Resume::ToSyscall);
        }
        let data = seen(&call);
        match service.whose(chain, &data) {
            Some(listener) => Asked::Takes(self.notify(tid, stop, listener, data)),
            None => Asked::No,
        }
    }

    /// A guest's tracer ends a stop for a filter: the kernel asks all filters again, about what it has left in the registers (seccomp(2)). True: one of them has a
    /// supervisor who is asked now.
    pub(crate) fn asks_listener_again(&mut self, tid: i32, tracer: &mut Tracer) -> bool {
        let mut asked = false;
        tracer.settle(tid, |_, stop| {
            let (Some(service), Ok(registers), Some(call)) = (&self.service, stop.registers(), stop.call()) else {
                return Resume::Hold;
            };
            let (number, arch, ip) = (registers.number(), call.arch, registers.ip());
            let args = std::array::from_fn(|index| registers.arg(arch, index));
            let data = SeccompData { nr: number, arch: arch.audit_arch(), ip, args };
            let chain = service.chains.get(&tid).filter(|_| number >= 0 && arch == self.arch);
            match chain.and_then(|chain| service.whose(chain, &data)) {
                Some(listener) => {
                    asked = true;
                    self.notify(tid, stop, listener, data)
                }
                None => Resume::Hold,
            }
        });
        asked
    }

    /// A call is told to a guest's supervisor, and waits.
    fn notify(&mut self, tid: i32, stop: &Real, listener: u32, data: SeccompData) -> Resume {
        let (Some(service), Ok(saved)) = (&mut self.service, stop.registers()) else { return Resume::Kill };
        let ticket = service.tickets;
        service.tickets += 1;
        service.waiting.insert(ticket, Waiting { tid, listener, data, stand_in: None, id: None, answer: None });
        service.queue.push_back(ticket);
        service.stand();
        self.hold(tid, stop, Held::asking(saved, ticket))
    }
}

/// What the filters see.
fn seen(call: &Call) -> SeccompData {
    let nr = call.number.cast_signed();
    SeccompData { nr, arch: call.arch.audit_arch(), ip: call.ip.0, args: call.args }
}

/// The negated errno.
fn refused(errno: tipstaff_sys::Errno) -> i64 {
    -i64::from(errno.0)
}
