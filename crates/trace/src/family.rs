//! How tasks appear and vanish: a child can be seen before its maker tells of it, or its maker can die without telling; and an exec
//! takes all other threads away.

use tipstaff_sys::signal;
use tipstaff_sys::wait::Change;

use crate::observer::{End, Observer};
use crate::task::{Origin, Task};
use crate::{ForkKind, Tracer, proc};

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
        for change in self.early.remove(&child).unwrap_or_default() {
            self.ready.push_back((child, change));
        }
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

    /// Takes in early tasks whose maker is gone and will not tell of them: it was killed in the very call. `origin` is a guess, set right
    /// if the maker does tell.
    pub(crate) fn adopt(&mut self, origin: Origin) {
        let early: Vec<i32> = self.early.keys().copied().collect();
        for child in early {
            let maker = proc::maker(child);
            if maker.is_some_and(|maker| self.tasks.iter().any(|task| task.process == maker)) {
                continue;
            }
            let changes = self.early.remove(&child).unwrap_or_default();
            if matches!(changes.first(), Some(Change::Stopped(_))) {
                let process = self.tasks.process_of(child);
                self.tasks.insert(Task::new(child, process, None, origin, self.config.start));
                self.ready.extend(changes.into_iter().map(|change| (child, change)));
            } else {
                self.strays.extend(changes.into_iter().filter_map(|change| match change {
                    Change::Ended(status) => Some((child, status)),
                    Change::Stopped(_) => None,
                }));
            }
        }
    }
}
