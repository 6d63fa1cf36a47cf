//! The collector's loop: hooks ask, containers end, flushes are due.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::job::{Job, Records};
use crate::channel;
use crate::log::Log;
use crate::place::{Claim, Place};
use crate::wire::{End, Hello, Request};

/// A hook says at once what it wants.
const PATIENCE: Duration = Duration::from_secs(1);
/// A collector that nobody asks for anything ends.
const IDLE: Duration = Duration::from_secs(10);

/// A collector that listens.
pub struct Server {
    place: Place,
    listener: OwnedFd,
    /// Held to the end: while it is, there is no other collector.
    _lock: Claim,
}

impl Server {
    /// Listens.
    pub fn listen(place: Place, lock: Claim) -> Result<Self, String> {
        // A killed one's.
        place.remove_socket();
        let listener =
            channel::listen(&place.socket()).map_err(|e| format!("a socket: {}", crate::words(&e.into())))?;
        Ok(Self { place, listener, _lock: lock })
    }

    /// Collects until there is nothing to collect any more.
    pub fn run<R: Records>(self, mut recorder: R, log: &mut Log) -> Result<(), String> {
        let mut jobs: BTreeMap<String, Job<R::Watch>> = BTreeMap::new();
        let mut idle_since = Some(Instant::now());
        let mut asked = false;
        loop {
            let due = jobs.values().map(Job::next_flush).min();
            let deadline = match idle_since {
                // Somebody was served, and nobody is left: the next one starts another.
                Some(_) if asked => break,
                Some(since) if since.elapsed() >= IDLE => break,
                Some(since) => since + IDLE,
                None => due.unwrap_or_else(|| Instant::now() + IDLE),
            };
            let (asks, ended) = self.wait(&jobs, deadline)?;
            for id in ended {
                let Some(job) = jobs.remove(&id) else { continue };
                let (end, lock) = job.finish(&self.place);
                log.about(&id, &end);
                if let Err(e) = self.place.write(&id, "end", &end) {
                    log.line(&format!("{id}: {e}"));
                }
                drop(lock);
            }
            if asks {
                while let Ok(from) = channel::accept(&self.listener) {
                    asked = true;
                    self.answer(&from, &mut recorder, &mut jobs, log);
                }
            }
            let now = Instant::now();
            for (id, job) in jobs.iter_mut().filter(|(_, job)| job.next_flush() <= now) {
                if let Err(e) = job.flush(&self.place) {
                    log.line(&format!("{id}: not flushed: {e}"));
                }
            }
            idle_since = if jobs.is_empty() { idle_since.or(Some(now)) } else { None };
        }
        self.place.remove_socket();
        Ok(())
    }

    /// Whether somebody asks, and which containers have ended.
    fn wait<W: super::Watches>(
        &self,
        jobs: &BTreeMap<String, Job<W>>,
        deadline: Instant,
    ) -> Result<(bool, Vec<String>), String> {
        let watched: Vec<_> = jobs.iter().filter_map(|(id, job)| Some((id, job.init()?))).collect();
        let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
        fds.extend(watched.iter().map(|(_, init)| PollFd::new(*init, PollFlags::IN)));
        let left = channel::timespec(deadline.saturating_duration_since(Instant::now()));
        match poll(&mut fds, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(format!("poll: {e}")),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let ended = watched.iter().zip(&ready[1..]).filter(|(_, ready)| **ready);
        Ok((ready[0], ended.map(|((id, _), _)| (*id).clone()).collect()))
    }

    fn answer<R: Records>(
        &self,
        from: &OwnedFd,
        recorder: &mut R,
        jobs: &mut BTreeMap<String, Job<R::Watch>>,
        log: &mut Log,
    ) {
        match channel::receive::<Request>(from, Instant::now() + PATIENCE) {
            Some((Request::Record(card), Some(lock))) => {
                let id = card.id.clone();
                let lock = Claim::inherited(lock);
                let hello = match Job::start(recorder, *card, lock) {
                    Ok((job, notes)) => {
                        jobs.insert(id.clone(), job);
                        Hello::Ready(notes)
                    }
                    Err(why) => Hello::Failed(why),
                };
                // A hook that is gone, or has given up, has failed its container: there is nothing to record.
                if channel::send(from, &hello, None).is_err() {
                    log.line(&format!("{id}: its hook went away before the recording began"));
                    jobs.remove(&id);
                }
            }
            Some((Request::Finish(id), _)) => {
                // Where the container's end was seen a moment ago, the hook finds the answer on disk: nothing is said here.
                let Some(job) = jobs.remove(&id) else { return };
                let (end, lock) = job.finish(&self.place);
                log.about(&id, &end);
                // Kept if the hook does not hear it.
                let heard = channel::send(from, &end, None).is_ok();
                if heard {
                    self.place.remove(&id, &lock);
                } else {
                    let _ = self.place.write(&id, "end", &end);
                }
            }
            Some((Request::Record(_), None)) | None => {}
        }
    }
}

impl Log {
    fn about(&mut self, id: &str, end: &End) {
        for line in end.lines() {
            self.line(&format!("{id}: {line}"));
        }
    }
}
