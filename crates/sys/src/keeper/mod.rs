//! The box's keeper: PID 1 of the box's PID namespace, or, where no namespace can be had, a child subreaper.
//!
//! ```text
//!  setup ──ops──▶ launch ──vfork, exec──▶ RUNNING ──root ended / KILL / supervisor gone──▶ kill all, reap all
//!    │ a step failed        │ a step failed                                                     │
//!    └──────────▶ FAILED ◀──┘                     DONE ◀── nobody left ─────────────────────────┘
//!                                                  └─ waits for RELEASE when there is something to remove ─▶ exit
//! ```
//!
//! It never executes a guest's program. It waits for three things at once: SIGCHLD (signalfd), a command from the
//! supervisor (eventfd), and the end of the supervisor (its pidfd), so that a supervisor killed with SIGKILL takes
//! its box along. It reaps everything itself, so the sum of what wait4(2) reports is the box's CPU time, children
//! that were killed and never waited for included; only a child whose parent ignores SIGCHLD escapes that sum.
//!
//! Results are atomics in memory that both sides see ([`crate::shared`]); an eventfd says that they changed.

mod inside;
mod round;
mod standing;

use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, Ordering::SeqCst};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::child::{GuestOp, SetupOp};
use crate::raw::{Errno, addr, addr_mut, call, call_retry, word};
use crate::shared::{Arena, CloneSpec, clone_vm};
use crate::wait::{self, Status};
use crate::{clock, pidfd};
use inside::{FIRST_LEFTOVER, is_last, main, remove};
use round::Round;
pub use standing::{Idle, Standing};

const STARTING: u32 = 0;
const RUNNING: u32 = 1;
const FAILED: u32 = 2;
const DONE: u32 = 3;

/// What an eventfd says to one who waits in `child::told_to_go`.
const GO: u64 = 1;
const STAY: u64 = 2;

const COMMAND_KILL: u32 = 1;
const COMMAND_RELEASE: u32 = 2;

/// Something of the host's that must not survive the box, removed by the keeper when the supervisor cannot:
/// a directory entry (a control group, a placeholder).
#[derive(Debug)]
pub struct Leftover {
    /// Parent directory, kept open: it stays reachable after pivot_root(2).
    pub parent: OwnedFd,
    /// Name of an empty directory in it, or of a file.
    pub name: CString,
    /// It is a file, and says this; a file that says something else is somebody else's, and stays.
    pub text: Option<&'static str>,
    /// Removed only by the last box that needs it: the parent is locked (flock(2), shared) by each.
    pub shared: bool,
    /// What is mounted on it inside the box: the keeper's own namespace must let go of it first (rmdir(2): EBUSY).
    pub mounted: Option<CString>,
}

/// Everything a box starts with. Descriptors inside operations are numbers of descriptors that the caller keeps
/// open until [`Keeper::start`] returns; none may be below [`keeper_fds`].
#[derive(Debug)]
pub struct Launch {
    /// Namespaces and clone call of the keeper.
    pub keeper: CloneSpec,
    /// No PID namespace: the keeper is a subreaper.
    pub subreaper: bool,
    /// What is used of the private disk in the end shall be known.
    pub watch_disk: bool,
    /// Steps of the keeper.
    pub setup: Vec<SetupOp>,
    /// Landlock's ruleset, which [`SetupOp::LandlockPath`] fills.
    pub ruleset: Option<i32>,
    /// Steps of the guest's first process.
    pub guest: Vec<GuestOp>,
    /// CLONE_INTO_CGROUP for the guest (v2): directory, and the name of the group in it.
    pub guest_cgroup: Option<(i32, CString)>,
    /// clone3 is there for the guest's clone.
    pub clone3: bool,
    /// What must go when the box has ended.
    pub leftovers: Vec<Leftover>,
    /// This process's mount namespace: a keeper that may enter it (setns(2)) leaves its own there as soon as the box is empty. Not with
    /// leftovers that are mounted on.
    pub outside: Option<OwnedFd>,
    /// pidfd of this process.
    pub supervisor: OwnedFd,
    /// What [`SetupOp::Prepared`] waits for.
    pub prepared: Option<OwnedFd>,
    /// The guest waits at a [`GuestOp::Gate`] with these two eventfds: arrived, open.
    pub gate: Option<(OwnedFd, OwnedFd)>,
    /// The box is to stand at its gate for long ([`Keeper::stand`]), with these descriptors and the keeper's own open and no others: a pipe of the
    /// host's must not stay open because of it.
    pub keep: Option<Vec<i32>>,
    /// When the box has ended, the keeper waits for another one of the same kind ([`Keeper::hand_over`]): it is a subreaper, there is nothing to
    /// remove, and the steps of the guest can be taken again. It empties its bounding set and sets its dispositions of signals back beforehand.
    pub again: bool,
}

