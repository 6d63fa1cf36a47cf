//! How tasks appear and vanish: a child can be seen before its maker tells of it, or its maker can die without telling; and an exec
//! takes all other threads away.

use tipstaff_sys::signal;
use tipstaff_sys::wait::Change;

use crate::early::Orphan;
use crate::observer::{End, Observer};
use crate::task::{Origin, Task};
use crate::{ForkKind, Tracer, proc};

const SIGCHLD: i32 = 17;

impl Tracer {
    /// A task was made by `maker`: what it did too early comes next.
    pub(crate) fn born(&mut self, maker: i32, child: i32, kind: ForkKind) {
        let Some(parent) = self.tasks.get(maker) else { return };
        let (process, origin) = (parent.process, parent.origin);
        if let Some(known) = self.tasks.get_mut(child) {
            (known.parent, known.origin) = (Some(maker), origin);
            return;
        }
        // Only a clone can make a thread.
        let thread = kind == ForkKind::Clone && signal::thread_of(process, child);
        let process = if thread { process } else { child };
        self.tasks.insert(Task::new(child, process, Some(maker), origin, self.config.start));
        self.ready.extend(self.early.take(child).into_iter().map(|change| (child, change)));
    }

    /// execve(2) by a thread: all others of its process are gone without an end of their own, and it takes the leader's id.
    pub(crate) fn collapse(&mut self, tid: i32, former: i32, observer: &mut dyn Observer) {
        for other in self.tasks.tids() {
            let gone = other != former && self.tasks.get(other).is_some_and(|task| task.process == tid);
            if let Some(task) = gone.then(|| self.tasks.remove(other)).flatten() {
                self.requeued.ended(tid, other);
                observer.on_end(&task, End::Replaced { by: former });
            }
        }
        // A thread that we had not been told of yet can be the one: then it is known from here on.
        let unknown = || Task::new(tid, tid, None, Origin::Attached, self.config.start);
        let mut task = self.tasks.remove(former).unwrap_or_else(unknown);
        (task.tid, task.process) = (tid, tid);
        self.tasks.insert(task);
    }

    /// A task was made by `maker`, who has made no other that is still to be told of.
    pub(crate) fn told(&mut self, maker: i32, child: i32, kind: ForkKind) {
        self.born(maker, child, kind);
        self.early.strike(maker);
    }

    /// Takes in early tasks whose maker is gone and will not tell of them: it was killed in the very call.
    pub(crate) fn adopt(&mut self, observer: &mut dyn Observer) {
        for Orphan { tid, changes, kin } in self.early.orphans() {
            if !matches!(changes.first(), Some(Change::Stopped(_))) {
                self.strays.extend(changes.into_iter().filter_map(|change| match change {
                    Change::Ended(status) => Some((tid, status)),
                    Change::Stopped(_) => None,
                }));
                continue;
            }
            let process = self.tasks.process_of(tid);
            let kin = kin.and_then(|kin| self.tasks.get(kin));
            let origin = kin.or_else(|| self.tasks.iter().next()).map_or(self.last_origin, Task::origin);
            let task = Task::new(tid, process, kin.map(Task::tid), origin, self.config.start);
            if let Some(kin) = kin {
                let thread = process != tid || proc::exit_signal(tid).is_some_and(|signal| signal != SIGCHLD);
                observer.on_adopt(kin, &task, if thread { ForkKind::Clone } else { ForkKind::Fork });
            }
            self.tasks.insert(task);
            self.ready.extend(changes.into_iter().map(|change| (tid, change)));
        }
    }
}
