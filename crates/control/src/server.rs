//! The box's side. Nothing here waits: one descriptor to poll, a few clients at a time, each with a deadline.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::geteuid;
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

use crate::place::{Claim, Place, unusable};
use crate::wire::{Envelope, MOST_REQUEST};
use crate::{Reply, Request};

/// Clients at a time; one more takes the place of the one who has waited longest without a word.
const MOST_CLIENTS: usize = 16;
/// New clients and requests taken in one go.
const BUDGET: usize = 4;
/// To say what it wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);

const LISTENER: u64 = 0;
const TIMER: u64 = 1;
const FIRST_CLIENT: u64 = 2;

/// Names a request that is answered later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A box's socket, answered by whoever calls [`Server::serve`].
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    epoll: OwnedFd,
    timer: OwnedFd,
    clients: BTreeMap<u64, Client>,
    next: u64,
    key: String,
    claim: Claim,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    deadline: Instant,
    /// Has asked, and waits for [`Server::reply`].
    waits: bool,
}

impl Server {
    /// Takes a name and listens. The error is a line: the name is in use, is none, or the directory is not ours.
    pub fn bind(place: Place, name: &str) -> io::Result<Self> {
        let mut bytes = [0u8; 16];
        if getrandom(&mut bytes, GetRandomFlags::empty())? != bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let key: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let path = place.path().to_path_buf();
        let claim = place.claim(name, &key).map_err(|e| unusable(&path, "cannot write in", e))?;
        let listener = UnixListener::bind(claim.socket()).map_err(|e| no_socket(&path, e))?;
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        Ok(Self { listener, epoll, timer, clients: BTreeMap::new(), next: FIRST_CLIENT, key, claim })
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.claim.name()
    }

    /// Does what is due, without waiting. `answer` gets each request with its ticket; None means that [`Server::reply`] comes later.
    pub fn serve(&mut self, answer: &mut dyn FnMut(Ticket, Request) -> Option<Reply>) {
        let mut events = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; MOST_CLIENTS + 2];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready: Vec<u64> = match epoll::wait(&self.epoll, &mut events, Some(&at_once)) {
            Ok((ready, _)) => ready.iter().map(|event| event.data.u64()).collect(),
            Err(_) => return,
        };
        let mut budget = BUDGET;
        for token in ready {
            match token {
                LISTENER => self.accept(),
                TIMER => {
                    let mut count = [0u8; 8];
                    let _ = rustix::io::read(&self.timer, &mut count);
                    let now = Instant::now();
                    self.clients.retain(|_, client| client.deadline > now);
                }
                id if budget > 0 => {
                    if let Some(request) = self.advance(id) {
                        budget -= 1;
                        if let Some(reply) = answer(Ticket(id), request) {
                            self.reply(Ticket(id), &reply);
                        }
                    }
                }
                _ => {}
            }
        }
        self.arm();
    }

    /// Answers a request that was to be answered later. Who has gone meanwhile is not missed.
    pub fn reply(&mut self, ticket: Ticket, reply: &Reply) {
        let Some(client) = self.clients.get_mut(&ticket.0) else { return };
        client.output = serde_json::to_vec(reply).unwrap_or_default();
        client.output.push(b'\n');
        client.waits = false;
        client.deadline = Instant::now() + PATIENCE;
        self.flush(ticket.0);
        self.arm();
    }

    fn accept(&mut self) {
        for _ in 0..BUDGET {
            let Ok((stream, _)) = self.listener.accept() else { return };
            // Another user who got past the directory's mode is told nothing, not even why.
            let uid = socket_peercred(&stream).map(|peer| peer.uid.as_raw());
            if !uid.is_ok_and(|uid| uid == 0 || uid == geteuid().as_raw()) || stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.clients.len() >= MOST_CLIENTS {
                let oldest = self.clients.iter().find(|(_, c)| !c.waits && c.output.is_empty()).map(|(id, _)| *id);
                match oldest {
                    Some(id) => drop(self.clients.remove(&id)),
                    None => continue,
                }
            }
            let id = self.next;
            self.next += 1;
            if epoll::add(&self.epoll, &stream, EventData::new_u64(id), EventFlags::IN).is_ok() {
                let deadline = Instant::now() + PATIENCE;
                let client = Client { stream, input: Vec::new(), output: Vec::new(), deadline, waits: false };
                self.clients.insert(id, client);
            }
        }
    }

    /// Reads or writes on; a request when one is complete and its key is right.
    fn advance(&mut self, id: u64) -> Option<Request> {
        let client = self.clients.get_mut(&id)?;
        if !client.output.is_empty() {
            self.flush(id);
            return None;
        }
        let mut chunk = [0u8; MOST_REQUEST];
        match client.stream.read(&mut chunk) {
            Ok(n) if n > 0 && !client.waits => client.input.extend_from_slice(&chunk[..n]),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return None,
            // Gone, or talking while it is to listen.
            _ => {
                self.clients.remove(&id);
                return None;
            }
        }
        let Some(end) = client.input.iter().position(|b| *b == b'\n') else {
            if client.input.len() >= MOST_REQUEST {
                self.clients.remove(&id);
            }
            return None;
        };
        let envelope = serde_json::from_slice::<Envelope>(&client.input[..end]);
        client.input.clear();
        match envelope {
            Ok(envelope) if same(envelope.key.as_bytes(), self.key.as_bytes()) => {
                // How long what it asks for takes is for the box to bound.
                client.waits = true;
                client.deadline = Instant::now() + PATIENCE * 30;
                Some(envelope.request)
            }
            Ok(_) => {
                self.clients.remove(&id);
                None
            }
            Err(_) => {
                let why = "the request cannot be read; use the tipstaff that runs the box".to_owned();
                self.reply(Ticket(id), &Reply::Refused { why });
                None
            }
        }
    }

    fn flush(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        while !client.output.is_empty() {
            match client.stream.write(&client.output) {
                Ok(n) if n > 0 => drop(client.output.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let _ = epoll::modify(&self.epoll, &client.stream, EventData::new_u64(id), EventFlags::OUT);
                    return;
                }
                _ => break,
            }
        }
        self.clients.remove(&id);
    }

    /// Sets the timer for the first deadline.
    fn arm(&self) {
        let first = self.clients.values().map(|client| client.deadline).min();
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = first.map_or(zero, |at| {
            let left = at.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
        });
        let spec = Itimerspec { it_interval: zero, it_value: value };
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec);
    }
}

/// A box around us may forbid socket(2) itself, and then no directory is a cure.
fn no_socket(path: &Path, e: io::Error) -> io::Error {
    match socket(AddressFamily::UNIX, SocketType::STREAM, None) {
        Ok(_) => unusable(path, "cannot make a socket in", e),
        Err(_) => {
            io::Error::other("a name needs a unix socket, which cannot be made inside this box; leave `--name` out")
        }
    }
}

/// Readable when [`Server::serve`] has something to do.
impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Compares without telling by time where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y)) == 0
}
