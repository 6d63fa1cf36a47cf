//! Decides about connect(2), bind(2), listen(2), sendto(2), sendmsg(2) and sendmmsg(2), and has them made on the guest's behalf. Answers getsockname(2) where that has
//! made the kernel's answer another one.
//!
//! The socket is duplicated once (pidfd_getfd(2)), the address is copied once; what is judged is what the kernel is given. So neither a
//! thread that rewrites the address nor one that puts another socket under the number changes anything.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::fs::OFlags;
use tipstaff_abi::errno::{EAFNOSUPPORT, ECONNREFUSED, EINTR, EINVAL, ENOENT, ENOTSOCK, EOPNOTSUPP, EPERM, ETIMEDOUT};
use tipstaff_abi::{Arch, SyscallSet};
use tipstaff_policy::lower::NetworkPlan;
use tipstaff_policy::value::Proto;
use tipstaff_sys::pidfd;
use tipstaff_sys::socket::ADDRESS_MAX;

use super::Tighten;
use super::acts::{Act, Message, Sending};
use super::address::{self, AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, To};
use super::budget::{Budget, Share};
use super::deputy::{Deputy, Job, PATIENCE};
use super::message::{self, Room};
use super::names::Names;
use super::unix::{self, Name, Pin, Shown, denied};
use crate::handler::{Action, Handler, Trap};

const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
/// How many messages of one sendmmsg(2) are made at most, if the budget bears them: the rest comes with the next call.
const MESSAGES: u64 = 64;
/// The deputy answers before: it alone can say what was sent.
const DEADLINE: Duration = PATIENCE.saturating_add(Duration::from_secs(60));
/// Flags of sendmsg(2) that the kernel gives a meaning to from the caller's memory, or that connect.
const NEVER: u32 = 0x2000_0000 | 0x0400_0000;

/// The network rules of one box.
pub struct Network {
    plan: Arc<NetworkPlan>,
    landlock_abi: u32,
    tighten: Tighten,
    deputy: Option<Deputy>,
    names: Names,
    budget: Arc<Budget>,
    /// A process of ours in the box; 0: it has not started.
    ancestor: i32,
}

/// A guest's socket, duplicated.
struct Socket {
    fd: OwnedFd,
    /// What has taken its place: [`Network::lead`].
    moved: OnceCell<OwnedFd>,
    caller: OwnedFd,
    tid: i32,
    domain: i32,
    /// None for what is neither a TCP nor a UDP socket.
    proto: Option<Proto>,
    stream: bool,
    share: Share,
}

/// A datagram of IP has 16 bits for its length.
const DATAGRAM: usize = 0xffff;
/// A unix socket by name holds the socket's inode, and its directory.
const OF_A_NAME: usize = 2;

impl Socket {
    fn fd(&self) -> BorrowedFd<'_> {
        self.moved.get().unwrap_or(&self.fd).as_fd()
    }

    fn room(&self) -> Room<'_> {
        let longest = match self.domain {
            AF_INET | AF_INET6 => DATAGRAM,
            // As the kernel would say: unix(7), netlink(7) keep a datagram within SO_SNDBUF.
            _ => rustix::net::sockopt::socket_send_buffer_size(&self.fd).unwrap_or(DATAGRAM),
        };
        Room { share: &self.share, stream: self.stream, longest }
    }

    fn name(&self) -> Result<(), Action> {
        self.share.descriptors(OF_A_NAME).map_err(failed)
    }
}

/// What a call comes to: an act, or an answer.
type Decided = Result<Act, Action>;

/// The kernel's answer to a call that makes no sense.
fn failed(errno: u16) -> Action {
    Action::Return(-i64::from(errno))
}

pub(super) fn dropped() -> Action {
    denied("the network of this box was dropped while it ran".to_owned(), None)
}

fn abstract_name() -> Action {
    let rule = "network rules by address: no abstract names of unix sockets, which every process of the network sees";
    denied(rule.to_owned(), Some("--net host".to_owned()))
}

impl Network {
    /// For one box.
    pub fn new(plan: Arc<NetworkPlan>, landlock_abi: u32, tighten: Tighten) -> Self {
        Self {
            plan,
            landlock_abi,
            tighten,
            deputy: None,
            names: Names::default(),
            budget: Arc::new(Budget::new()),
            ancestor: 0,
        }
    }

