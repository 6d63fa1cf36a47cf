//! A policy function as a handler.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tipstaff_abi::errno::{EACCES, EINVAL, EPERM};
use tipstaff_abi::{Arch, SyscallSet};

use super::{Category, Decision, Event, Interest, PolicyFn, Restrict, Subject};
use crate::handler::{Action, Deferred, Denied, Handler, Later, Process, SocketAddress, Trap};

const CLONE_THREAD: u64 = 0x0001_0000;
const CLONE_VM: u64 = 0x0000_0100;
const CLONE_VFORK: u64 = 0x0000_4000;
const SIGCHLD: u64 = 17;
/// UIO_MAXIOV: the kernel makes no more of sendmmsg(2) at once.
const MESSAGES: u64 = 1024;
/// From so many processes on the register looks for those that are gone.
const REGISTER: usize = 64;

/// The handler of one box.
pub(crate) struct Asking {
    policy: PolicyFn,
    names: Vec<(String, Vec<IpAddr>)>,
    restrict: Restrict,
    known: HashMap<i32, Arc<Process>>,
    /// How many processes the register may have before it is looked through.
    full: usize,
}

/// What a call comes to: subjects to be decided about, none if there is nothing to decide; or an answer.
type Subjects = Result<Vec<Subject>, Action>;

/// The kernel's answer to a call that makes no sense; no refusal of ours.
fn failed(errno: u16) -> Action {
    Action::Return(-i64::from(errno))
}

impl Asking {
    pub fn new(policy: PolicyFn, names: Vec<(String, Vec<IpAddr>)>, restrict: Restrict) -> Self {
        Self { policy, names, restrict, known: HashMap::new(), full: REGISTER }
    }

    fn subjects(&self, trap: &Trap<'_>, name: &str) -> Subjects {
        let wants = |interest| self.policy.interest.contains(interest);
        let [first, second, third, fourth, fifth, sixth] = trap.args();
        Ok(match name {
            "execve" | "execveat" if wants(Interest::EXEC) => {
                let (path, argv) = if name == "execve" { (0, 1) } else { (1, 2) };
                let path = trap.path(path).map_err(failed)?;
                let argv = trap.argv(argv).map_err(failed)?.0;
                let file = trap.approved().map_err(failed)?.path;
                vec![Subject::Exec { path, file, argv }]
            }
            "fork" if wants(Interest::FORK) => vec![Subject::Fork { flags: SIGCHLD }],
            "vfork" if wants(Interest::FORK) => vec![Subject::Fork { flags: CLONE_VM | CLONE_VFORK | SIGCHLD }],
            "clone" if wants(Interest::FORK) && first & CLONE_THREAD == 0 => vec![Subject::Fork { flags: first }],
            "connect" if wants(Interest::CONNECT) => vec![self.peer(trap, second, third)?],
            "sendto" if wants(Interest::CONNECT) && fifth != 0 => vec![self.peer(trap, fifth, sixth)?],
            "sendmsg" if wants(Interest::CONNECT) => self.named(trap, second)?.into_iter().collect(),
            "sendmmsg" if wants(Interest::CONNECT) => {
                let mut all = Vec::new();
                for index in 0..u64::from(third as u32).min(MESSAGES) {
                    all.extend(self.named(trap, second.wrapping_add(index * 64))?);
                }
                all.dedup();
                all
            }
            "bind" if wants(Interest::BIND) => vec![Subject::Bind { to: trap.address(second, third).map_err(failed)? }],
            "open" | "creat" if wants(Interest::OPEN) => vec![Subject::Open { path: trap.path(0).map_err(failed)? }],
            "openat" | "openat2" if wants(Interest::OPEN) => {
                vec![Subject::Open { path: trap.path(1).map_err(failed)? }]
            }
            _ if self.policy.more.iter().any(|more| more == name) => vec![Subject::Call],
            _ => {
                let _ = fourth;
                Vec::new()
            }
        })
    }

    fn peer(&self, trap: &Trap<'_>, at: u64, len: u64) -> Result<Subject, Action> {
        let to = trap.address(at, len).map_err(failed)?;
        let hosts = match &to {
            SocketAddress::Inet(addr) => {
                let ip = addr.ip().to_canonical();
                let named = |(_, ips): &&(String, Vec<IpAddr>)| ips.contains(&ip);
                self.names.iter().filter(named).map(|(name, _)| name.clone()).collect()
            }
            _ => Vec::new(),
        };
        Ok(Subject::Connect { to, hosts })
    }

