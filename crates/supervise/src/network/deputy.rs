//! The thread that makes calls on sockets of a box.
//!
//! It is less than the supervisor: it has given away every capability (a guest could not bind port 80, so neither can it), may gain none
//! (no_new_privs), and stands in a Landlock domain of its own, which knows the ports of the rules and opens no file. For a socket of IP
//! that is all a guest's restrictions amount to: the socket brings its network namespace along, and what connect(2), bind(2) and
//! sendmsg(2) look at in the caller are its capabilities and its security domain.
//!
//! No call of it waits: sends are made with MSG_DONTWAIT, connects under a send timeout of one tick, which takes a blocking socket
//! to EINPROGRESS (connect(2), SO_SNDTIMEO) without touching O_NONBLOCK, which the guest would see. Whoever has to wait stands in a list under
//! one poll(2). Calls of one box are made one after the other, so that none finds another's check outdated. A caller that goes away takes its
//! copy of the socket with it.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::AddressFamily;
use rustix::net::sockopt::socket_domain;
use tipstaff_abi::errno::{EAGAIN, EALREADY, EINPROGRESS, EINTR, EPERM, ETIMEDOUT};
use tipstaff_policy::lower::NetworkPlan;
use tipstaff_sys::landlock::{self, RulesetAttr, fs, net, scope};
use tipstaff_sys::{Errno, capability, ids, socket, unshare};

use super::acts::{Act, Turn};
use super::budget::Share;
use super::handler::dropped;
use super::stub::{Roads, Stub};
use super::tighten::{Tighten, shut_socket};
use super::unix::Who;
use crate::handler::{Action, Recall, Reply, caught};

/// Longer than any connect takes: tcp_syn_retries is 127 seconds, and an administrator may double it.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
/// The kernel's own answer to who takes a signal: the call is made again, or fails with EINTR, as SA_RESTART says.
const ERESTARTSYS: i64 = 512;

/// A call to be made.
pub(super) struct Job {
    /// A duplicate of the guest's socket.
    pub socket: OwnedFd,
    /// The calling thread. It is in one call at a time: what it waited for before, a signal has ended.
    pub tid: i32,
    /// The caller (PIDFD_THREAD where the kernel has it): readable when it is gone.
    pub caller: OwnedFd,
    pub act: Act,
    pub reply: Reply,
    /// What all of this takes of the box's budget, for as long as it is held.
    pub share: Share,
    /// The caller has a signal to take: [`Deputy::recall`].
    pub asked: Arc<AtomicBool>,
}

impl Job {
    /// Whoever has the answer may make the next call, for which there must be room again.
    fn answer(self, action: Action) {
        let Self { socket, caller, act, reply, share, .. } = self;
        drop((socket, caller, act, share));
        reply.give(action);
    }
}

/// A job that could not be done at once.
struct Waiting {
    job: Job,
    until: Instant,
    /// By SO_SNDTIMEO.
    limited: bool,
}

impl Waiting {
    /// It reaches for a network that is gone. Netlink's only peer here is the kernel.
    fn is_cut(&self, tighten: &Tighten) -> bool {
        let netlink = || socket_domain(&self.job.socket) == Ok(AddressFamily::NETLINK);
        tighten.is_dropped() && self.job.act.reaches() && !netlink()
    }

    /// Ends the wait. What has been sent is told; else socket(7), SO_SNDTIMEO, and signal(7) say what comes of it.
    fn end(self, late: bool) {
        let otherwise = match (late, self.limited) {
            (true, true) => i64::from(self.job.act.late()),
            (true, false) => i64::from(ETIMEDOUT),
            (false, true) => i64::from(EINTR),
            (false, false) => ERESTARTSYS,
        };
        let value = self.job.act.partial().unwrap_or(-otherwise);
        self.job.answer(Action::Return(value));
    }
}

/// The thread, from outside. It ends, and closes what it holds, when this and every job on its way is gone.
pub(super) struct Deputy {
    door: Door,
    /// The name server of the box.
    stub: Option<Roads>,
}

/// Where jobs are handed in.
#[derive(Clone)]
pub(super) struct Door {
    /// Gone before the last ring.
    jobs: Option<Sender<Job>>,
    bell: Arc<OwnedFd>,
}