/// Lowest descriptor number that a [`Launch`] with this many leftovers may use: the keeper moves what it keeps below.
pub const fn keeper_fds(leftovers: usize) -> i32 {
    let needed = FIRST_LEFTOVER + leftovers as i32 + 1;
    if needed > 16 { needed } else { 16 }
}

const MAX_LEFTOVERS: usize = 1024;

/// What is called with the keeper's pid when the guest stands at the gate.
type Hold<'a> = dyn FnMut(i32) -> Result<(), Errno> + 'a;

/// Where a launch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A [`SetupOp`] by index.
    Setup(u32),
    /// The clone of the guest.
    Clone,
    /// A [`GuestOp`] by index.
    Guest(u32),
    /// The keeper itself was killed.
    Keeper,
}

/// A launch that failed, in the words of the operation that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    /// Where.
    pub stage: Stage,
    /// Why.
    pub errno: Errno,
    /// The step as a report names it.
    pub step: &'static str,
    /// The operation in words.
    pub words: String,
}

impl StartError {
    fn new(stage: Stage, errno: Errno, launch: &Launch) -> Self {
        let (step, words) = match stage {
            Stage::Setup(index) => ("mount", launch.setup.get(index as usize).map(SetupOp::words)),
            Stage::Guest(index) => match launch.guest.get(index as usize) {
                Some(op) => (op.step(), Some(op.words())),
                None => ("launch", None),
            },
            Stage::Clone => ("clone", Some("clone".to_owned())),
            Stage::Keeper => ("launch", Some("the box's keeper was killed while it was starting".to_owned())),
        };
        Self { stage, errno, step, words: words.unwrap_or_default() }
    }
}

/// What the keeper counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// User time of everything reaped, in microseconds.
    pub user_us: u64,
    /// System time of everything reaped, in microseconds.
    pub system_us: u64,
    /// Processes reaped.
    pub reaped: u64,
}

struct Context {
    launch: Launch,
    arena: Arena,
    changed: OwnedFd,
    command_fd: OwnedFd,
    /// The present box's, which its [`Keeper`] keeps alive.
    round: AtomicPtr<Round>,
}

/// A started box. Dropping it kills the box and waits for its end.
pub struct Keeper {
    context: Arc<Context>,
    round: Arc<Round>,
    /// The box before: the keeper may have been reading of it when it was told of this one.
    _former: Option<Arc<Round>>,
    pidfd: OwnedFd,
    pid: i32,
    reaped: bool,
    /// Nobody waits for it: [`Keeper::leave`].
    left: bool,
}

impl core::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Keeper").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// Asks for the end of a box from any thread.
#[derive(Clone)]
pub struct Remote(Arc<Context>, Arc<Round>);

impl core::fmt::Debug for Remote {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Remote")
    }
}

impl Remote {
    /// Kills everything in the box.
    pub fn kill(&self) {
        // Why, before the kill: the session finds it when it concludes.
        let _ = self.1.killed_ns.compare_exchange(0, clock::monotonic_ns(), SeqCst, SeqCst);
        self.0.order(&self.1, COMMAND_KILL);
    }

    /// Sends a signal to the guest's process group.
    pub fn signal(&self, signal: i32) {
        self.1.forward.store(signal, SeqCst);
        poke(self.0.command_fd.as_raw_fd());
    }

    /// Sends a signal to everybody in the box in one step that no fork outruns (kill(2) of -1). False without a PID namespace,
    /// where there is no such step.
    pub fn signal_everybody(&self, signal: i32) -> bool {
        if self.0.launch.subreaper {
            return false;
        }
        self.1.everybody.store(signal, SeqCst);
        poke(self.0.command_fd.as_raw_fd());
        true
    }
}

