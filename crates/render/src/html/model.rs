//! What the page shows, collected while the trace goes on.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use tipstaff_abi::signal;
use tipstaff_decode::Call;

use super::HtmlOptions;
use super::touched::Touched;
use crate::text::{legible, result_text, value_text};
use crate::{Event, What};

/// Kinds of failure that are listed: as many as anybody reads.
const FAILURES: usize = 2_000;

/// The data of the page.
#[derive(Debug, Serialize)]
pub(super) struct Model {
    began_unix_ns: u64,
    /// When the last thing happened, nanoseconds since the beginning.
    end_ns: u64,
    /// Rows that were seen; those beyond the limit are in the sums only.
    seen: u64,
    limit: usize,
    processes: Vec<Process>,
    /// Thread ids and their processes' places.
    threads: Vec<(i32, usize)>,
    /// Every text that a row has.
    texts: Vec<Arc<str>>,
    rows: Rows,
    sums: Vec<Sum>,
    failures: Vec<Failure>,
    touched: Touched,
    #[serde(skip)]
    places: Places,
}

/// Where things are in the lists of the model.
#[derive(Debug, Default)]
struct Places {
    processes: HashMap<i32, usize>,
    threads: HashMap<i32, usize>,
    texts: HashMap<Arc<str>, u32>,
    sums: HashMap<Arc<str>, usize>,
    failures: HashMap<(Arc<str>, &'static str, Vec<u8>), usize>,
}

#[derive(Debug, Serialize)]
struct Process {
    pid: i32,
    parent: Option<usize>,
    began_ns: u64,
    ended_ns: Option<u64>,
    /// The program that was executed last, and its arguments.
    program: Option<String>,
    argv: Vec<String>,
    /// How the first thread ended.
    status: Option<i32>,
    signal: Option<String>,
    calls: u64,
    failed: u64,
}

/// The rows, a column each. `kind`: 0 a call that succeeded, 1 one that failed, 2 one that never returned, 3 a signal, 4 anything else.
#[derive(Debug, Default, Serialize)]
struct Rows {
    at: Vec<u64>,
    took: Vec<u64>,
    thread: Vec<usize>,
    kind: Vec<u8>,
    name: Vec<u32>,
    args: Vec<u32>,
    result: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct Sum {
    name: Arc<str>,
    calls: u64,
    errors: u64,
    wall_ns: u64,
    longest_ns: u64,
}

#[derive(Debug, Serialize)]
struct Failure {
    name: Arc<str>,
    errno: &'static str,
    about: String,
    count: u64,
    /// The first and the last row, where they were kept.
    first: Option<usize>,
}

impl Model {
    pub(super) fn new(options: &HtmlOptions) -> Self {
        Self {
            began_unix_ns: options.clock.began_unix_ns,
            end_ns: 0,
            seen: 0,
            limit: options.rows,
            processes: Vec::new(),
            threads: Vec::new(),
            texts: Vec::new(),
            rows: Rows::default(),
            sums: Vec::new(),
            failures: Vec::new(),
            touched: Touched::default(),
            places: Places::default(),
        }
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.end_ns = self.end_ns.max(event.at_ns);
        let thread = self.thread(event.tid, event.pid, event.at_ns);
        match &event.what {
            What::Entered(_) => {}
            What::Returned { call, took_ns } => self.call(event, thread, call, *took_ns),
            What::Signal { number, info } => self.row(event, thread, 3, &signal_name(*number), || value_text(info)),
            What::Forked { child, child_pid } => self.forked(event, thread, *child, *child_pid),
            What::Executed { path, argv, .. } => {
                let process = &mut self.processes[self.threads[thread].1];
                process.program = Some(legible(path));
                process.argv = argv.iter().map(|arg| legible(arg)).collect();
                self.row(event, thread, 4, "executes", || legible(path));
            }
            What::Exited { status } => {
                self.ended(event, Some(*status), None);
                self.row(event, thread, 4, "exited", || format!("with {status}"));
            }
            What::Killed { signal, core } => {
                self.ended(event, None, Some(signal_name(*signal)));
                let dumped = if *core { " (core dumped)" } else { "" };
                self.row(event, thread, 4, "killed", || format!("by {}{dumped}", signal_name(*signal)));
            }
            What::Stopped { signal } => {
                self.row(event, thread, 4, "stopped", || format!("by {}", signal_name(*signal)))
            }
            What::Attached => self.row(event, thread, 4, "attached", String::new),
            What::Detached => self.row(event, thread, 4, "detached", String::new),
        }
        self.touched.follow(event);
    }

    /// The place of a thread, which may be new.
    fn thread(&mut self, tid: i32, pid: i32, at_ns: u64) -> usize {
        if let Some(&place) = self.places.threads.get(&tid) {
            return place;
        }
        let process = match self.places.processes.get(&pid) {
            Some(&place) => place,
            None => self.process(pid, None, at_ns),
        };
        self.threads.push((tid, process));
        self.places.threads.insert(tid, self.threads.len() - 1);
        self.threads.len() - 1
    }

