//! Where a named box is asked: requests become methods of its session.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use tipstaff_control::{Inspect, Limits, ProcessInfo, Reply, Request, Rule, Server, State, Status, Ticket};
use tipstaff_policy::lower::Plan;
use tipstaff_report::{Bytes, Cause};
use tipstaff_supervise::{Attendant, Frozen, Look, Session};

const SIGCONT: i32 = 18;

/// A box's socket, and who waits for an answer.
#[derive(Debug)]
pub(crate) struct Desk {
    server: Server,
    about: About,
    pausing: Vec<Ticket>,
    killing: Vec<Ticket>,
}

/// What does not change.
#[derive(Debug)]
struct About {
    name: String,
    command: Vec<Bytes>,
    profile: Option<Bytes>,
    since_ms: u64,
    limits: Limits,
    rules: Vec<Rule>,
}

impl Desk {
    pub fn new(server: Server, argv: &[OsString], profile: Option<&OsStr>, plan: &Plan) -> Self {
        let rule = |r: &tipstaff_policy::lower::PlanRule| Rule {
            enforcement: r.enforcement.clone(),
            cost: r.cost.to_string(),
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let about = About {
            name: server.name().to_owned(),
            command: argv.iter().map(|arg| Bytes::from(arg.as_os_str())).collect(),
            profile: profile.map(Bytes::from),
            since_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            limits: Limits::new(plan.limits.summary(), plan.limits.cpu_percent.map(|(percent, _)| percent)),
            rules: plan.rules.iter().map(rule).collect(),
        };
        Self { server, about, pausing: Vec::new(), killing: Vec::new() }
    }
}

impl Attendant for Desk {
    fn polled(&self) -> BorrowedFd<'_> {
        self.server.as_fd()
    }

    fn serve(&mut self, session: &mut Session) {
        let Self { server, about, pausing, killing } = self;
        let mut overtaken = Vec::new();
        server.serve(&mut |ticket, request| match request {
            Request::Status => Some(Reply::Status(about.status(session).0)),
            Request::Inspect => Some(Reply::Inspect(Box::new(about.inspect(session)))),
            Request::Kill { signal: None } => {
                session.kill(Cause::User);
                killing.push(ticket);
                None
            }
            Request::Kill { signal: Some(number) } => Some(signal(session, number)),
            Request::Pause => {
                if session.frozen() == Ok(Frozen::No) || session.frozen().is_err() {
                    session.pause();
                }
                pausing.push(ticket);
                None
            }
            Request::Resume => {
                session.resume();
                overtaken.append(pausing);
                Some(Reply::Done { note: None })
            }
            Request::Hold => Some(match session.hold() {
                Ok(note) => Reply::Done { note },
                Err(why) => Reply::Refused { why: format!("cannot hold box {:?}: {why}", about.name) },
            }),
            Request::Release => {
                session.release();
                Some(Reply::Done { note: None })
            }
        });
        for ticket in overtaken {
            server.reply(ticket, &Reply::Refused { why: format!("box {:?} was resumed meanwhile", about.name) });
        }
    }

    /// Answers those who wait for a pause, if it is done.
    fn turned(&mut self, session: &Session) {
        if self.pausing.is_empty() {
            return;
        }
        let reply = match session.frozen() {
            Ok(Frozen::Yes(0)) => Reply::Done { note: None },
            Ok(Frozen::Yes(n)) => Reply::Done {
                note: Some(format!("{n} of its tasks are in the kernel (vfork, a disk) and stop before they run on")),
            },
            Ok(_) => return,
            Err(why) => Reply::Refused { why: format!("cannot pause box {:?}: {why}", self.about.name) },
        };
        for ticket in std::mem::take(&mut self.pausing) {
            self.server.reply(ticket, &reply);
        }
    }

    fn ended(mut self: Box<Self>) {
        for ticket in std::mem::take(&mut self.killing) {
            self.server.reply(ticket, &Reply::Done { note: None });
        }
        for ticket in std::mem::take(&mut self.pausing) {
            self.server.reply(ticket, &Reply::Refused { why: format!("box {:?} has ended", self.about.name) });
        }
    }
}

fn signal(session: &Session, number: i32) -> Reply {
    if !(1..=64).contains(&number) {
        return Reply::Refused { why: format!("there is no signal {number}; signals are 1 to 64") };
    }
    if number == SIGCONT && session.frozen() != Ok(Frozen::No) {
        return Reply::Refused { why: "SIGCONT would let a part of a paused box go on; resume it".to_owned() };
    }
    session.signal(number);
    Reply::Done { note: None }
}

impl About {
    fn status(&self, session: &mut Session) -> (Status, Look) {
        let look = session.usage();
        let state = match session.frozen() {
            Ok(Frozen::Yes(_)) => State::Paused,
            Ok(Frozen::Stopping) => State::Pausing,
            Ok(Frozen::No) | Err(_) => State::Running,
        };
        let status = Status {
            name: self.name.clone(),
            pid: session.first_pid(),
            supervisor_pid: std::process::id().cast_signed(),
            since_ms: self.since_ms,
            state,
            held: session.is_held(),
            processes: look.tasks,
            memory_bytes: look.memory_bytes,
            cpu_ns: look.cpu_ns,
            wall_ns: look.wall_ns,
            command: self.command.clone(),
        };
        (status, look)
    }

    fn inspect(&self, session: &mut Session) -> Inspect {
        let (status, look) = self.status(session);
        let tasks = look.processes.into_iter().map(|p| ProcessInfo {
            pid: p.pid,
            ppid: p.ppid,
            comm: Bytes::from(p.comm),
            state: p.state,
            threads: p.threads,
        });
        Inspect {
            status,
            profile: self.profile.clone(),
            memory_peak_bytes: look.memory_peak_bytes,
            limits: self.limits,
            rules: self.rules.clone(),
            tasks: tasks.collect(),
        }
    }
}
