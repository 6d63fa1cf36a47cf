//! The name server of a box, on sockets of the deputy's: queries that a guest sends to the virtual address of `/etc/resolv.conf` are led here.
//!
//! Port 53 of the virtual address is bound where that may be done, so that an answer comes from where a query went; a resolver that does not
//! connect its socket looks at that. Else it is a port that the kernel chooses, which serves connected sockets, and port 53 in a network namespace of our
//! own ([`Apart`]), to which a socket that is not connected is moved by its first query: it becomes another one, made there.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use tipstaff_sys::apart::Apart;
use tipstaff_sys::socket;

use super::address::{AF_INET, AF_INET6, bytes_of};
use super::dns::{self, Names};

/// Connections at the same time. More of them wait to be accepted.
const STREAMS: usize = 16;
/// A connection that asks nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(10);
/// Datagrams answered in one turn: the box's other calls wait meanwhile.
const TURN: usize = 64;

const SOCK_DGRAM: i32 = 2;

/// Where queries are led.
#[derive(Clone)]
pub(super) struct Roads {
    /// Datagrams.
    pub udp: SocketAddrV4,
    /// Connections.
    pub tcp: SocketAddrV4,
    /// Datagrams of sockets that are not connected, under the address that the guest knows.
    pub apart: Option<Arc<Elsewhere>>,
}

/// A network namespace in which the guest's address of the server is the server's.
pub(super) struct Elsewhere {
    apart: Apart,
    /// As [`socket::network_of`] says.
    network: u64,
}

impl Elsewhere {
    fn new(at: SocketAddrV4) -> std::io::Result<(Self, UdpSocket)> {
        let apart = Apart::new()?;
        let server = apart.socket(AF_INET, SOCK_DGRAM)?;
        socket::bind(server.as_fd(), &bytes_of(at.into()))?;
        let network = socket::network_of(server.as_fd()).ok_or(ErrorKind::Unsupported)?;
        Ok((Self { apart, network }, server.into()))
    }

    /// The socket is one of those.
    pub fn has(&self, socket: BorrowedFd<'_>) -> bool {
        socket::network_of(socket) == Some(self.network)
    }

    /// What is to take the place of a datagram socket that is not connected.
    pub fn like(&self, socket: BorrowedFd<'_>, domain: i32) -> std::io::Result<OwnedFd> {
        use sockopt::{Timeout, ipv6_v6only, set_ipv6_v6only, set_socket_timeout, socket_timeout};
        let new = self.apart.socket(domain, SOCK_DGRAM)?;
        rustix::fs::fcntl_setfl(&new, rustix::fs::fcntl_getfl(socket)?)?;
        for which in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&new, which, socket_timeout(socket, which)?)?;
        }
        if domain == AF_INET6 {
            set_ipv6_v6only(&new, ipv6_v6only(socket)?)?;
        }
        Ok(new)
    }
}

pub(super) struct Stub {
    /// Where the guest's address is led, and the guest's address elsewhere.
    udp: Vec<UdpSocket>,
    tcp: TcpListener,
    roads: Roads,
    streams: Vec<Stream>,
}

struct Stream {
    socket: TcpStream,
    read: Vec<u8>,
    unsent: Vec<u8>,
    until: Instant,
}

impl Stub {
    /// Binds its sockets.
    pub fn new(virtual_address: SocketAddrV4) -> std::io::Result<Self> {
        // Everybody may bind every address of 127.0.0.0/8.
        let any = SocketAddrV4::new(*virtual_address.ip(), 0);
        let udp = UdpSocket::bind(virtual_address).or_else(|_| UdpSocket::bind(any))?;
        let tcp = TcpListener::bind(virtual_address).or_else(|_| TcpListener::bind(any))?;
        tcp.set_nonblocking(true)?;
        let v4 = |address: SocketAddr| match address {
            SocketAddr::V4(v4) => Ok(v4),
            SocketAddr::V6(_) => Err(std::io::Error::from(ErrorKind::AddrNotAvailable)),
        };
        let mut roads = Roads { udp: v4(udp.local_addr()?)?, tcp: v4(tcp.local_addr()?)?, apart: None };
        let mut udp = vec![udp];
        if roads.udp != virtual_address
            && let Ok((elsewhere, server)) = Elsewhere::new(virtual_address)
        {
            roads.apart = Some(Arc::new(elsewhere));
            udp.push(server);
        }
        udp.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
        Ok(Self { udp, tcp, roads, streams: Vec::new() })
    }

