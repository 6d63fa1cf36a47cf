//! poststop: waits until the profile is on disk.

use std::time::{Duration, Instant};

use crate::Error;
use crate::channel;
use crate::place::{Found, Place};
use crate::wire::{Card, End, Request};

/// A collector has that long to write a profile: a container's end waits for it.
const PATIENCE: Duration = Duration::from_secs(50);

/// What came of the recording of this container. None: it was not recorded. `salvage` makes the profile of a collector that was killed, from
/// its card.
///
/// # Errors
/// The private directory cannot be used, or a collector does not answer.
pub fn finish(place: &Place, id: &str, salvage: impl Fn(&Card) -> End) -> Result<Option<End>, Error> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match place.look(id)? {
            Found::Nobody => return Ok(None),
            Found::Live => {
                if let Some(end) = ask(place, id, deadline) {
                    return Ok(Some(end));
                }
                // It is about to end, or a hook has only begun to ask for it: the lock will tell.
                std::thread::sleep(Duration::from_millis(2));
            }
            Found::Dead(mut card) => {
                let end = match (place.read::<End>(id, "end"), card.read::<Card>()) {
                    (Some(end), _) => end,
                    (None, Ok(card)) => salvage(&card),
                    (None, Err(_)) => {
                        let why = "the collector was killed before it knew what to record".to_owned();
                        End { failed: Some(why), ..End::default() }
                    }
                };
                place.remove(id, &card);
                place.tidy();
                return Ok(Some(end));
            }
        }
    }
    Err(Error::Finish(format!("the collector has not written the profile of {id} within {PATIENCE:?}")))
}

/// The answer comes when the profile is written. None: the collector is gone, or has nothing of this container.
fn ask(place: &Place, id: &str, deadline: Instant) -> Option<End> {
    let to = channel::connect(&place.socket()).ok()?;
    channel::send(&to, &Request::Finish(id.to_owned()), None).ok()?;
    Some(channel::receive(&to, deadline)?.0)
}
