//! Profiles that are being made. A profile with many rules about arguments takes seconds: while a thread makes it other containers start and end.

use std::io::{PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use super::job::{Watches, compose};
use crate::place::{Claim, Place};
use crate::wire::{Card, End};

/// What came of a profile.
pub struct Made {
    pub end: End,
    /// What its container's files may be removed with.
    pub lock: Claim,
    pub asker: Option<OwnedFd>,
}

/// A profile that is being made.
pub struct Composing {
    thread: JoinHandle<End>,
    /// Ends with the thread.
    end: PipeReader,
    lock: Claim,
    /// The hook that waits for it, if one does.
    pub asker: Option<OwnedFd>,
}

impl Composing {
    /// Begins to make it. Where there is no thread to be had it is made here.
    pub fn start(
        place: &Arc<Place>,
        (card, watch, lock): (Card, impl Watches, Claim),
        asker: Option<OwnedFd>,
    ) -> Result<Self, Made> {
        let (theirs, output) = (Arc::clone(place), card.output.clone());
        let begun = std::io::pipe().and_then(|(end, alive)| {
            let body = move || with(alive, || compose(&theirs, card, watch));
            Ok((Builder::new().name("composer".into()).spawn(body)?, end))
        });
        match begun {
            Ok((thread, end)) => Ok(Self { thread, end, lock, asker }),
            Err(e) => {
                let failed = Some(format!("no thread to make it: {}", crate::words(&e)));
                Err(Made { end: End { output, failed, ..End::default() }, lock, asker })
            }
        }
    }

    /// Readable when it is made.
    pub fn end(&self) -> &PipeReader {
        &self.end
    }

    /// What came of it.
    pub fn finish(self) -> Made {
        let panicked = |_| End { failed: Some("the thread that made it has panicked".to_owned()), ..End::default() };
        Made { end: self.thread.join().unwrap_or_else(panicked), lock: self.lock, asker: self.asker }
    }
}

/// The pipe's end is the work's, however that comes.
fn with(_alive: PipeWriter, work: impl FnOnce() -> End) -> End {
    work()
}
