//! A recorder, and a run of one guest under it.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use tipstaff_trace::{Config, End, ForkKind, Launch, Observer, Reason, Resume, Stop, Task, Tracer, Turn};

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Entered(&'static str),
    Left(&'static str, i64),
    Seccomp(&'static str, bool),
    Signal(i32, i32),
    Group(i32),
    Interrupted(Reason),
    Forked(ForkKind, i32),
    VforkDone(i32),
    Executed(i32),
    Exiting,
    Attached,
    /// Its maker will not tell of it.
    Adopted(ForkKind, i32),
    /// And the call that never returned.
    End(End, Option<&'static str>),
}

/// Who and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub tid: i32,
    pub process: i32,
    pub what: What,
}

/// Keeps everything, and answers `AsBefore`.
#[derive(Debug, Default)]
pub struct Recorder(pub Vec<Seen>);

fn name(call: Option<&tipstaff_trace::Call>) -> &'static str {
    call.and_then(|call| call.name()).unwrap_or("?")
}

impl Recorder {
    pub fn what(stop: &Stop, task: &Task) -> What {
        match stop {
            Stop::Signal(s) => What::Signal(s.signal(), s.info().map_or(0, |info| info.code())),
            Stop::Group(s) => What::Group(s.signal()),
            Stop::Interrupted(s) => What::Interrupted(s.reason()),
            Stop::Forked(s) => What::Forked(s.fork_kind(), s.child()),
            Stop::VforkDone(s) => What::VforkDone(s.child()),
            Stop::Executed(s) => What::Executed(s.former()),
            Stop::Exiting(_) => What::Exiting,
            Stop::Seccomp(s) => What::Seccomp(name(Some(s.call())), s.entered()),
            Stop::Entered(s) => What::Entered(name(Some(s.call()))),
            Stop::Left(s) => What::Left(name(task.call()), s.returned().value),
        }
    }

    fn push(&mut self, task: &Task, what: What) {
        self.0.push(Seen { tid: task.tid(), process: task.process(), what });
    }

    /// How often something was seen.
    pub fn count(&self, wanted: impl Fn(&What) -> bool) -> usize {
        self.0.iter().filter(|seen| wanted(&seen.what)).count()
    }

    /// Where something was seen first.
    pub fn position(&self, tid: i32, wanted: impl Fn(&What) -> bool) -> Option<usize> {
        self.0.iter().position(|seen| seen.tid == tid && wanted(&seen.what))
    }

    /// How a task ended.
    pub fn end(&self, tid: i32) -> Option<End> {
        self.0.iter().rev().find_map(|seen| match seen.what {
            What::End(end, _) if seen.tid == tid => Some(end),
            _ => None,
        })
    }

    /// What must hold of every trace: each entry has a return or an end, each task that was made has an end, nothing comes after an end.
    pub fn expect_whole(&self) {
        let mut open = std::collections::HashMap::new();
        let mut ended = std::collections::HashSet::new();
        for (at, seen) in self.0.iter().enumerate() {
            let Seen { tid, what, .. } = seen;
            match what {
                // A thread id may be given out again, and an exec brings the leader's back.
                What::Interrupted(Reason::New) | What::Executed(_) => drop(ended.remove(tid)),
                _ => assert!(!ended.contains(tid), "{seen:?} after its end, at {at}"),
            }
            match what {
                What::Entered(call) => assert_eq!(open.insert(*tid, *call), None, "{seen:?} in a call, at {at}"),
                What::Left(call, _) => assert_eq!(open.remove(tid), Some(*call), "{seen:?} at {at}"),
                What::Executed(former) => {
                    if former != tid {
                        ended.insert(*former);
                    }
                    // The call of the one that executes goes on under the leader's id.
                    if let Some(call) = open.remove(former) {
                        open.insert(*tid, call);
                    }
                }
                What::End(_, call) => {
                    assert_eq!(open.remove(tid), *call, "{seen:?} at {at}");
                    ended.insert(*tid);
                }
                _ => {}
            }
        }
        assert!(open.is_empty(), "calls that nobody closed: {open:?}");
        for seen in &self.0 {
            if let What::Forked(_, child) | What::Adopted(_, child) = seen.what {
                assert!(ended.contains(&child), "{child} was made and has no end");
            }
        }
    }
}

impl Observer for Recorder {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        let what = Self::what(stop, task);
        self.push(task, what);
        Resume::AsBefore
    }

    fn on_attach(&mut self, task: &Task) {
        self.push(task, What::Attached);
    }

    fn on_adopt(&mut self, kin: &Task, task: &Task, kind: ForkKind) {
        assert!(!kin.is_held() && kin.tid() != task.tid(), "{kin:?} {task:?}");
        self.push(kin, What::Adopted(kind, task.tid()));
    }

    fn on_end(&mut self, task: &Task, end: End) {
        self.push(task, What::End(end, task.call().and_then(|call| call.name())));
    }
}

/// One run: the first process, what it printed, what was seen.
#[derive(Debug)]
pub struct Ran {
    pub pid: i32,
    pub output: String,
    pub seen: Recorder,
}

impl Ran {
    pub fn end(&self) -> Option<End> {
        self.seen.end(self.pid)
    }
}

/// A pipe for a program's standard output, and the other side.
pub fn output() -> (OwnedFd, std::io::PipeReader) {
    let (reader, writer) = std::io::pipe().expect("pipe");
    (writer.into(), reader)
}

/// Runs a program to its end under `config`.
pub fn run(config: Config, launch: Launch) -> Ran {
    let mut seen = Recorder::default();
    let (pid, output) = run_with(config, launch, &mut seen);
    Ran { pid, output, seen }
}

/// Runs a program to its end with another observer. Its output must fit a pipe (64 KiB).
pub fn run_with(config: Config, launch: Launch, observer: &mut dyn Observer) -> (i32, String) {
    let (writer, mut reader) = output();
    let launch = launch.stdio(1, writer);
    let mut tracer = Tracer::new(config);
    let launched = tracer.launch(&launch, observer).expect("launch");
    drop(launch);
    assert_eq!(tracer.run(observer), Ok(Turn::Empty));
    assert!(tracer.tasks().is_empty());
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("output");
    (launched.pid, text)
}

/// A guest of the testkit.
pub fn guest(name: &str) -> Launch {
    program(&tipstaff_testkit::guest(name))
}

/// Any program.
pub fn program(path: &Path) -> Launch {
    Launch::new(path.as_os_str())
}
