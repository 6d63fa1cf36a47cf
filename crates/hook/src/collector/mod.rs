//! The collector: a process of its own, in its own session and outside of the caller's control groups, for as long as there is a container to record.

mod compose;
mod job;
mod recorder;
mod serve;

use std::io::Write;

use crate::log::Log;
use crate::place::{COLLECTOR, Claim, Place};
use crate::wire::Task;

pub use job::{Records, Watches};
pub use recorder::Real;

/// Collects; standard input is the collector's card, locked, and standard output is heard until a line says that somebody listens. The exit status.
pub fn collect(recorder: impl Records) -> u8 {
    let mut said = std::io::stdout();
    let begun = std::io::stdin().lock();
    let lock = std::os::fd::AsFd::as_fd(&begun).try_clone_to_owned();
    drop(begun);
    let ready = lock.map_err(|e| crate::words(&e)).and_then(|lock| begin(Claim::inherited(lock)));
    match ready {
        Ok((server, mut log)) => {
            // Whoever started us goes on; without a reader there is nobody to collect for.
            if said.write_all(b"\n").and_then(|()| said.flush()).is_err() {
                return 1;
            }
            hush();
            match server.run(recorder, &mut log) {
                Ok(()) => 0,
                Err(e) => {
                    log.line(&format!("the collector ends: {e}"));
                    1
                }
            }
        }
        Err(why) => {
            let _ = writeln!(said, "{}", why.replace('\n', " "));
            1
        }
    }
}

/// Leaves everything of the caller's, and listens.
fn begin(mut lock: Claim) -> Result<(serve::Server, Log), String> {
    let task: Task =
        lock.read().map_err(|e| format!("no card of a collector on standard input: {}", crate::words(&e)))?;
    let mut log = Log::open(&task.log, COLLECTOR);
    // Whoever is the leader of a group already cannot, and need not.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    for (group, why) in tipstaff_cgroup::leave() {
        log.line(&format!("stays in control group {group}: {}", crate::words(&why)));
    }
    let place = Place::open(&task.runtime_dir).map_err(|e| e.to_string())?;
    Ok((serve::Server::listen(place, lock)?, log))
}

/// From now on nobody hears us on standard output, and nobody waits for its end.
fn hush() {
    if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

#[cfg(test)]
mod tests;