impl Deputy {
    /// Starts it. What it may do is decided before it takes its first job; if it cannot be confined it refuses all of them.
    pub fn start(plan: Arc<NetworkPlan>, landlock_abi: u32, tighten: Tighten) -> io::Result<Self> {
        // Here, since port 53 may want a capability.
        let stub = plan.resolver().and_then(|at| Stub::new(at).ok());
        let roads = stub.as_ref().map(|stub| stub.roads().clone());
        let (jobs, queue) = mpsc::channel();
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let theirs = Arc::clone(&bell);
        tighten.wakes(&bell);
        let tcp = roads.as_ref().map(|roads| roads.tcp.port());
        thread::Builder::new().name("network".into()).spawn(move || {
            let own = confine(&plan, landlock_abi, tcp).ok();
            let mut stub = stub.map(|stub| (stub, plan.names()));
            drop(caught(|| serve(&queue, &theirs, own.as_ref(), &mut stub, &tighten)));
        })?;
        Ok(Self { door: Door { jobs: Some(jobs), bell }, stub: roads })
    }

    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// What ends a job's wait, when `asked` is the job's.
    pub fn recall(&self, asked: &Arc<AtomicBool>) -> Recall {
        let (asked, bell) = (Arc::clone(asked), Arc::clone(&self.door.bell));
        Box::new(move || {
            asked.store(true, Ordering::SeqCst);
            ring(&bell);
        })
    }

    pub fn stub(&self) -> Option<&Roads> {
        self.stub.as_ref()
    }
}

impl Door {
    /// Hands a job in. It is dropped, which refuses, if the thread is gone. The ring is the end of this door.
    pub fn take(self, job: Job) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.jobs = None;
        ring(&self.bell);
    }
}

/// Wakes who polls it.
pub(super) fn ring(bell: &OwnedFd) {
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}

/// Who this thread is, for calls that look at that.
struct Own(Option<Who>);

fn confine(plan: &NetworkPlan, abi: u32, stub: Option<u16>) -> Result<Own, Errno> {
    unshare::directory_and_umask()?;
    // As a guest of a caller that may. Where it may not, guests keep theirs too; whether they are the same is looked at for each call.
    let _ = ids::clear_groups_of_this_thread();
    let own = Own(Who::this_thread());
    if abi > 0 {
        let connect = plan.connect_ports().filter(|_| abi >= 4).map(|ports| ports.into_iter().chain(stub));
        let bind = plan.bind_ports().filter(|_| abi >= 4);
        let mut handled_access_net = 0;
        handled_access_net |= connect.as_ref().map_or(0, |_| net::CONNECT_TCP);
        handled_access_net |= bind.as_ref().map_or(0, |_| net::BIND_TCP);
        // Unix sockets are made in directories that were judged and are held; no path opens them to it.
        let made = if plan.writable.is_empty() { 0 } else { fs::MAKE_SOCK };
        // Signals stay: an answer ends a tracer's wait by a SIGKILL to its waker, and this thread brings answers itself.
        let scoped = if abi >= 6 { scope::ABSTRACT_UNIX_SOCKET } else { 0 };
        let attr = RulesetAttr { handled_access_fs: fs::all(abi) & !made, handled_access_net, scoped };
        let ruleset = landlock::create_ruleset(&attr, abi)?;
        let connect = connect.into_iter().flatten().map(|port| (port, net::CONNECT_TCP));
        let bind = bind.into_iter().flatten().map(|port| (port, net::BIND_TCP));
        for (port, access) in connect.chain(bind) {
            landlock::add_port(ruleset.as_fd(), port, access)?;
        }
        landlock::restrict_thread(ruleset.as_fd())?;
    }
    capability::drop_in_this_thread()?;
    Ok(own)
}

