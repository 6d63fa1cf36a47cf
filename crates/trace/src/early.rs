//! Tasks that nobody has told of yet.
//!
//! A new task's first stop can come before its maker's event, and a maker that is killed between both never tells. Whoever has made a task is on the way to its
//! event, and neither sleeps nor does anything else before (kernel_clone() in kernel/fork.c). So each task that comes early has a list of those who may have made
//! it: whoever comes to another stop, ends, sleeps, or has been busy with something else is struck off. When nobody is left nobody will tell.

use std::collections::HashMap;

use tipstaff_sys::wait::Change;

use crate::proc;

/// Clock ticks in user mode after which a thread has left the call, and many times over.
const BUSY: u64 = 2;

/// Who may have made a task and has not told yet.
#[derive(Debug)]
struct Maker {
    tid: i32,
    process: i32,
    /// Its time in user mode when the task was first seen, clock ticks.
    user: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: Vec<Change>,
    makers: Vec<Maker>,
    /// Who was struck off last.
    last: Option<i32>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Early(HashMap<i32, Waiting>);

/// One that nobody will tell of.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub tid: i32,
    pub changes: Vec<Change>,
    /// Its maker, or another of its maker's process.
    pub kin: Option<i32>,
}

impl Early {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn tids(&self) -> impl Iterator<Item = i32> {
        self.0.keys().copied()
    }

    /// A change of a task that is not known. `running`: threads that run, with their processes.
    pub(crate) fn came(&mut self, tid: i32, change: Change, running: impl Iterator<Item = (i32, i32)>) {
        let waiting =
            self.0.entry(tid).or_insert_with(|| Waiting { makers: may_have_made(tid, running), ..Waiting::default() });
        waiting.changes.push(change);
    }

    /// Somebody has told.
    pub(crate) fn take(&mut self, tid: i32) -> Vec<Change> {
        self.0.remove(&tid).map(|waiting| waiting.changes).unwrap_or_default()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// A thread has come to something else than to tell.
    pub(crate) fn strike(&mut self, tid: i32) {
        self.strike_if(|maker| maker.tid == tid);
    }

    /// So has each of a process, and this one last.
    pub(crate) fn strike_process(&mut self, process: i32, last: i32) {
        self.strike_if(|maker| maker.process == process && maker.tid != last);
        self.strike(last);
    }

    /// Those who sleep, or have been busy, are on no way to an event.
    pub(crate) fn strike_others(&mut self) {
        self.strike_if(|maker| match proc::doing(maker.tid) {
            // On its way, or in a stop that is about to be told. 'D' is a lock's on a kernel whose locks sleep.
            Some(('R' | 'D' | 't' | 'T', user)) => user >= maker.user + BUSY,
            _ => true,
        });
    }

    fn strike_if(&mut self, off: impl Fn(&Maker) -> bool) {
        for waiting in self.0.values_mut() {
            let last = &mut waiting.last;
            waiting.makers.retain(|maker| {
                let off = off(maker);
                if off {
                    *last = Some(maker.tid);
                }
                !off
            });
        }
    }

    pub(crate) fn orphans(&mut self) -> Vec<Orphan> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let alone = self.0.extract_if(|_, waiting| waiting.makers.is_empty());
        alone.map(|(tid, Waiting { changes, last, .. })| Orphan { tid, changes, kin: last }).collect()
    }
}

/// A thread is made by its process, a process by its parent, or by a child of that one: CLONE_PARENT, and who has lost its maker has another parent.
fn may_have_made(tid: i32, running: impl Iterator<Item = (i32, i32)>) -> Vec<Maker> {
    let process = proc::field(tid, "Tgid").map(|process| process as i32);
    let parent = proc::field(tid, "PPid").map(|parent| parent as i32);
    let kin = |other: i32| match (process, parent) {
        (Some(process), _) if process != tid => process == other,
        (Some(_), Some(parent)) => parent == other || proc::field(other, "PPid") == Some(parent.into()),
        // It has ended.
        _ => true,
    };
    let makers = running.filter(|&(_, process)| kin(process));
    makers.map(|(tid, process)| Maker { tid, process, user: proc::doing(tid).map_or(0, |(_, user)| user) }).collect()
}

#[cfg(test)]
mod tests {
    use tipstaff_sys::wait::Change;

    use super::*;

    const FIRST: Change = Change::Stopped(0x8005);

    fn orphan(early: &mut Early) -> Option<(i32, usize, Option<i32>)> {
        early.orphans().pop().map(|orphan| (orphan.tid, orphan.changes.len(), orphan.kin))
    }

    #[test]
    fn who_is_told_of_is_no_orphan() {
        let mut early = Early::default();
        // A number that no task has: any of those who run may have made it.
        early.came(-7, FIRST, [(1, 1), (2, 1)].into_iter());
        early.came(-7, Change::Stopped(5), [(3, 3)].into_iter());
        assert_eq!(orphan(&mut early), None);
        assert_eq!(early.take(-7).len(), 2);
        assert!(early.is_empty());
    }

    #[test]
    fn an_orphan_is_whose_last_maker_has_done_something_else() {
        let mut early = Early::default();
        early.came(-7, FIRST, [(1, 1), (2, 1), (4, 4)].into_iter());
        early.strike(3);
        early.strike_process(1, 2);
        assert_eq!(orphan(&mut early), None);
        early.strike(4);
        assert_eq!(orphan(&mut early), Some((-7, 1, Some(4))));
        assert!(early.is_empty());
    }

    #[test]
    fn a_process_is_struck_off_whole_and_its_last_in_the_end() {
        let mut early = Early::default();
        early.came(-7, FIRST, [(2, 1), (1, 1), (3, 1)].into_iter());
        early.strike_process(1, 2);
        assert_eq!(orphan(&mut early), Some((-7, 1, Some(2))));
    }

    #[test]
    fn a_sleeper_is_on_no_way_to_an_event() {
        let mut sleeper = std::process::Command::new("sleep").arg("100").spawn().expect("sleep");
        let pid = sleeper.id() as i32;
        while proc::doing(pid).expect("a child").0 != 'S' {
            std::thread::yield_now();
        }
        let mut early = Early::default();
        early.came(-7, FIRST, [(pid, pid)].into_iter());
        assert_eq!(orphan(&mut early), None);
        early.strike_others();
        assert_eq!(orphan(&mut early), Some((-7, 1, Some(pid))));
        sleeper.kill().expect("kill");
        sleeper.wait().expect("wait");
    }

    #[test]
    fn so_is_nobody_who_is_busy() {
        let mut spinner = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh");
        let pid = spinner.id() as i32;
        let user = |pid| proc::doing(pid).expect("a child").1;
        let mut early = Early::default();
        early.came(-7, FIRST, [(pid, pid)].into_iter());
        let before = user(pid);
        while user(pid) < before + BUSY + 1 {
            std::thread::yield_now();
        }
        early.strike_others();
        assert_eq!(orphan(&mut early), Some((-7, 1, Some(pid))));
        spinner.kill().expect("kill");
        spinner.wait().expect("wait");
    }
}
