//! The asking side: boxes by name, one question each.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use crate::place::{Card, Place, candidates, candidates_of, unusable};
use crate::wire::{Envelope, MOST_REPLY};
use crate::{Reply, Request};

/// A running box that was found.
#[derive(Debug)]
pub struct Found {
    place: Place,
    name: String,
    card: Card,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Ask {
    /// Nobody runs under that name.
    Gone,
    /// The box, or the way to it, failed.
    Io(io::Error),
}

impl Found {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Process id of its supervisor.
    pub fn supervisor(&self) -> i32 {
        self.card.pid
    }
}

/// Every running box of this user, by name. What killed supervisors left behind is removed on the way.
pub fn list() -> io::Result<Vec<Found>> {
    list_in(candidates(), geteuid().as_raw())
}

/// Every running box of the user `uid`, by name, where it can be found without his environment: in `/run/user/UID/tipstaff` and
/// `/tmp/tipstaff-UID`, if they are his alone. For root; PermissionDenied for anybody else who asks about others.
pub fn list_of(uid: u32) -> io::Result<Vec<Found>> {
    let me = geteuid().as_raw();
    match uid {
        _ if uid == me => list(),
        _ if me == 0 => list_in(candidates_of(uid), uid),
        _ => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("the boxes of uid {uid} are for that user and root; leave `--user` out for your own"),
        )),
    }
}

fn list_in(places: Vec<PathBuf>, uid: u32) -> io::Result<Vec<Found>> {
    let mut found: Vec<Found> = Vec::new();
    for (rank, path) in places.into_iter().enumerate() {
        let names = match Place::open_of(&path, uid) {
            Ok(place) => place.names()?,
            // Boxes are made in the first place; that somebody has taken the name of another one hides none.
            Err(e) if rank > 0 || e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(unusable(&path, "cannot open", e)),
        };
        for name in names {
            let place = Place::open_of(&path, uid)?;
            if let Some(card) = place.card(&name)? {
                found.push(Found { place, name, card });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The running box of a name.
pub fn find(name: &str) -> io::Result<Option<Found>> {
    Ok(list()?.into_iter().find(|found| found.name == name))
}

/// Asks one thing and waits for the answer, at most so long.
pub fn ask(found: &Found, request: Request, patience: Duration) -> Result<Reply, Ask> {
    let gone = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ask::Gone,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Ask::Io(io::Error::other(format!("box {:?} (pid {}) does not answer", found.name, found.card.pid)))
        }
        _ => Ask::Io(e),
    };
    let mut stream = UnixStream::connect(found.place.socket(&found.name)).map_err(gone)?;
    // What has the name may be a link to the socket of somebody who trusts us more than whoever made the link.
    if socket_peercred(&stream).map_or(true, |peer| peer.uid.as_raw() != found.place.uid()) {
        let uid = found.place.uid();
        return Err(Ask::Io(io::Error::other(format!(
            "box {:?}: its socket is not uid {uid}'s; remove it",
            found.name
        ))));
    }
    stream.set_read_timeout(Some(patience)).map_err(Ask::Io)?;
    stream.set_write_timeout(Some(patience)).map_err(Ask::Io)?;
    let envelope = Envelope { key: found.card.key.clone(), request };
    let mut line = serde_json::to_vec(&envelope).map_err(|e| Ask::Io(e.into()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(gone)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MOST_REPLY as u64)).read_until(b'\n', &mut answer).map_err(gone)?;
    if answer.is_empty() {
        return Err(Ask::Gone);
    }
    serde_json::from_slice(&answer).map_err(|_| {
        Ask::Io(io::Error::other(format!("box {:?} answers what cannot be read; use its own tipstaff", found.name)))
    })
}