fn serve(
    queue: &Receiver<Job>,
    bell: &OwnedFd,
    own: Option<&Own>,
    stub: &mut Option<(Stub, Vec<Pinned>)>,
    tighten: &Tighten,
) {
    let mut waiting: Vec<Waiting> = Vec::new();
    loop {
        let (asked, ready) = wait(bell, stub.as_ref().map(|(stub, _)| stub), &waiting);
        if let Some((stub, names)) = stub
            && asked
        {
            stub.serve(names, &mut |name| tighten.unknown(name));
        }
        let mut count = [0u8; 8];
        let _ = rustix::io::read(bell, &mut count);
        let now = Instant::now();
        for (entry, look) in std::mem::take(&mut waiting).into_iter().zip(ready) {
            match look {
                Look::Gone => {}
                _ if entry.job.asked.load(Ordering::SeqCst) => entry.end(false),
                _ if entry.is_cut(tighten) => refuse(entry),
                Look::Nothing if now < entry.until => waiting.push(entry),
                Look::Nothing => entry.end(true),
                Look::Ready => run(entry, &mut waiting, tighten),
            }
        }
        loop {
            match queue.try_recv() {
                Ok(job) => {
                    let Some(Own(own)) = own else {
                        job.answer(Action::Errno(EPERM));
                        continue;
                    };
                    let stranger = job.act.pins().find_map(|pin| pin.admits(own.as_ref()).err());
                    if let Some(refusal) = stranger {
                        job.answer(refusal);
                        continue;
                    }
                    waiting.retain(|earlier| earlier.job.tid != job.tid);
                    let limit = rustix::net::sockopt::socket_timeout(&job.socket, rustix::net::sockopt::Timeout::Send);
                    let limit = limit.ok().flatten().filter(|limit| *limit < PATIENCE);
                    let until = now + limit.unwrap_or(PATIENCE);
                    run(Waiting { job, until, limited: limit.is_some() }, &mut waiting, tighten);
                }
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
        }
    }
}

/// A name with its addresses.
type Pinned = (String, Vec<IpAddr>);

/// What became of somebody who waits.
enum Look {
    Ready,
    Nothing,
    Gone,
}

/// Waits. Whether the stub has something to do, and what became of each.
fn wait(bell: &OwnedFd, stub: Option<&Stub>, waiting: &[Waiting]) -> (bool, Vec<Look>) {
    let mut fds = vec![PollFd::new(bell, PollFlags::IN)];
    for socket in stub.into_iter().flat_map(Stub::sockets) {
        fds.push(PollFd::from_borrowed_fd(socket, PollFlags::IN));
    }
    let first = fds.len();
    for Waiting { job, .. } in waiting {
        fds.push(PollFd::new(&job.socket, PollFlags::OUT));
        fds.push(PollFd::new(&job.caller, PollFlags::IN));
    }
    let idle = stub.and_then(Stub::next);
    let next = waiting.iter().map(|w| w.until).chain(idle).min();
    let pause = next.map(|until| until.saturating_duration_since(Instant::now()));
    let pause =
        pause.map(|pause| Timespec { tv_sec: pause.as_secs() as i64, tv_nsec: i64::from(pause.subsec_nanos()) });
    let _ = poll(&mut fds, pause.as_ref());
    let mut looks = Vec::with_capacity(waiting.len());
    let overdue = idle.is_some_and(|until| until <= Instant::now());
    let asked = overdue || fds[1..first].iter().any(|fd| !fd.revents().is_empty());
    for pair in fds[first..].chunks(2) {
        looks.push(match (pair[0].revents().is_empty(), pair[1].revents().is_empty()) {
            (_, false) => Look::Gone,
            (false, true) => Look::Ready,
            (true, true) => Look::Nothing,
        });
    }
    (asked, looks)
}

fn run(mut entry: Waiting, waiting: &mut Vec<Waiting>, tighten: &Tighten) {
    // What waits in a queue has been judged before.
    if entry.is_cut(tighten) {
        return refuse(entry);
    }
    match entry.job.act.attempt(&entry.job.socket) {
        // Meanwhile: whoever goes over the box's sockets has perhaps passed this one.
        _ if entry.is_cut(tighten) => refuse(entry),
        Turn::Done(action) => entry.job.answer(action),
        Turn::Wait => waiting.push(entry),
    }
}

/// The network of the box is gone: so is what the socket has begun.
fn refuse(entry: Waiting) {
    shut_socket(&entry.job.socket);
    entry.job.answer(dropped());
}

/// connect(2) that waits for no longer than a tick of the kernel's clock.
pub(super) fn connect(socket: &OwnedFd, address: &[u8]) -> Result<(), u16> {
    use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_timeout};
    let before = socket_timeout(socket, Timeout::Send).ok();
    if before.is_some() {
        let _ = set_socket_timeout(socket, Timeout::Send, Some(Duration::from_micros(1)));
    }
    let done = socket::connect(socket.as_fd(), address);
    if let Some(before) = before {
        let _ = set_socket_timeout(socket, Timeout::Send, before);
    }
    done.map_err(|e| e.0 as u16)
}

/// Whether an errno means that the call goes on.
pub(super) fn goes_on(errno: u16) -> bool {
    [EINPROGRESS, EALREADY, EAGAIN, EINTR].contains(&errno)
}