    pub fn roads(&self) -> &Roads {
        &self.roads
    }

    /// What is to be polled for reading.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listens = (self.streams.len() < STREAMS).then(|| self.tcp.as_fd());
        let streams = self.streams.iter().map(|stream| stream.socket.as_fd());
        self.udp.iter().map(AsFd::as_fd).chain(listens).chain(streams)
    }

    /// When a connection has been idle for too long.
    pub fn next(&self) -> Option<Instant> {
        self.streams.iter().map(|stream| stream.until).min()
    }

    /// Answers what can be answered without waiting. `unknown` hears of names that are asked for in vain.
    pub fn serve(&mut self, names: &Names, unknown: &mut dyn FnMut(&str)) {
        let mut bytes = [0; 4096];
        for udp in &self.udp {
            for _ in 0..TURN {
                let Ok((len, from)) = udp.recv_from(&mut bytes) else { break };
                if let Some(response) = dns::answer(&bytes[..len], names, true, unknown) {
                    // A full queue loses datagrams; resolvers ask again.
                    let _ = udp.send_to(&response, from);
                }
            }
        }
        let now = Instant::now();
        while self.streams.len() < STREAMS {
            let Ok((socket, _)) = self.tcp.accept() else { break };
            if socket.set_nonblocking(true).is_ok() {
                self.streams.push(Stream { socket, read: Vec::new(), unsent: Vec::new(), until: now + IDLE });
            }
        }
        self.streams.retain_mut(|stream| now < stream.until && stream.serve(names, now, unknown));
    }
}

impl Stream {
    /// False: it is over.
    fn serve(&mut self, names: &Names, now: Instant, unknown: &mut dyn FnMut(&str)) -> bool {
        let mut bytes = [0; 4096];
        let read = match self.socket.read(&mut bytes) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return false,
        };
        self.read.extend(&bytes[..read]);
        // RFC 1035 4.2.2: two bytes of length before each message.
        while let Some((len, rest)) = self.read.split_first_chunk::<2>() {
            let len = usize::from(u16::from_be_bytes(*len));
            let Some(query) = rest.get(..len) else { break };
            let Some(response) = dns::answer(query, names, false, unknown) else { return false };
            let Ok(size) = u16::try_from(response.len()) else { return false };
            self.unsent.extend(size.to_be_bytes());
            self.unsent.extend(response);
            self.read.drain(..2 + len);
            self.until = now + IDLE;
        }
        if self.unsent.is_empty() {
            return true;
        }
        // An answer is a few hundred bytes, and a socket that has no room for them has a peer that does not read.
        match self.socket.write(&self.unsent) {
            Ok(sent) if sent == self.unsent.len() => self.unsent.clear(),
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    /// A for `a.test`.
    const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01";

    #[test]
    fn both_ways_are_answered() {
        let names = [("a.test".to_owned(), vec![IpAddr::from([192, 0, 2, 1])])];
        let mut stub = Stub::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("sockets");
        let Roads { udp, tcp, .. } = *stub.roads();
        let client = UdpSocket::bind("127.0.0.1:0").expect("bind");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        client.send_to(QUERY, udp).expect("send");
        stub.serve(&names, &mut |_| ());
        let mut bytes = [0; 512];
        let (len, from) = client.recv_from(&mut bytes).expect("an answer");
        assert_eq!((from, &bytes[len - 4..len]), (udp.into(), &[192, 0, 2, 1][..]));

        let mut stream = TcpStream::connect(tcp).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        stream.write_all(&[0, QUERY.len() as u8]).expect("send");
        stub.serve(&names, &mut |_| ());
        stream.write_all(QUERY).expect("send");
        stub.serve(&names, &mut |_| ());
        let len = stream.read(&mut bytes).expect("an answer");
        assert_eq!(bytes[len - 4..len], [192, 0, 2, 1]);
        drop(stream);
        stub.serve(&names, &mut |_| ());
        assert_eq!(stub.streams.len(), 0, "what is closed is forgotten");
    }
}