    fn decide(&mut self, trap: &Trap<'_>, socket: &Socket) -> Decided {
        let [_, second, third, fourth, fifth, sixth] = trap.args();
        match trap.name() {
            Some("connect") => self.connect(trap, socket, second, third),
            Some("bind") => self.bind(trap, socket, second, third),
            Some("listen") if self.tighten.is_dropped() => Err(dropped()),
            Some("listen") => Ok(Act::Listen(second as i32, Arc::clone(&self.plan))),
            Some("sendto") => {
                let bytes = Self::address(trap, fifth, sixth)?;
                let (to, pin) = self.judged(trap, socket, &bytes)?;
                let data = message::plain(trap, second, third, socket.room()).map_err(failed)?;
                self.send(socket, vec![Message { to, pin, data, ..Message::default() }], false, fourth as u32)
            }
            Some("sendmsg") => {
                let message = self.message(trap, socket, second)?;
                self.send(socket, vec![message], false, third as u32)
            }
            Some("sendmmsg") => self.many(trap, socket),
            _ => Err(Action::Errno(EPERM)),
        }
    }

    fn address(trap: &Trap<'_>, at: u64, len: u64) -> Result<Vec<u8>, Action> {
        let len = usize::try_from(len as u32).ok().filter(|len| *len <= ADDRESS_MAX).ok_or(failed(EINVAL))?;
        message::copy(trap, at, len).map_err(failed)
    }

    fn connect(&self, trap: &Trap<'_>, socket: &Socket, at: u64, len: u64) -> Decided {
        let bytes = Self::address(trap, at, len)?;
        match socket.domain {
            AF_INET | AF_INET6 => match address::parse(&bytes).map_err(failed)? {
                // AF_UNSPEC with zeros: the association is dissolved.
                To::Nobody => Ok(Act::Connect(vec![0; 16], None)),
                To::Peer(peer, bytes) => Ok(Act::Connect(self.permits(socket, peer, bytes)?, None)),
            },
            AF_NETLINK if address::is_kernel(&bytes) => Ok(Act::Connect(bytes, None)),
            // Dissolves a datagram socket's association; a stream has none (EINVAL).
            AF_UNIX if address::family(&bytes) == Some(0) => Ok(Act::Connect(vec![0; 16], None)),
            AF_UNIX => {
                let pin = self.named(trap, socket, &bytes)?;
                Ok(Act::Connect(pin.address(), Some(pin)))
            }
            _ => Err(self.foreign(socket)),
        }
    }

    fn bind(&mut self, trap: &Trap<'_>, socket: &Socket, at: u64, len: u64) -> Decided {
        let bytes = Self::address(trap, at, len)?;
        match socket.domain {
            AF_INET | AF_INET6 | AF_UNIX if self.tighten.is_dropped() => Err(dropped()),
            AF_INET | AF_INET6 => {
                let (port, bytes) = address::local(&bytes).map_err(failed)?;
                // Port 0 is what connect(2) and sendto(2) take by themselves; listen(2) is asked about for itself.
                if port != 0 && !self.plan.may_bind(port) {
                    let rule = format!("network.bind: port {port} is not in the list");
                    return Err(denied(rule, Some(format!("--bind {port}"))));
                }
                Ok(Act::Bind(bytes))
            }
            // What getifaddrs(3) does: an address that the kernel chooses, no groups.
            AF_NETLINK if address::is_kernel(&bytes) => Ok(Act::Bind(bytes)),
            AF_UNIX => match unix::parse(&bytes).map_err(failed)? {
                Name::Path(path) => {
                    socket.name()?;
                    let (pin, name) = Pin::place(trap, &path, &self.shown())?;
                    self.names.given(&socket.fd, &path, &name);
                    Ok(Act::Make(pin, name))
                }
                // Peers are not limited: neither are names.
                _ if !self.plan.mediate_connect => Ok(Act::Bind(bytes)),
                _ => Err(abstract_name()),
            },
            _ => Err(self.foreign(socket)),
        }
    }

