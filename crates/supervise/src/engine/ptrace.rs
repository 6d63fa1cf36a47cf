//! The ptrace engine: one thread that traces every task of a box.
//!
//! The box's first process waits at a gate until it is seized (PTRACE_SEIZE, with PTRACE_O_EXITKILL), and only then installs its filter and
//! executes. From then on it runs free but for the calls that the filter sends us (SECCOMP_RET_TRACE) and ptrace's own events. The keeper
//! stays every process's real parent: the kernel tells it of an end when we have seen it.
//!
//! The thread waits blocking, and ends with its last tracee; the session does everything else. Should the thread end otherwise, the
//! kernel kills the tracees.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use tipstaff_sys::Errno;
use tipstaff_trace::seam::{Seam, Shared};
use tipstaff_trace::{Config, Go, Tracer, Turn, Untraced};

use super::anteroom::Anteroom;
use super::guide::{self, Guide};
use super::voice::{Said, Voice};
use crate::handler::{Handlers, caught};

/// How long the end of a box waits for the tracer's last words.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A tracer that waits for its box.
pub struct Ptrace {
    take: Sender<(i32, Sender<Result<(), Errno>>)>,
    voice: Voice,
    over: Receiver<()>,
    anteroom: Option<Arc<Anteroom>>,
}

impl fmt::Debug for Ptrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ptrace")
    }
}

impl Ptrace {
    /// Starts the thread. It waits for [`Self::take`], and ends if that does not come. `data`: that of our filter's RET_TRACE.
    pub fn start(handlers: Handlers, seam: Option<Box<dyn Seam>>, data: u16) -> std::io::Result<Self> {
        let (take, taken) = mpsc::channel::<(i32, Sender<Result<(), Errno>>)>();
        let (done, over) = mpsc::channel();
        let voice = Voice::new()?;
        let theirs = voice.clone();
        thread::Builder::new().name("tracer".into()).spawn(move || {
            if let Ok((pid, reply)) = taken.recv()
                && let Err(words) = caught(|| trace(pid, &reply, (handlers, seam, data), &theirs))
            {
                // The kernel kills the tracees when this thread ends.
                theirs.lost(format!("tracer: {words}"));
            }
            drop(done);
        })?;
        Ok(Self { take, voice, over, anteroom: None })
    }

    /// Guests' listeners are served, with this between the tracer and the session.
    #[must_use]
    pub fn serving(self, anteroom: Option<Arc<Anteroom>>) -> Self {
        Self { anteroom, ..self }
    }

    pub(crate) fn anteroom(&self) -> Option<&Anteroom> {
        self.anteroom.as_deref()
    }

    /// Takes a process, before it executes anything.
    pub fn take(&self, pid: i32) -> Result<(), Errno> {
        let (reply, answer) = mpsc::channel();
        self.take.send((pid, reply)).map_err(|_| Errno::SRCH)?;
        answer.recv().unwrap_or(Err(Errno::SRCH))
    }

    /// Readable when the tracer has said something.
    pub(crate) fn news(&self) -> BorrowedFd<'_> {
        self.voice.news()
    }

    /// What it has said.
    pub(crate) fn hear(&self) -> Said {
        self.voice.hear()
    }

    /// The box is empty: waits for the tracer's end, and hears its last words.
    pub(crate) fn finish(&self) -> Said {
        let _ = self.over.recv_timeout(LAST_WORDS);
        self.hear()
    }
}

fn trace(
    pid: i32,
    reply: &Sender<Result<(), Errno>>,
    (mut handlers, seam, data): (Handlers, Option<Box<dyn Seam>>, u16),
    voice: &Voice,
) {
    let shared = seam.is_some();
    let config = Config { start: Go::Free, untraced: Untraced::Forbid, filtered_untraced: shared, ..Config::default() };
    let mut tracer = Tracer::new(if shared { config.shared() } else { config });
    let taken = tracer.take(pid);
    let failed = taken.is_err();
    let _ = reply.send(taken);
    if failed {
        return;
    }
    // The keeper, which is the parent of the first process.
    if let Some(fault) = crate::stat::of(pid).and_then(|stat| handlers.start(stat.ppid)) {
        voice.fault(fault);
    }
    let mut guide = Guide::new(handlers, (seam.as_deref(), data), voice.clone());
    guide.born(pid);
    let mut shared = Shared::new(guide, seam);
    loop {
        // Before the wait: what was decided meanwhile; and from here on an answer ends the wait.
        guide::settle(&mut shared, &mut tracer);
        match shared.step(&mut tracer) {
            Ok(Turn::Empty) => return,
            Ok(_) => {}
            Err(e) => {
                // The tracees die with this thread's tracer.
                voice.lost(format!("tracer: {e}"));
                return;
            }
        }
    }
}