    /// The address in a struct msghdr, as 64-bit programs lay it out, if there is one.
    fn named(&self, trap: &Trap<'_>, header: u64) -> Result<Option<Subject>, Action> {
        let mut words = [0u8; 16];
        if trap.read(header, &mut words) < words.len() {
            return Err(failed(tipstaff_abi::errno::EFAULT));
        }
        let word = |at: usize| u64::from_ne_bytes(words[at..at + 8].try_into().unwrap_or_default());
        match word(0) {
            0 => Ok(None),
            at => self.peer(trap, at, word(8) & 0xffff_ffff).map(Some),
        }
    }

    /// Who calls; None if it is gone, and what was found out under its number may be another's.
    fn caller(&self, trap: &Trap<'_>) -> Option<(i32, i32, Option<PathBuf>)> {
        let tid = trap.tid();
        let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
        let number = |key: &str| status.lines().find_map(|line| line.strip_prefix(key))?.trim().parse::<i32>().ok();
        let found = (number("Tgid:")?, number("PPid:")?, std::fs::read_link(format!("/proc/{tid}/exe")).ok());
        trap.is_waiting().then_some(found)
    }
}

impl Handler for Asking {
    fn wants(&self, arch: Arch) -> SyscallSet {
        let more = SyscallSet::from_names(arch, self.policy.more.iter().map(String::as_str));
        self.policy.interest.calls(arch).union(&more)
    }

    fn on_syscall(&mut self, trap: &mut Trap<'_>) -> Action {
        let Some(name) = trap.name() else { return Action::Errno(EPERM) };
        let subjects = match self.subjects(trap, name) {
            Ok(subjects) if subjects.is_empty() => return Action::Pass,
            Ok(subjects) => subjects,
            Err(action) => return action,
        };
        // Nobody waits for the answer any more.
        let Some((pid, parent, program)) = self.caller(trap) else { return Action::Errno(EPERM) };
        let process = self.known.get(&pid).cloned();
        let event = |subject| Event {
            call: name,
            args: trap.args(),
            pid,
            tid: trap.tid(),
            parent,
            program: program.clone(),
            subject,
            process: process.clone(),
            restrict: self.restrict.clone(),
        };
        let events: Vec<Event> = subjects.into_iter().map(event).collect();
        let policy = self.policy.clone();
        let late = format!("no decision about {} within {:?}: refused", events[0].words(), policy.deadline);
        Action::Defer(Deferred {
            deadline: policy.deadline,
            otherwise: Box::new(Action::Errno(EPERM)),
            late: Some(late),
            recall: None,
            work: Later::Pool(Box::new(move || decide(&policy, &events))),
        })
    }

    fn knows_processes(&self) -> bool {
        self.policy.processes
    }

    fn on_process(&mut self, process: &Process) {
        if self.known.len() >= self.full {
            self.known.retain(|_, known| known.lives());
            self.full = (self.known.len() * 2).max(REGISTER);
        }
        self.known.insert(process.pid(), Arc::new(process.clone()));
    }

    fn name(&self) -> &str {
        &self.policy.name
    }
}

/// Asks about each; the first objection counts.
fn decide(policy: &PolicyFn, events: &[Event]) -> Action {
    for event in events {
        let errno = match (policy.decide)(event) {
            Decision::Allow => continue,
            Decision::Audit => {
                policy.audit.note(event);
                continue;
            }
            Decision::Kill => return Action::Kill,
            decision if event.category() == Category::File => {
                // Refused, and loudly: a rule that a guest can get round is not to be taken for one that holds.
                panic!(
                    "{decision:?} about an open: only the profile can deny paths (Restrict::deny_path, filesystem.deny)"
                );
            }
            Decision::Deny if matches!(event.subject, Subject::Exec { .. }) => EACCES,
            Decision::Deny if event.category() == Category::Network => EACCES,
            Decision::Deny => EPERM,
            Decision::Errno(errno) if (1..=4095).contains(&errno) => errno,
            Decision::Errno(_) => EINVAL,
        };
        let rule = format!("{}: {}", policy.name, event.words());
        return Action::Deny(Box::new(Denied { errno, rule, allow_with: None }));
    }
    Action::Pass
}
