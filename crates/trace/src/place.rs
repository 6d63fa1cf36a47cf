//! Where the tracer's thread runs.
//!
//! A stop is two wake-ups, of the tracer and back. On one CPU they are two context switches; to an idle CPU each is an interrupt and,
//! in a virtual machine, an exit. The scheduler likes idle CPUs: it moves either of the two there at nearly every wake-up. Neither tracee
//! nor guest may be pinned, since they could see it. What keeps the tracee is a rule of the kernel's own (`select_idle_sibling`): a CPU on
//! which nothing but SCHED_IDLE tasks run counts as idle. So while stops come thick, the tracer is a SCHED_IDLE task on the CPU that its
//! tracee used last: there the tracee is woken, and preempts it at once.
//!
//! The price is that anything else on that CPU goes first, and for long, if we had more than our share before. So it is left as soon as stops
//! are rare or more tasks want to run than there are CPUs, and for ever longer when we were kept waiting; and it is entered only where we
//! may go back (CAP_SYS_NICE, RLIMIT_NICE). A task that comes to stop thickly is looked up at once, since a new process starts on
//! another CPU, and so is one whose stops become slow: a compile of a small C program, 28 ms untraced, takes 62 ms so, 145 and more else.
//!
//! Where one of our tracees traces another, through us, three take turns, and each of the two was left where it began. A task is woken on the CPU
//! that it ran on last if that is idle, and so they would stay apart. So the one that is about to be resumed is looked for: while the other is stopped,
//! we go to its CPU as an ordinary task, wake it from there, and the kernel, which finds that CPU busy, moves it to the one that is idle. Then we go
//! back. It does not always, and after some hundred stops it moves one of them away again; so it is tried again, ever more seldom while it fails.
//!
//! Linux 6.18, two virtual CPUs of one socket, otherwise idle, every call of `dd bs=1` traced; microseconds for a whole stop:
//!
//! | | |
//! |---|---|
//! | a minimal tracer in C, guest and tracer pinned to one CPU: the floor | 2.6 to 3.0 |
//! | the same, nobody placed | 35 to 42 |
//! | the same, tracer pinned, guest free | 40 to 53 |
//! | the same, tracer pinned to where the tracee ran last, looked up each 256 stops | 31 to 39 |
//! | the same, tracer SCHED_IDLE, not pinned | 16 to 20 |
//! | the same, tracer SCHED_IDLE, pinned to one CPU | 25 to 34 |
//! | the same, tracer SCHED_IDLE, pinned to where the tracee ran last | 3.3 |
//! | this tracer, left where it is | 27 |
//! | this tracer, following | 4.4 |
//! | two `dd` at once: floor, left, following | 2.6, 19 to 26, 3.1 to 4.0 |
//! | 10,000 steps of a guest's debugger, four stops each: floor, left, following, following and together | 13, 33, 29, 19 |
//! | beside four endless loops: left, following | 7 to 13, 9 to 23 |
//! | the same, following without giving way | over 300 |
//!
//! Where the CPUs are busy with other things anyway, all of these are near the floor.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use tipstaff_sys::affinity::{self, CpuSet, SchedAttr};

/// Stops between two looks.
const WINDOW: u32 = 64;
/// So few stops, each this slow on average, are looked at before the window is full.
const FEW: u32 = 8;
const SLOW: Duration = Duration::from_micros(25);
/// So many stops of one task in a row are looked at once.
const ROW: u32 = 4;
/// After a wait this long it is asked whether we were kept from running. Stops as far apart on average as the other are no reason to be
/// close: then a wake-up more matters little.
const LONG: Duration = Duration::from_millis(1);
const RARE: Duration = Duration::from_micros(250);
/// Waiting for the CPU longer than this on average means that somebody else needs it. Tracees that share the CPU make us wait too, but
/// only from one stop to the next, which is shorter than the wake-up of an idle CPU.
const CROWDED: Duration = Duration::from_micros(20);
/// Windows to stay away after that, at first and at most.
const AWAY: u32 = 16;
const AWAY_MOST: u32 = 4096;
/// The shortest slice that the kernel takes: it shortens the wait behind others.
const SLICE_NS: u64 = 100_000;

/// The tracer's thread, placed. Without permission to come back it does nothing.
#[derive(Debug)]
pub(crate) struct Place {
    usual: Option<Usual>,
    close: bool,
    cpu: Option<usize>,
    stops: u32,
    since: Instant,
    last: Instant,
    delay_ns: u64,
    away: u32,
    next_away: u32,
    /// Whose stops follow each other, how many, since when.
    tid: i32,
    row: u32,
    row_since: Instant,
    /// Whom the last look was for: one that takes turns with others is not looked at in each.
    looked: i32,
    pair: Pair,
    /// We are on another CPU than this one, to wake a tracee from there.
    away_from: Option<usize>,
}

/// Two tracees that take turns.
#[derive(Debug, Default)]
struct Pair {
    /// Who was resumed, who was stopped.
    tids: (i32, i32),
    /// Turns until they are looked for, and at the last time.
    left: u32,
    pause: u32,
    /// There was one in this window.
    turned: bool,
}

