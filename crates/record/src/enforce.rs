//! A program under a profile's system calls and nothing else, and what these refuse.
//!
//! What the profile refuses asks us (seccomp_unotify(2)) and is answered as the profile says, so that each refusal is seen with its arguments; what it allows
//! costs nothing. The decision is made on registers alone.

use std::collections::BTreeMap;

use rustix::event::{PollFd, PollFlags, poll};
use tipstaff_abi::bpf::SeccompData;
use tipstaff_abi::{Arch, Sysno, errno};
use tipstaff_notify::{Filter, Next, Notification};
use tipstaff_oci_seccomp::learn::name;
use tipstaff_oci_seccomp::meaning::passes;
use tipstaff_recording::Exit;
use tipstaff_seccomp::{Action, Filter as Rules, Rule};
use tipstaff_sys::{Errno, signal};

use crate::notify::{exit, is_ready, start_program};
use crate::session::Refused;
use crate::{Command, Error, judge};

const SIGKILL: i32 = 9;

/// A call that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The call's architecture; none where no table here has it.
    pub arch: Option<Arch>,
    /// Its name, or "#nnn".
    pub name: String,
    /// The arguments, the first time.
    pub args: [u64; 6],
    /// What the profile says.
    pub action: Action,
    /// How often.
    pub count: u64,
}

/// A run under a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforced {
    /// What was refused, each call once.
    pub refused: Vec<Refusal>,
    /// Calls that were answered with ENOSYS on purpose, and that C libraries do by another one.
    pub falls_back: Vec<String>,
    /// How the program ended.
    pub exit: Option<Exit>,
}

/// Runs a program under a filter, until it and all its descendants have ended.
///
/// # Errors
/// If the program cannot be executed, or if no listener can be had. Where the profile refuses its execve(2), that is what was refused.
pub fn enforce(command: &Command, rules: &Rules) -> Result<Enforced, Error> {
    let (running, listener, pidfd, _) =
        start_program(command, &Filter(asking(rules))).map_err(|refused| match refused {
            Refused::Target(e) => e,
            Refused::Backend(why) => Error::Failed(why),
        })?;
    drop(pidfd);
    let mut judge = Judge { rules, begun: false, refused: BTreeMap::new() };
    let (mut running, mut ended) = (Some(running), None);
    loop {
        if let Some(over) = running.take_if(|running| is_ready(&*running)) {
            match over.wait() {
                Ok(status) => ended = exit(status),
                // Its execve is its first call under the profile, and may be what is refused.
                Err(_) if !judge.refused.is_empty() => break,
                Err(e) => {
                    let errno = Errno(e.raw_os_error().unwrap_or(0));
                    return Err(Error::Exec { program: command.program.clone(), errno });
                }
            }
        }
        let mut fds = vec![PollFd::new(&listener, PollFlags::IN)];
        fds.extend(running.as_ref().map(|running| PollFd::new(running, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(broken(&e.to_string())),
        }
        if fds[0].revents().is_empty() {
            continue;
        }
        drop(fds);
        match listener.next().map_err(|e| broken(&e.to_string()))? {
            Next::Call(call) => judge.answer(call),
            Next::Nothing => {}
            Next::Ended if running.is_none() => break,
            // Its zombie is still to be reaped: the pidfd says so now.
            Next::Ended => {
                if let Some(running) = &running {
                    let _ = poll(&mut [PollFd::new(running, PollFlags::IN)], None);
                }
            }
        }
    }
    let (mut refused, mut falls_back) = (Vec::new(), Vec::new());
    for refusal in judge.refused.into_values() {
        let back = refusal.arch.map(|arch| judge::falls_back(rules, arch, &refusal.name, refusal.action)).transpose();
        if back.ok().flatten() == Some(true) { falls_back.push(refusal.name) } else { refused.push(refusal) }
    }
    Ok(Enforced { refused, falls_back, exit: ended })
}

fn broken(why: &str) -> Error {
    Error::Failed(format!("the listener: {why}"))
}

/// Calls that start a program.
const EXEC: [&str; 2] = ["execve", "execveat"];

/// The same rules, but what refuses asks, and so does whoever starts a program: the first to do so is the launcher.
fn asking(rules: &Rules) -> Rules {
    let ask = |action: &mut Action| {
        if !passes(*action) {
            *action = Action::Notify;
        }
    };
    let mut asking = rules.clone();
    for table in &mut asking.tables {
        table.rules.values_mut().flatten().for_each(|rule| ask(&mut rule.action));
        ask(&mut table.default);
        ask(&mut table.unknown);
        for nr in EXEC.into_iter().filter_map(|name| Sysno::by_name(table.arch, name)) {
            table.rules.insert(nr.0, vec![Rule::always(Action::Notify)]);
        }
    }
    ask(&mut asking.foreign);
    asking
}

/// Answers what asks.
struct Judge<'a> {
    rules: &'a Rules,
    /// The program has been started. Before, the launcher makes its own last calls under the filter already: these are nobody's to judge.
    begun: bool,
    /// By the kernel's word for the architecture, and number.
    refused: BTreeMap<(u32, u32), Refusal>,
}

impl Judge<'_> {
    fn answer(&mut self, call: Notification) {
        let data: SeccompData = *call.data();
        let (number, arch) = (data.number(), Arch::of(data.arch, data.number()));
        let name = arch.map_or_else(|| format!("#{number}"), |arch| name(arch, number));
        let starts = EXEC.contains(&name.as_str());
        let action = self.rules.decide(&data);
        if passes(action) || !(self.begun || starts) {
            self.begun |= starts;
            return call.proceed_unjudged();
        }
        let new = || Refusal { arch, name, args: data.args, action, count: 0 };
        self.refused.entry((data.arch, number)).or_insert_with(new).count += 1;
        match action {
            // Whoever waits for an answer has its number still.
            Action::KillProcess | Action::KillThread | Action::Trap(_) => {
                if let Some(pid) = call.pid() {
                    let _ = signal::kill(pid.cast_signed(), SIGKILL);
                }
                call.leave_to_die();
            }
            Action::Errno(number) => drop(call.refuse(number.into())),
            // Nobody else listens or traces: as the kernel answers then.
            _ => drop(call.refuse(errno::ENOSYS.into())),
        }
    }
}
