//! The name server of a box, on sockets of the deputy's: queries that a guest sends to the virtual address of `/etc/resolv.conf` are led here.
//!
//! Port 53 of the virtual address is bound where that may be done, so that an answer comes from where a query went; a resolver that does not
//! connect its socket looks at that. Else it is a port that the kernel chooses, which serves connected sockets, and whoever compares addresses
//! alone.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::dns::{self, Names};

/// Connections at the same time. More of them wait to be accepted.
const STREAMS: usize = 16;
/// A connection that asks nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(10);
/// Datagrams answered in one turn: the box's other calls wait meanwhile.
const TURN: usize = 64;

pub(super) struct Stub {
    udp: UdpSocket,
    tcp: TcpListener,
    at: [SocketAddrV4; 2],
    streams: Vec<Stream>,
}

struct Stream {
    socket: TcpStream,
    read: Vec<u8>,
    unsent: Vec<u8>,
    until: Instant,
}

impl Stub {
    /// Binds both sockets.
    pub fn new(virtual_address: SocketAddrV4) -> std::io::Result<Self> {
        // Everybody may bind every address of 127.0.0.0/8.
        let any = SocketAddrV4::new(*virtual_address.ip(), 0);
        let udp = UdpSocket::bind(virtual_address).or_else(|_| UdpSocket::bind(any))?;
        let tcp = TcpListener::bind(virtual_address).or_else(|_| TcpListener::bind(any))?;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let v4 = |address: SocketAddr| match address {
            SocketAddr::V4(v4) => Ok(v4),
            SocketAddr::V6(_) => Err(std::io::Error::from(ErrorKind::AddrNotAvailable)),
        };
        let at = [v4(udp.local_addr()?)?, v4(tcp.local_addr()?)?];
        Ok(Self { udp, tcp, at, streams: Vec::new() })
    }

    /// Where datagrams go, and where connections.
    pub fn addresses(&self) -> [SocketAddrV4; 2] {
        self.at
    }

    /// What is to be polled for reading.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listens = (self.streams.len() < STREAMS).then(|| self.tcp.as_fd());
        let streams = self.streams.iter().map(|stream| stream.socket.as_fd());
        std::iter::once(self.udp.as_fd()).chain(listens).chain(streams)
    }

    /// When a connection has been idle for too long.
    pub fn next(&self) -> Option<Instant> {
        self.streams.iter().map(|stream| stream.until).min()
    }

    /// Answers what can be answered without waiting. `unknown` hears of names that are asked for in vain.
    pub fn serve(&mut self, names: &Names, unknown: &mut dyn FnMut(&str)) {
        let mut bytes = [0; 4096];
        for _ in 0..TURN {
            let Ok((len, from)) = self.udp.recv_from(&mut bytes) else { break };
            if let Some(response) = dns::answer(&bytes[..len], names, true, unknown) {
                // A full queue loses datagrams; resolvers ask again.
                let _ = self.udp.send_to(&response, from);
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
        let [udp, tcp] = stub.addresses();
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