impl Pair {
    /// Another turn. True: time to look where they are.
    fn turn(&mut self, goes: i32, stopped: i32) -> bool {
        if self.tids != (goes, stopped) {
            *self = Self { tids: (goes, stopped), left: 1, pause: 1, turned: false };
        }
        self.turned = true;
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }

    /// They were found on one CPU, or not.
    fn found(&mut self, together: bool) {
        self.pause = if together { 0 } else { (self.pause * 2).clamp(1, WINDOW) };
        self.left = if together { WINDOW } else { self.pause };
    }

    /// One of them may have been moved.
    fn slow(&mut self) {
        if self.pause == 0 {
            self.left = 0;
        }
    }

    /// A window is over: who took no turn in it is a task like others.
    fn window(&mut self) {
        if !std::mem::take(&mut self.turned) {
            *self = Self::default();
        }
    }

    fn has(&self, tid: i32) -> bool {
        self.tids.0 == tid || self.tids.1 == tid
    }
}

/// How the thread was before.
#[derive(Debug)]
struct Usual {
    cpus: CpuSet,
    attr: SchedAttr,
    schedstat: File,
    loadavg: File,
}

impl Usual {
    fn look() -> Option<Self> {
        let cpus = affinity::mine().ok()?;
        let attr = affinity::attr().ok()?;
        if cpus.len() < 2 || !attr.is_other() {
            return None;
        }
        // The kernel asks for the same power to become nicer to oneself as to come back from SCHED_IDLE: sched(7). A capability may be
        // one of a user namespace, which does not count, so try.
        affinity::set_attr(&attr.with_nice(attr.nice() - 1)).ok()?;
        affinity::set_attr(&attr).ok()?;
        let schedstat = File::open("/proc/thread-self/schedstat").ok()?;
        let loadavg = File::open("/proc/loadavg").ok()?;
        Some(Self { cpus, attr, schedstat, loadavg })
    }

    /// More tasks want to run than there are CPUs for us: then a SCHED_IDLE task gets next to nothing, for as long as it had more than its
    /// share before. proc_loadavg(5): the number before the slash, of this moment.
    fn is_crowded(&self) -> bool {
        let mut text = [0; 96];
        let n = self.loadavg.read_at(&mut text, 0).unwrap_or(0);
        let running = str::from_utf8(&text[..n])
            .ok()
            .and_then(|text| text.split(' ').nth(3)?.split('/').next()?.parse::<u32>().ok());
        running.is_none_or(|running| running > self.cpus.len())
    }

    /// Nanoseconds that this thread was ready and did not run: the second number.
    fn delay_ns(&self) -> Option<u64> {
        let mut text = [0; 96];
        let n = self.schedstat.read_at(&mut text, 0).ok()?;
        str::from_utf8(&text[..n]).ok()?.split_whitespace().nth(1)?.parse().ok()
    }
}

impl Place {
    /// `follow` false: leave the thread where it is.
    pub(crate) fn new(follow: bool) -> Self {
        let now = Instant::now();
        Self {
            usual: follow.then(Usual::look).flatten(),
            close: false,
            cpu: None,
            stops: 0,
            since: now,
            last: now,
            delay_ns: 0,
            away: 0,
            next_away: AWAY,
            tid: 0,
            row: 0,
            row_since: now,
            looked: 0,
            pair: Pair::default(),
            away_from: None,
        }
    }

    /// `goes` is held and will be resumed before the next wait, `stopped` is held and will not: they take turns.
    pub(crate) fn take_turns(&mut self, goes: i32, stopped: i32) {
        let Some(usual) = self.usual.as_ref().filter(|_| self.close) else { return };
        if !self.pair.turn(goes, stopped) {
            return;
        }
        let cpu = |tid| last_cpu(tid).filter(|&cpu| usual.cpus.has(cpu));
        let (Some(from), Some(to)) = (cpu(goes), cpu(stopped)) else { return };
        self.pair.found(from == to);
        if from == to || usual.is_crowded() || affinity::set_attr(&usual.attr).is_err() {
            return;
        }
        self.close = false;
        if affinity::set_mine(&CpuSet::one(from)).is_ok() {
            self.cpu = Some(from);
        }
        self.away_from = Some(to);
    }

    /// Before a wait: whoever was to be woken has been.
    pub(crate) fn waits(&mut self) {
        if let Some(cpu) = self.away_from.take() {
            self.go(cpu);
        }
    }