    fn shown(&self) -> Shown<'_> {
        Shown { writable: &self.plan.writable, ancestor: self.ancestor }
    }

    /// The unix socket that an address names.
    fn named(&self, trap: &Trap<'_>, socket: &Socket, bytes: &[u8]) -> Result<Pin, Action> {
        if self.tighten.is_dropped() {
            return Err(dropped());
        }
        socket.name()?;
        match unix::parse(bytes).map_err(failed)? {
            Name::Path(path) => match (Pin::socket(trap, &path, &self.shown()), self.names.meant(&path)) {
                // What a peer is told of a socket made here is the last component.
                (Err(Action::Return(missing)), Some(path)) if missing == -i64::from(ENOENT) => {
                    Pin::socket(trap, path, &self.shown())
                }
                (found, _) => found,
            },
            Name::Abstract => Err(abstract_name()),
            Name::Unnamed => Err(failed(EINVAL)),
        }
    }

    /// The address of a message as the kernel is given it, and what it leads to; empty: to whom the socket is connected.
    fn judged(&self, trap: &Trap<'_>, socket: &Socket, bytes: &[u8]) -> Result<(Vec<u8>, Option<Pin>), Action> {
        let bytes = match socket.domain {
            // A stream is connected, or the kernel says that it is not: its messages need no address (send(2)).
            AF_INET | AF_INET6 if socket.stream => Vec::new(),
            AF_INET | AF_INET6 => match address::parse(bytes).map_err(failed)? {
                To::Nobody => return Err(failed(EAFNOSUPPORT)),
                To::Peer(peer, bytes) => {
                    self.lead(trap, socket, peer);
                    self.permits(socket, peer, bytes)?
                }
            },
            AF_NETLINK if address::is_kernel(bytes) => bytes.to_vec(),
            AF_UNIX => {
                let pin = self.named(trap, socket, bytes)?;
                return Ok((pin.address(), Some(pin)));
            }
            _ => return Err(self.foreign(socket)),
        };
        Ok((bytes, None))
    }

    fn message(&self, trap: &Trap<'_>, socket: &Socket, at: u64) -> Result<Message, Action> {
        let header = message::header(trap, at).map_err(failed)?;
        let (to, pin) = match &header.name {
            Some(bytes) => self.judged(trap, socket, bytes)?,
            None => (Vec::new(), None),
        };
        let data = message::data(trap, &header, socket.room()).map_err(failed)?;
        let mut message = Message { to, pin, data, ..Message::default() };
        let process = pidfd::for_files(trap.tid(), || trap.pid()).map_err(|_| Action::Errno(EPERM))?;
        let fetch = |number| pidfd::get_fd(process.as_fd(), number).map_err(|e| e.0 as u16);
        message::controls(trap, &header, socket.domain == AF_UNIX, &socket.share, &mut message, fetch)
            .map_err(failed)?;
        Ok(message)
    }

    /// sendmmsg(2). The lengths are written before the messages are sent: a datagram goes whole, and nobody looks at them if none went.
    fn many(&self, trap: &Trap<'_>, socket: &Socket) -> Decided {
        let [_, vector, count, flags, ..] = trap.args();
        if socket.stream {
            return Err(failed(EOPNOTSUPP));
        }
        // struct mmsghdr: the header, the length, four bytes of padding.
        const STRIDE: u64 = message::HEADER + 8;
        let mut messages = Vec::new();
        for index in 0..u64::from(count as u32).min(MESSAGES) {
            let at = vector.wrapping_add(index * STRIDE);
            let made = self.message(trap, socket, at).and_then(|message| {
                let length = (message.data.len() as u32).to_ne_bytes();
                let written = trap.guest.write(at.wrapping_add(message::HEADER), &length);
                if written { Ok(message) } else { Err(failed(tipstaff_abi::errno::EFAULT)) }
            });
            match made {
                Ok(message) => messages.push(message),
                // Those before it are sent; the error comes with the next call (sendmmsg(2)).
                Err(_) if index > 0 => break,
                Err(action) => return Err(action),
            }
        }
        self.send(socket, messages, true, flags as u32)
    }

    fn send(&self, socket: &Socket, messages: Vec<Message>, counts: bool, flags: u32) -> Decided {
        let (stream, flags) = (socket.stream, flags & !NEVER);
        Ok(Act::Send(Sending { messages, counts, stream, flags, sent: 0, bytes: 0 }))
    }

    /// The bytes that the kernel is given for a peer, which are those of `said` but where the peer is the box's own name server.
    fn permits(&self, socket: &Socket, peer: SocketAddr, said: Vec<u8>) -> Result<Vec<u8>, Action> {
        if self.tighten.is_dropped() {
            return Err(dropped());
        }
        // The filter lets no other be made; one that was handed in from outside is nothing that a rule names.
        let Some(proto) = socket.proto else {
            return Err(denied(format!("network.allow: neither TCP nor UDP to {peer}"), None));
        };
        if self.is_resolver(peer) {
            let roads = self.deputy.as_ref().and_then(Deputy::stub).ok_or(failed(ECONNREFUSED))?;
            return Ok(match proto {
                Proto::Udp if roads.apart.as_ref().is_some_and(|apart| apart.has(socket.fd())) => said,
                Proto::Udp => address::bytes_for(socket.domain, roads.udp),
                Proto::Tcp => address::bytes_for(socket.domain, roads.tcp),
            });
        }
        self.plan.reach.permits(proto, peer).map_err(|why| denied(why.rule, why.allow_with))?;
        Ok(said)
    }

    fn is_resolver(&self, peer: SocketAddr) -> bool {
        self.plan.resolver().is_some_and(|at| peer == at.into())
    }

    /// A datagram is for the box's own name server. Its answer must come from where it goes, if the socket is not connected: so the socket becomes another, in the
    /// network namespace where that can be. Where this cannot be done the answer comes from another port.
    fn lead(&self, trap: &Trap<'_>, socket: &Socket, peer: SocketAddr) {
        let apart = self.deputy.as_ref().and_then(Deputy::stub).and_then(|roads| roads.apart.as_ref());
        let Some(apart) = apart.filter(|_| self.is_resolver(peer) && socket.proto == Some(Proto::Udp)) else { return };
        if self.tighten.is_dropped()
            || apart.has(socket.fd())
            || rustix::net::getpeername(&socket.fd).is_ok()
            || socket.share.descriptors(1).is_err()
        {
            return;
        }
        let number = trap.args()[0] as u32;
        let info = std::fs::read_to_string(format!("/proc/{}/fdinfo/{number}", trap.tid())).unwrap_or_default();
        let flags = info.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        let cloexec = flags.is_some_and(|flags| flags & OFlags::CLOEXEC.bits() != 0);
        if let Ok(new) = apart.like(socket.fd.as_fd(), socket.domain)
            && trap.guest.replace(number, new.as_fd(), cloexec)
        {
            let _ = socket.moved.set(new);
        }
    }

    /// Not a socket of IP.
    fn foreign(&self, socket: &Socket) -> Action {
        let what = match socket.domain {
            AF_NETLINK => "netlink to other than the kernel".to_owned(),
            other => format!("address family {other}"),
        };
        denied(format!("network rules by address: no {what}"), None)
    }

    /// getsockname(2). Nothing is decided by it: where we have no other name, the kernel's answer will do.
    fn name_of(&self, trap: &Trap<'_>) -> Action {
        if self.names.is_empty() {
            return Action::Pass;
        }
        match socket(trap, &self.budget) {
            Ok(socket) if socket.domain == AF_UNIX => self.names.tell(trap, &socket.fd),
            _ => Action::Pass,
        }
    }

    fn take(&self, socket: Socket, act: Act) -> Action {
        let Some(deputy) = &self.deputy else { return Action::Errno(EPERM) };
        let (door, asked) = (deputy.door(), Arc::<AtomicBool>::default());
        let Socket { fd, moved, caller, tid, share, .. } = socket;
        let fd = moved.into_inner().unwrap_or(fd);
        let recall = deputy.recall(&asked);
        Action::elsewhere(DEADLINE, ETIMEDOUT, recall, move |reply| {
            door.take(Job { socket: fd, tid, caller, act, reply, share, asked });
        })
    }
}

