//! What a policy function has written down.

use std::sync::{Arc, Mutex, PoisonError};

use super::Event;

/// Events that are kept: a guest must not fill our memory.
const KEPT: usize = 1000;

/// Events that were answered with [`Decision::Audit`](super::Decision::Audit), the first thousand. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct AuditTrail(Arc<Mutex<Trail>>);

#[derive(Debug, Default)]
struct Trail {
    events: Vec<Event>,
    more: u64,
}

impl AuditTrail {
    /// The events, in the order in which they were decided.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// How many came when a thousand were there.
    #[must_use]
    pub fn more(&self) -> u64 {
        self.lock().more
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Trail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, event: &Event) {
        let mut trail = self.lock();
        if trail.events.len() < KEPT {
            trail.events.push(event.clone());
        } else {
            trail.more += 1;
        }
    }
}