    /// `tid` has stopped. Cheap but for one look in [`WINDOW`] stops, and one for each task that comes to stop thickly: a new process
    /// starts on another CPU.
    pub(crate) fn stopped(&mut self, tid: i32) {
        let Some(usual) = &self.usual else { return };
        let now = Instant::now();
        let long = now.duration_since(self.last) > LONG;
        self.last = now;
        self.stops += 1;
        if tid != self.tid {
            (self.tid, self.row, self.row_since) = (tid, 0, now);
        }
        self.row += 1;
        if long && self.close {
            let delay_ns = usual.delay_ns().unwrap_or(0);
            let waited = Duration::from_nanos(delay_ns.saturating_sub(self.delay_ns));
            if waited > LONG / 2 && usual.is_crowded() {
                self.delay_ns = delay_ns;
                self.leave(true);
            }
        }
        if self.stops >= WINDOW {
            self.pair.window();
            self.look(tid, now.duration_since(self.since) > RARE * WINDOW);
        } else if self.close && self.stops == FEW && now.duration_since(self.since) > SLOW * FEW {
            // As slow as wake-ups across CPUs: it may have been moved.
            if self.pair.has(tid) {
                self.pair.slow();
            } else {
                self.look(tid, false);
            }
        } else if self.row == ROW && tid != self.looked && now.duration_since(self.row_since) < RARE * ROW {
            self.look(tid, false);
        } else {
            return;
        }
        self.stops = 0;
        self.since = now;
    }

    fn look(&mut self, tid: i32, rare: bool) {
        let Some(usual) = &self.usual else { return };
        let delay_ns = usual.delay_ns().unwrap_or(0);
        let waited = Duration::from_nanos(delay_ns.saturating_sub(self.delay_ns));
        (self.delay_ns, self.looked) = (delay_ns, tid);
        if rare {
            self.leave(false);
        } else if !self.close && self.away > 0 {
            self.away -= 1;
        } else if !usual.is_crowded() {
            // A wake-up across CPUs is a wait too, so a wait alone tells nothing.
            self.follow(tid);
        } else if self.close {
            self.leave(waited > CROWDED * WINDOW);
        }
    }

    /// To the CPU on which the tracee ran last.
    fn follow(&mut self, tid: i32) {
        let Some(usual) = &self.usual else { return };
        if let Some(cpu) = last_cpu(tid).filter(|&cpu| usual.cpus.has(cpu)) {
            self.go(cpu);
        }
    }

    fn go(&mut self, cpu: usize) {
        let Some(usual) = &self.usual else { return };
        if self.cpu != Some(cpu) && affinity::set_mine(&CpuSet::one(cpu)).is_ok() {
            self.cpu = Some(cpu);
        }
        if !self.close {
            // The slice belongs to SCHED_OTHER, and stays.
            let _ = affinity::set_attr(&usual.attr.slice(SLICE_NS));
            self.close = affinity::set_attr(&usual.attr.idle()).is_ok();
        }
    }

    /// As we were. `crowded`: and stay so for a while, the next time for longer.
    fn leave(&mut self, crowded: bool) {
        if crowded {
            self.away = self.next_away;
            self.next_away = (self.next_away * 2).min(AWAY_MOST);
        }
        self.rest();
    }

    /// As we were: before anything that children inherit, and at the end.
    pub(crate) fn rest(&mut self) {
        self.away_from = None;
        let Some(usual) = &self.usual else { return };
        if self.close {
            let _ = affinity::set_attr(&usual.attr);
            self.close = false;
        }
        if self.cpu.take().is_some() {
            let _ = affinity::set_mine(&usual.cpus);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.rest();
    }
}

/// proc_pid_stat(5), field 39.
fn last_cpu(tid: i32) -> Option<usize> {
    let mut text = [0; 1024];
    let file = File::open(format!("/proc/{tid}/stat")).ok()?;
    let n = file.read_at(&mut text, 0).ok()?;
    let text = &text[..n];
    // The command's name, the second field, may hold anything, but nothing after it holds a parenthesis.
    let rest = &text[text.iter().rposition(|&b| b == b')')? + 2..];
    str::from_utf8(rest).ok()?.split(' ').nth(36)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Pair, WINDOW};

    #[test]
    fn a_pair_that_stays_apart_is_looked_at_ever_more_seldom() {
        let mut pair = Pair::default();
        let mut at = Vec::new();
        for turn in 1..=400 {
            if pair.turn(1, 2) {
                pair.found(false);
                at.push(turn);
            }
        }
        assert_eq!(at, [1, 3, 7, 15, 31, 63, 127, 191, 255, 319, 383]);
        assert!(pair.turn(3, 2), "another pair is new");
    }

    #[test]
    fn a_pair_that_is_together_is_looked_at_once_a_window_or_when_it_is_slow() {
        let mut pair = Pair::default();
        assert!(pair.turn(1, 2));
        pair.found(true);
        assert_eq!((1..WINDOW).filter(|_| pair.turn(1, 2)).count(), 0);
        assert!(pair.turn(1, 2));
        pair.found(true);
        pair.slow();
        for _ in 0..2 {
            assert!(pair.turn(1, 2));
            pair.found(false);
        }
        // What has just failed is no sooner tried again for being slow.
        pair.slow();
        assert!(!pair.turn(1, 2));
    }

    #[test]
    fn a_pair_that_takes_no_more_turns_is_forgotten() {
        let mut pair = Pair::default();
        pair.turn(1, 2);
        pair.window();
        assert!(pair.has(1) && pair.has(2));
        pair.window();
        assert!(!pair.has(1) && !pair.has(2));
    }
}