impl Context {
    fn order(&self, round: &Round, command: u32) {
        round.command.fetch_or(command, SeqCst);
        put(&self.command_fd, 1);
    }
}

/// Writes to an eventfd of ours, whose reader may wait for nothing else: a write that fails is tried again. False when it was of no use.
fn put(eventfd: &OwnedFd, value: u64) -> bool {
    // SAFETY: eight bytes of a local.
    let write = || unsafe { call_retry(libc::SYS_write, [word(eventfd.as_raw_fd()), addr(&value), 8, 0, 0, 0]) };
    (0..3).any(|_| write().is_ok())
}

/// Empties an eventfd of ours, which does not block.
fn take(eventfd: &OwnedFd) {
    let mut count = 0u64;
    // SAFETY: reads eight bytes into a local.
    let _ = unsafe { call(libc::SYS_read, [word(eventfd.as_raw_fd()), addr_mut(&mut count), 8, 0, 0, 0]) };
}

fn poke(eventfd: i32) {
    let one = 1u64;
    // SAFETY: eight bytes of a local.
    let _ = unsafe { call_retry(libc::SYS_write, [word(eventfd), addr(&one), 8, 0, 0, 0]) };
}

/// An eventfd at `floor` or above, close-on-exec, that does not block.
pub fn eventfd(floor: i32) -> Result<OwnedFd, Errno> {
    use rustix::event::{EventfdFlags, eventfd};
    let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    raise_above(fd, floor)
}

/// Moves a descriptor to `floor` or above, close-on-exec.
pub fn raise_above(fd: OwnedFd, floor: i32) -> Result<OwnedFd, Errno> {
    if fd.as_raw_fd() >= floor {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&fd, floor)?)
}

impl Keeper {
    /// Clones the keeper and waits until the guest has executed or a step has failed. Where the keeper waits for it, `prepare` is
    /// called while the keeper is at its steps. At the gate, if there is one, `hold` gets the keeper's pid. The guest goes on if both succeed.
    pub fn start(
        launch: Launch,
        prepare: &mut dyn FnMut() -> Result<(), Errno>,
        hold: &mut dyn FnMut(i32) -> Result<(), Errno>,
    ) -> Result<Self, StartError> {
        let mut keeper = Self::begin(launch, prepare)?;
        match keeper.wait_started(Some(hold)) {
            Ok(_) => Ok(keeper),
            Err((stage, errno)) => Err(StartError::new(stage, errno, &keeper.context.launch)),
        }
    }

    fn begin(mut launch: Launch, prepare: &mut dyn FnMut() -> Result<(), Errno>) -> Result<Self, StartError> {
        if launch.leftovers.len() > MAX_LEFTOVERS {
            return Err(StartError::new(Stage::Keeper, Errno::INVAL, &launch));
        }
        let fail = |e| StartError { stage: Stage::Keeper, errno: e, step: "launch", words: "start the keeper".into() };
        let arena = Arena::new().map_err(fail)?;
        let floor = keeper_fds(launch.leftovers.len());
        let changed = eventfd(floor).map_err(fail)?;
        let command_fd = eventfd(floor).map_err(fail)?;
        if let Some(mut keep) = launch.keep.take() {
            keep.extend([changed.as_raw_fd(), command_fd.as_raw_fd(), launch.supervisor.as_raw_fd()]);
            keep.extend(launch.leftovers.iter().map(|leftover| leftover.parent.as_raw_fd()));
            keep.extend(launch.outside.iter().chain(&launch.prepared).map(AsRawFd::as_raw_fd));
            keep.extend(launch.gate.iter().flat_map(|(arrived, open)| [arrived.as_raw_fd(), open.as_raw_fd()]));
            keep.sort_unstable();
            launch.keep = Some(keep);
        }
        let round = Arc::new(Round::new());
        let context = Arc::new(Context {
            launch,
            arena,
            changed,
            command_fd,
            round: AtomicPtr::new(Arc::as_ptr(&round).cast_mut()),
        });
        let arg = Arc::as_ptr(&context).cast_mut().cast::<c_void>();
        // SAFETY: `context` outlives the keeper (Drop reaps it, or leaks it when it cannot); `main` is written by
        // the rules of `shared`; stack 0 is the keeper's alone.
        let cloned = unsafe { clone_vm(&context.launch.keeper, &context.arena, 0, main, arg) };
        let (pid, pidfd) = cloned.map_err(|e| StartError::new(Stage::Clone, e, &context.launch))?;
        let keeper = Self { context, round, _former: None, pidfd, pid, reaped: false, left: false };
        if let Some(prepared) = &keeper.context.launch.prepared {
            let answer = if prepare().is_ok() { GO } else { STAY };
            if !put(prepared, answer) {
                keeper.end_keeper();
            }
        }
        Ok(keeper)
    }

