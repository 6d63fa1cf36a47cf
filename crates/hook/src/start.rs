//! prestart or createRuntime: a collector is found or started, and the container waits for its word.
//!
//! There is one collector for all containers of a private directory: what it loads into the kernel is shared by all recordings, so that a call of a bystander
//! costs the same with one recording or with twenty.

use std::fs::File;
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;
use crate::channel;
use crate::log::Log;
use crate::place::{COLLECTOR, Place};
use crate::wire::{Card, Hello, Request, Task};

/// Between two looks for a collector that another hook has just started.
const PAUSE: Duration = Duration::from_millis(2);

/// Has a container recorded, and waits until it is; what there is to say about how. None: it is recorded already.
///
/// # Errors
/// Why it is not recorded. Nothing is left of the attempt then.
pub fn start(
    place: &Place,
    card: &Card,
    task: &Task,
    limit: Duration,
    log: &Log,
) -> Result<Option<Vec<String>>, Error> {
    let ask = Request::Record(Box::new(card.clone()));
    // What never fits would else be tried again until the deadline.
    channel::fits(&ask).map_err(|e| failed("what the container's configuration says is too long", e))?;
    place.sweep();
    let Some(mut claim) = place.claim(&card.id)? else { return Ok(None) };
    let deadline = Instant::now() + limit;
    let started = claim.write(card).map_err(|e| failed("its card", e)).and_then(|()| {
        let late = || Error::Start(format!("the collector did not answer within {limit:?} (--time-limit)"));
        loop {
            let to = collector(place, task, deadline, log)?.ok_or_else(late)?;
            let lock = claim.share().map_err(|e| failed("its card", e))?;
            // A collector that is about to end takes nothing any more: another is found.
            if channel::send(&to, &ask, Some(lock.as_fd())).is_err() {
                continue;
            }
            match channel::receive::<Hello>(&to, deadline) {
                Some((Hello::Ready(notes), _)) => return Ok(notes),
                Some((Hello::Failed(why), _)) => return Err(Error::Start(why)),
                None if Instant::now() >= deadline => return Err(late()),
                None => {}
            }
        }
    });
    if started.is_err() {
        place.remove(&card.id, &claim);
    }
    started.map(Some)
}

fn failed(what: &str, e: std::io::Error) -> Error {
    Error::Start(format!("{what}: {}", crate::words(&e)))
}

/// A connection to the collector; it is started if there is none. None: it does not listen before the deadline.
fn collector(place: &Place, task: &Task, deadline: Instant, log: &Log) -> Result<Option<OwnedFd>, Error> {
    while Instant::now() < deadline {
        if let Ok(to) = channel::connect(&place.socket()) {
            return Ok(Some(to));
        }
        match place.claim(COLLECTOR)? {
            // Another hook starts one, or one is about to end.
            None => std::thread::sleep(PAUSE),
            Some(mut lock) => {
                lock.write(task).map_err(|e| failed("a collector's card", e))?;
                spawn(lock.share().map_err(|e| failed("a collector's card", e))?, deadline, log)?;
            }
        }
    }
    Ok(None)
}

/// Starts a collector that holds this lock, and waits until it listens.
fn spawn(lock: OwnedFd, deadline: Instant, log: &Log) -> Result<(), Error> {
    let (ready, says) = std::io::pipe().map_err(|e| failed("a pipe", e))?;
    // The runtime's own descriptors, which it did not make close-on-exec, are nobody's business but its.
    tipstaff_sys::close_range::cloexec_from(3).map_err(|e| failed("descriptors", e.into()))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("tipstaff").args(["hook", "collect"]).env_clear().current_dir("/");
    // The administrator's switches, which stand in the hook's own configuration.
    command.envs(std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"TIPSTAFF_")));
    command.stdin(lock).stdout(says).stderr(log.file().map_or_else(Stdio::null, File::into));
    let mut collector = command.spawn().map_err(|e| failed("a collector", e))?;
    // It holds our end of the pipe, which would then never end.
    drop(command);
    let heard = listens(ready, deadline);
    if heard.is_err() {
        // A child of ours that nobody has waited for: its number is its own, though it may have ended by itself.
        let _ = collector.kill();
        let _ = collector.wait();
    }
    heard
}

/// Waits until the collector says that it listens (an empty line), or why it does not. The pipe's end without a word is the collector's.
fn listens(mut ready: PipeReader, deadline: Instant) -> Result<(), Error> {
    let mut text = Vec::new();
    while !text.ends_with(b"\n") {
        match channel::wait(ready.as_fd(), deadline) {
            Ok(true) => {}
            Ok(false) => return Err(Error::Start("the collector was not ready in time (--time-limit)".to_owned())),
            Err(e) => return Err(failed("its word", e.into())),
        }
        let mut piece = [0u8; 4096];
        match ready.read(&mut piece) {
            Ok(0) => {
                return Err(Error::Start("the collector ended before it was ready; the log may say why".to_owned()));
            }
            Ok(n) => text.extend_from_slice(&piece[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed("its word", e)),
        }
    }
    match String::from_utf8_lossy(&text).trim_end() {
        "" => Ok(()),
        why => Err(Error::Start(why.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn heard(text: &str, limit: Duration) -> Result<(), String> {
        let (ready, mut says) = std::io::pipe().expect("a pipe");
        says.write_all(text.as_bytes()).expect("room in a pipe");
        drop(says);
        listens(ready, Instant::now() + limit).map_err(|e| e.to_string())
    }

    #[test]
    fn ready_a_reason_an_end() {
        let soon = Duration::from_secs(5);
        assert_eq!(heard("\n", soon), Ok(()));
        assert_eq!(heard("no room\n", soon), Err("the recording was not started: no room".to_owned()));
        assert!(heard("", soon).expect_err("no word").contains("ended before it was ready"));
        assert!(heard("no ro", soon).expect_err("half a word").contains("ended before it was ready"));
    }

    #[test]
    fn silence_ends_at_the_limit_and_not_before() {
        let (ready, _says) = std::io::pipe().expect("a pipe");
        let begun = Instant::now();
        let error = listens(ready, begun + Duration::from_millis(50)).expect_err("silence").to_string();
        assert!(error.contains("not ready in time"), "{error}");
        assert!(begun.elapsed() >= Duration::from_millis(50));
    }
}
