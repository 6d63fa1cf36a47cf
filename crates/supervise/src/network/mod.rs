//! Network rules by address: who decides, and who makes the calls.
//!
//! ```text
//!  guest ── connect(fd, address) ──▶ engine ──▶ Network: copies, judges ──▶ Deputy: a thread with no privilege
//!    ▲                                                                        connect(duplicate, our copy)
//!    └───────────────────────────── the result ◀──────────────────────────────┘
//! ```

mod acts;
mod address;
mod deputy;
mod dns;
mod handler;
mod message;
mod stub;
mod unix;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use handler::Network;

/// Takes the network away from a box that runs. What was taken stays taken.
#[derive(Clone, Debug, Default)]
pub struct Tighten {
    dropped: Arc<AtomicBool>,
}

impl Tighten {
    /// From now on nobody can be reached. Of the processes given (all of the box, by their ids here), the sockets of TCP and UDP are shut
    /// down, too: shutdown(2) in both directions. How many were. A process that goes meanwhile takes its sockets along.
    pub fn drop_network(&self, processes: impl IntoIterator<Item = i32>) -> usize {
        self.dropped.store(true, Ordering::SeqCst);
        processes.into_iter().map(shut).sum()
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }
}

fn shut(process: i32) -> usize {
    use std::os::fd::AsFd;

    use rustix::net::{AddressFamily, Shutdown, shutdown, sockopt};
    let (Ok(pidfd), Ok(list)) = (tipstaff_sys::pidfd::open(process), std::fs::read_dir(format!("/proc/{process}/fd")))
    else {
        return 0;
    };
    let numbers = list.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let one = |number| {
        let fd = tipstaff_sys::pidfd::get_fd(pidfd.as_fd(), number).ok()?;
        let domain = sockopt::socket_domain(&fd).ok()?;
        if [AddressFamily::INET, AddressFamily::INET6].contains(&domain) {
            shutdown(&fd, Shutdown::Both).ok()
        } else {
            None
        }
    };
    numbers.filter(|number| one(*number).is_some()).count()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    #[test]
    fn dropping_the_network_shuts_the_sockets_of_the_processes_given() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("connect");
        let (mut ours, _) = listener.accept().expect("accept");
        let mut child =
            Command::new("sleep").arg("60").stdin(Stdio::from(OwnedFd::from(theirs))).spawn().expect("sleep(1)");
        ours.set_read_timeout(Some(Duration::from_millis(100))).expect("a time");
        let mut byte = [0];
        assert!(ours.read(&mut byte).is_err(), "the control: the connection is open");
        let tighten = Tighten::default();
        assert!(!tighten.is_dropped());
        assert_eq!(tighten.drop_network([child.id() as i32]), 1);
        assert!(tighten.is_dropped());
        ours.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        assert_eq!(ours.read(&mut byte).expect("its end"), 0);
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
}
