//! Many boxes, one thread: each child is a descriptor to poll and a `try_wait` to call when it is readable.
//!
//!     cargo run -p tipstaff --example poll

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use tipstaff::{Child, Command, Error, Profile};

fn main() -> Result<(), Error> {
    let profile = Profile::preset("default")?.wall(Duration::from_millis(500));
    let mut running: Vec<(&str, Child)> = Vec::new();
    for time in ["0", "0.2", "60"] {
        running.push((time, Command::new("sleep").arg(time).profile(profile.clone()).spawn_unwatched()?));
    }
    while !running.is_empty() {
        let mut fds: Vec<_> = running.iter().map(|(_, child)| PollFd::new(child, PollFlags::IN)).collect();
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::Io(e.into())),
        }
        let mut still = Vec::new();
        for (time, mut child) in running {
            match child.try_wait()? {
                Some(report) => println!("sleep {time}: {}", report.verdict),
                None => still.push((time, child)),
            }
        }
        running = still;
    }
    Ok(())
}