/// Duplicates the socket that the call names. Err: what the kernel would say of the number.
fn socket(trap: &Trap<'_>, budget: &Arc<Budget>) -> Result<Socket, Action> {
    use rustix::net::sockopt;
    let share = budget.job().map_err(failed)?;
    let caller = pidfd::for_files(trap.tid(), || trap.pid()).map_err(|_| Action::Errno(EPERM))?;
    let fd = pidfd::get_fd(caller.as_fd(), trap.args()[0] as i32).map_err(|e| failed(e.0 as u16))?;
    // Until here the number may have become another's.
    if !trap.is_waiting() {
        return Err(failed(EINTR));
    }
    let not = |_| failed(ENOTSOCK);
    let domain = i32::from(sockopt::socket_domain(&fd).map_err(not)?.as_raw());
    let kind = sockopt::socket_type(&fd).map_err(not)?.as_raw();
    let protocol = sockopt::socket_protocol(&fd).map_err(not)?.map_or(0, |p| p.as_raw().get());
    let proto = match (domain, kind, protocol) {
        (AF_INET | AF_INET6, SOCK_STREAM, 6) => Some(Proto::Tcp),
        (AF_INET | AF_INET6, SOCK_DGRAM, 17) => Some(Proto::Udp),
        _ => None,
    };
    let stream = kind == SOCK_STREAM;
    Ok(Socket { fd, moved: OnceCell::new(), caller, tid: trap.tid(), domain, proto, stream, share })
}

impl Handler for Network {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, self.plan.asked().iter().map(|ask| ask.call))
    }

    fn on_syscall(&mut self, trap: &mut Trap<'_>) -> Action {
        // Addresses and headers are read as 64-bit programs lay them out; the filter lets no other architecture through.
        if !matches!(trap.arch(), Arch::X86_64 | Arch::Aarch64) {
            return Action::Errno(EPERM);
        }
        if trap.name() == Some("getsockname") {
            return self.name_of(trap);
        }
        if self.deputy.is_none() {
            self.deputy = Deputy::start(Arc::clone(&self.plan), self.landlock_abi, self.tighten.clone()).ok();
        }
        let socket = match socket(trap, &self.budget) {
            Ok(socket) => socket,
            Err(action) => return action,
        };
        match self.decide(trap, &socket) {
            Ok(act) => self.take(socket, act),
            Err(action) => action,
        }
    }

    fn on_start(&mut self, ancestor: i32) {
        self.ancestor = ancestor;
    }

    fn name(&self) -> &str {
        "network"
    }
}