    /// Until the guest has executed. Without `hold`, also until it stands at the gate: false.
    fn wait_started(&mut self, mut hold: Option<&mut Hold<'_>>) -> Result<bool, (Stage, Errno)> {
        use rustix::event::{PollFd, PollFlags, poll};
        let mut at_gate = None;
        loop {
            match self.round.state.load(SeqCst) {
                STARTING => {}
                FAILED => {
                    let index = self.round.index.load(SeqCst);
                    let stage = match self.round.stage.load(SeqCst) {
                        0 => Stage::Setup(index),
                        1 => Stage::Clone,
                        _ => Stage::Guest(index),
                    };
                    // Why the gate stayed shut says more than that it did.
                    let errno = at_gate.unwrap_or(Errno(self.round.errno.load(SeqCst)));
                    self.finish();
                    return Err((stage, errno));
                }
                _ => return Ok(true),
            }
            let gate = self.context.launch.gate.as_ref();
            let third = gate.map_or(&self.context.changed, |(arrived, _)| arrived);
            let watch = |fd| PollFd::new(fd, PollFlags::IN);
            let mut fds = [watch(&self.context.changed), PollFd::new(&self.pidfd, PollFlags::IN), watch(third)];
            let _ = poll(&mut fds, None);
            let gone = !fds[1].revents().is_empty();
            if let (Some((arrived, open)), false) = (gate, fds[2].revents().is_empty()) {
                take(arrived);
                let Some(hold) = &mut hold else { return Ok(false) };
                at_gate = hold(self.pid).err();
                if !put(open, if at_gate.is_some() { STAY } else { GO }) {
                    self.end_keeper();
                }
            }
            if gone && self.round.state.load(SeqCst) == STARTING {
                self.finish();
                return Err((Stage::Keeper, Errno::SRCH));
            }
        }
    }