    fn process(&mut self, pid: i32, parent: Option<usize>, began_ns: u64) -> usize {
        self.processes.push(Process {
            pid,
            parent,
            began_ns,
            ended_ns: None,
            program: parent.and_then(|parent| self.processes[parent].program.clone()),
            argv: parent.map(|parent| self.processes[parent].argv.clone()).unwrap_or_default(),
            status: None,
            signal: None,
            calls: 0,
            failed: 0,
        });
        self.places.processes.insert(pid, self.processes.len() - 1);
        self.processes.len() - 1
    }

    fn forked(&mut self, event: &Event, thread: usize, child: i32, child_pid: i32) {
        let parent = self.threads[thread].1;
        let known = self.places.processes.get(&child_pid).copied();
        match known.filter(|&place| place > parent && self.processes[place].ended_ns.is_none()) {
            // Its first event came before its maker's.
            Some(place) => self.processes[place].parent = self.processes[place].parent.or(Some(parent)),
            None => {
                // The kernel may give an id again: a new thread is a new one.
                self.places.threads.remove(&child);
                if child_pid != event.pid {
                    self.process(child_pid, Some(parent), event.at_ns);
                }
                self.thread(child, child_pid, event.at_ns);
            }
        }
        let what = if child_pid == event.pid { "thread" } else { "process" };
        self.row(event, thread, 4, "starts", || format!("{what} {child}"));
    }

    fn ended(&mut self, event: &Event, status: Option<i32>, signal: Option<String>) {
        if event.pid != event.tid {
            return;
        }
        if let Some(&place) = self.places.processes.get(&event.pid) {
            let process = &mut self.processes[place];
            (process.ended_ns, process.status, process.signal) = (Some(event.at_ns), status, signal);
        }
    }

    fn call(&mut self, event: &Event, thread: usize, call: &Call, took_ns: u64) {
        self.end_ns = self.end_ns.max(event.at_ns.saturating_add(took_ns));
        let errno = call.returned.as_ref().and_then(|returned| returned.errno);
        let process = &mut self.processes[self.threads[thread].1];
        process.calls += 1;
        process.failed += u64::from(errno.is_some());
        let name = self.sum(call, took_ns, errno.is_some());
        self.touched.count(event.pid, call);
        if let Some(errno) = errno {
            self.failure(event.pid, call, name.clone(), errno);
        }
        self.seen += 1;
        if self.rows.at.len() >= self.limit {
            return;
        }
        let kind = match (&call.returned, errno) {
            (None, _) => 2,
            (Some(_), Some(_)) => 1,
            (Some(_), None) => 0,
        };
        let args: Vec<_> = call.args.iter().map(|arg| value_text(&arg.value)).collect();
        let result = result_text(call.returned.as_ref());
        let texts = [self.text(&name), self.text(&args.join(", ")), self.text(&result)];
        self.rows.push(event.at_ns, took_ns, thread, kind, texts);
    }

    fn sum(&mut self, call: &Call, took_ns: u64, failed: bool) -> Arc<str> {
        let place = match self.places.sums.get(&*call.name) {
            Some(&place) => place,
            None => {
                let name: Arc<str> = (*call.name).into();
                self.places.sums.insert(name.clone(), self.sums.len());
                self.sums.push(Sum { name, calls: 0, errors: 0, wall_ns: 0, longest_ns: 0 });
                self.sums.len() - 1
            }
        };
        let sum = &mut self.sums[place];
        sum.calls += 1;
        sum.errors += u64::from(failed);
        sum.wall_ns = sum.wall_ns.saturating_add(took_ns);
        sum.longest_ns = sum.longest_ns.max(took_ns);
        sum.name.clone()
    }

    fn failure(&mut self, pid: i32, call: &Call, name: Arc<str>, errno: &'static str) {
        let about = self.touched.about(pid, call);
        let key = (name, errno, about);
        let kept = Some(self.rows.at.len()).filter(|&row| row < self.limit);
        match self.places.failures.get(&key) {
            Some(&place) => self.failures[place].count += 1,
            None if self.failures.len() < FAILURES => {
                let (name, _, about) = &key;
                self.failures.push(Failure { name: name.clone(), errno, about: legible(about), count: 1, first: kept });
                self.places.failures.insert(key, self.failures.len() - 1);
            }
            None => {}
        }
    }

    /// A row that is no call.
    fn row(&mut self, event: &Event, thread: usize, kind: u8, name: &str, words: impl FnOnce() -> String) {
        self.seen += 1;
        if self.rows.at.len() < self.limit {
            let texts = [self.text(name), self.text(&words()), self.text("")];
            self.rows.push(event.at_ns, 0, thread, kind, texts);
        }
    }

    fn text(&mut self, text: &str) -> u32 {
        if let Some(&place) = self.places.texts.get(text) {
            return place;
        }
        let place = self.texts.len() as u32;
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.places.texts.insert(text, place);
        place
    }
}

impl Rows {
    fn push(&mut self, at: u64, took: u64, thread: usize, kind: u8, [name, args, result]: [u32; 3]) {
        self.at.push(at);
        self.took.push(took);
        self.thread.push(thread);
        self.kind.push(kind);
        self.name.push(name);
        self.args.push(args);
        self.result.push(result);
    }
}

fn signal_name(number: i32) -> String {
    signal::name(number).unwrap_or_else(|| format!("signal {number}"))
}
