//! The thread that looks, one for each box with an exact account: a look at many mappings takes milliseconds, and the session's loop may have a kill to
//! issue meanwhile.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::Shared;
use super::ledger::Asked;
use crate::handler::Reply;

/// How long a decision waits for calls that may or may not have been made.
const PATIENCE: Duration = Duration::from_millis(200);
const AGAIN: Duration = Duration::from_micros(300);

/// Ends with its last desk, and the box.
#[derive(Debug)]
pub(super) struct Clerk(Desk);

/// Where requests are handed in. Each caller waits for its answer, so there are no more of them than tasks.
#[derive(Clone, Debug)]
pub(super) struct Desk(Sender<(Asked, Reply)>);

impl Clerk {
    pub fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (sender, queue) = mpsc::channel();
        std::thread::Builder::new().name("account".into()).spawn(move || work(&shared, &queue))?;
        Ok(Self(Desk(sender)))
    }

    pub fn desk(&self) -> Desk {
        self.0.clone()
    }
}

impl Desk {
    /// Dropped, should nobody be there, the reply refuses.
    pub fn ask(&self, asked: Asked, reply: Reply) {
        let _ = self.0.send((asked, reply));
    }
}

fn work(shared: &Shared, queue: &Receiver<(Asked, Reply)>) {
    let mut open: Vec<(Asked, Reply, Instant)> = Vec::new();
    loop {
        let next = if open.is_empty() {
            queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            queue.recv_timeout(AGAIN)
        };
        match next {
            Ok((asked, reply)) => open.push((asked, reply, Instant::now() + PATIENCE)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        for (asked, reply, until) in std::mem::take(&mut open) {
            match shared.decide(&asked, Instant::now() >= until) {
                Some(action) => reply.give(action),
                None => open.push((asked, reply, until)),
            }
        }
    }
}