    /// Pid of the keeper in our PID namespace: the root of the box's process tree.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// pidfd of the keeper; readable when the box is empty and the keeper has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Readable (an eventfd) when the box's state changed.
    pub fn changed(&self) -> BorrowedFd<'_> {
        self.context.changed.as_fd()
    }

    /// Takes note of a change: the eventfd is not readable until the next one.
    pub fn acknowledge(&self) {
        take(&self.context.changed);
    }

    /// A handle that kills or signals from any thread.
    pub fn remote(&self) -> Remote {
        Remote(Arc::clone(&self.context), Arc::clone(&self.round))
    }

    /// CLOCK_MONOTONIC before the guest's last two steps, filter and exec, in nanoseconds.
    pub fn started_ns(&self) -> u64 {
        self.round.started_ns.load(SeqCst)
    }

    /// CLOCK_MONOTONIC at the end of the guest's first process, once it has ended.
    pub fn ended_ns(&self) -> Option<u64> {
        Some(self.round.ended_ns.load(SeqCst)).filter(|ns| *ns != 0)
    }

    /// How the guest's first process ended, once it has.
    pub fn status(&self) -> Option<Status> {
        let known = self.round.has_status.load(SeqCst);
        known.then(|| Status::from_wait(self.round.status.load(SeqCst)))
    }

    /// CLOCK_MONOTONIC when a [`Remote`] asked for the end, if one did.
    pub fn killed_ns(&self) -> Option<u64> {
        Some(self.round.killed_ns.load(SeqCst)).filter(|ns| *ns != 0)
    }

    /// Nobody is left in the box.
    pub fn is_empty(&self) -> bool {
        self.round.state.load(SeqCst) == DONE
    }

    /// The keeper has ended without having emptied its box, which only an outside SIGKILL does.
    pub fn is_lost(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&zero)).is_ok_and(|n| n > 0) && !self.is_empty()
    }

    /// How many tasks the box ever had, threads too, when its first process had ended. None without a PID namespace.
    pub fn tasks_ever(&self) -> Option<u64> {
        // The keeper is number 1.
        u64::try_from(self.round.last_pid.load(SeqCst)).ok().filter(|pid| *pid > 1).map(|pid| pid - 1)
    }

    /// Bytes of the private disk that were used and that were left when the first process had ended, if they were asked for.
    pub fn disk(&self) -> Option<(u64, u64)> {
        let left = Some(self.round.disk_left.load(SeqCst)).filter(|bytes| *bytes != u64::MAX);
        left.map(|left| (self.round.disk_used.load(SeqCst), left))
    }

    fn ended_within_ms(&self, ms: i64) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let pause = Timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 };
        poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&pause)).is_ok_and(|n| n > 0)
    }

    /// What was counted so far.
    pub fn counted(&self) -> Counted {
        Counted {
            user_us: self.round.user_us.load(SeqCst),
            system_us: self.round.system_us.load(SeqCst),
            reaped: self.round.reaped.load(SeqCst),
        }
    }

    /// Kills everything in the box.
    pub fn kill(&self) {
        self.context.order(&self.round, COMMAND_KILL);
    }

    /// Lets an empty box go without waiting for it: the keeper removes the leftovers and ends. [`Keeper::finish`] waits.
    pub fn release(&self) {
        self.context.order(&self.round, COMMAND_KILL | COMMAND_RELEASE);
    }

    /// Kills the keeper itself: with a PID namespace the kernel then kills all that is in it.
    pub fn kill_hard(&self) {
        if self.context.launch.subreaper {
            self.context.order(&self.round, COMMAND_KILL);
            return;
        }
        self.end_keeper();
    }

    /// SIGKILL to the keeper. While it starts, that ends all there is of the box: without a namespace that ends with it, the guest has set its
    /// death signal before it waits for anything.
    fn end_keeper(&self) {
        let _ = pidfd::send_signal(self.pidfd.as_fd(), libc::SIGKILL);
    }

    /// Lets a box be whose last tasks cannot be ended now, since the kernel does not let them go (a dead network file system): they run no code of their
    /// own any more. The keeper removes the leftovers when they are gone, if it lives; nobody waits for that.
    pub fn leave(&mut self) {
        self.release();
        self.left = true;
    }

    /// Lets an empty box go: the keeper removes the leftovers and ends. Waits for that.
    pub fn finish(&mut self) {
        if self.reaped || self.left {
            return;
        }
        // Said again until it is heard: a keeper that missed the one poke would wait for ever, and we for it.
        for round in 0..50 {
            self.context.order(&self.round, COMMAND_KILL | COMMAND_RELEASE);
            if self.ended_within_ms(100) {
                break;
            }
            if round >= 20 {
                // Only where that is what ends the box: without a PID namespace the keeper is all that holds it.
                self.kill_hard();
            }
        }
        // ECHILD: a host that waits for everything with __WALL took it; the pidfd says all the same that it ended.
        // A keeper in an uninterruptible sleep (a dead network file system) is left, with its memory, not waited for.
        for _ in 0..3 {
            match wait::reap(self.pidfd.as_fd(), false) {
                Ok(Some(_)) | Err(Errno::CHILD) => {
                    self.reaped = true;
                    break;
                }
                Ok(None) | Err(_) => {}
            }
        }
        if self.round.state.load(SeqCst) != DONE && self.round.state.load(SeqCst) != FAILED {
            // The keeper was killed from outside: its control groups are ours to remove.
            for leftover in &self.context.launch.leftovers {
                if !leftover.shared || is_last(leftover.parent.as_raw_fd()) {
                    remove(leftover.parent.as_raw_fd(), leftover);
                }
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.finish();
        if !self.reaped {
            // Never free memory that a live process runs on.
            core::mem::forget((Arc::clone(&self.context), Arc::clone(&self.round), self._former.take()));
        }
    }
}
