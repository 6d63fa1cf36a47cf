//! The collector's loop: hooks ask, containers end, flushes are due.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::compose::{Composing, Made};
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
    place: Arc<Place>,
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
        Ok(Self { place: Arc::new(place), listener, _lock: lock })
    }

    /// Collects until there is nothing to collect any more.
    pub fn run<R: Records>(self, mut recorder: R, log: &mut Log) -> Result<(), String> {
        let mut jobs: BTreeMap<String, Job<R::Watch>> = BTreeMap::new();
        let mut composing: BTreeMap<String, Composing> = BTreeMap::new();
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
            let (asks, ended) = self.wait(&jobs, &composing, deadline)?;
            for id in ended {
                if let Some(made) = composing.remove(&id) {
                    self.made(&id, made.finish(), log);
                } else if let Some(job) = jobs.remove(&id) {
                    self.compose(id, job, None, &mut composing, log);
                }
            }
            if asks {
                while let Ok(from) = channel::accept(&self.listener) {
                    asked = true;
                    self.answer(from, &mut recorder, &mut jobs, &mut composing, log);
                }
            }
            let now = Instant::now();
            for (id, job) in jobs.iter_mut().filter(|(_, job)| job.next_flush() <= now) {
                if let Err(e) = job.flush(&self.place) {
                    log.line(&format!("{id}: not flushed: {e}"));
                }
            }
            idle_since = if jobs.is_empty() && composing.is_empty() { idle_since.or(Some(now)) } else { None };
        }
        self.place.remove_socket();
        Ok(())
    }

    /// Whether somebody asks, and which containers have ended, or their profiles are made.
    fn wait<W: super::Watches>(
        &self,
        jobs: &BTreeMap<String, Job<W>>,
        composing: &BTreeMap<String, Composing>,
        deadline: Instant,
    ) -> Result<(bool, Vec<String>), String> {
        let watched = jobs.iter().filter_map(|(id, job)| Some((id, job.init()?.as_fd())));
        let watched: Vec<_> = watched.chain(composing.iter().map(|(id, made)| (id, made.end().as_fd()))).collect();
        let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
        fds.extend(watched.iter().map(|(_, fd)| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
        let left = channel::timespec(deadline.saturating_duration_since(Instant::now()));
        match poll(&mut fds, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(format!("poll: {e}")),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let ended = watched.iter().zip(&ready[1..]).filter(|(_, ready)| **ready);
        Ok((ready[0], ended.map(|((id, _), _)| (*id).clone()).collect()))
    }

    /// A container has ended: its profile is made.
    fn compose<W: super::Watches>(
        &self,
        id: String,
        job: Job<W>,
        asker: Option<OwnedFd>,
        composing: &mut BTreeMap<String, Composing>,
        log: &mut Log,
    ) {
        match Composing::start(&self.place, job.ended(), asker) {
            Ok(begun) => drop(composing.insert(id, begun)),
            Err(made) => self.made(&id, made, log),
        }
    }

    /// Tells whoever asked what came of it, or keeps it for whoever will.
    fn made(&self, id: &str, Made { end, lock, asker }: Made, log: &mut Log) {
        log.about(id, &end);
        if asker.is_some_and(|asker| channel::send(&asker, &end, None).is_ok()) {
            self.place.remove(id, &lock);
        } else if let Err(e) = self.place.write(id, "end", &end) {
            log.line(&format!("{id}: {e}"));
        }
    }

    fn answer<R: Records>(
        &self,
        from: OwnedFd,
        recorder: &mut R,
        jobs: &mut BTreeMap<String, Job<R::Watch>>,
        composing: &mut BTreeMap<String, Composing>,
        log: &mut Log,
    ) {
        match channel::receive::<Request>(&from, Instant::now() + PATIENCE) {
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
                if channel::send(&from, &hello, None).is_err() {
                    log.line(&format!("{id}: its hook went away before the recording began"));
                    if let Some(job) = jobs.remove(&id) {
                        let (.., lock) = job.ended();
                        self.place.remove(&id, &lock);
                    }
                }
            }
            // Where neither is there, the hook finds the answer on disk: nothing is said here.
            Some((Request::Finish(id), _)) => match jobs.remove(&id) {
                Some(job) => self.compose(id, job, Some(from), composing, log),
                None => {
                    if let Some(made) = composing.get_mut(&id) {
                        made.asker = Some(from);
                    }
                }
            },
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
