//! From what is remembered to sentences.

use tipstaff_abi::{errno, signal};

use super::Watch;
use super::process::{End, Failure, Process, last_part};
use super::rank::{Candidate, candidates, contains_word};
use super::words::{hint, signal_reason};
use crate::text::shown;

/// Candidates that are told where none is certain.
const TOLD: usize = 5;

/// The process that a failure began in, and whether the way there is more than a guess.
#[derive(Clone, Copy)]
struct Culprit {
    place: usize,
    certain: bool,
}

impl Watch {
    /// The explanation, a line each; the first is the answer, the others are indented.
    pub(super) fn explain(&self) -> Vec<String> {
        let Some(root) = self.processes.first() else { return vec!["nothing was traced".to_owned()] };
        let name = root.name();
        match root.end {
            None => vec![format!("the end of {name} was not seen: there is nothing to explain yet")],
            Some((_, End::Exited(0))) => vec![format!("{name} exited with status 0: there is no failure to explain")],
            Some(_) => {
                let culprit = self.culprit();
                let process = &self.processes[culprit.place];
                let (reason, details) = match process.end {
                    Some((_, End::Killed { signal, .. })) => self.killed(process, signal),
                    _ => self.exited(culprit.place),
                };
                let mut lines = vec![format!("{}: {reason}", self.head(culprit))];
                lines.extend(details.into_iter().map(|detail| format!("  {detail}")));
                lines
            }
        }
    }

    /// Who ended how, and because of whom.
    fn head(&self, culprit: Culprit) -> String {
        let root = &self.processes[0];
        let head = format!("{} {}", root.name(), ending(root));
        if culprit.place == 0 {
            return head;
        }
        let process = &self.processes[culprit.place];
        let link = if culprit.certain { "because" } else { "most likely because" };
        format!("{head}, {link} {} (pid {}) {}", process.name(), process.pid, ending(process))
    }

    /// Follows the failure down the tree: to the last child that ended with the status that its parent then ended with. A program that is no
    /// shell turns its child's status into one of its own (make: 2), so there the last child that failed is a guess.
    fn culprit(&self) -> Culprit {
        let mut at = Culprit { place: 0, certain: true };
        loop {
            let process = &self.processes[at.place];
            let Some((ended, End::Exited(status))) = process.end else { return at };
            let own = self.candidates(at.place).into_iter().find(Candidate::certain);
            let mut children: Vec<_> = self
                .processes
                .iter()
                .enumerate()
                .filter(|(place, child)| *place != at.place && child.parent == Some(at.place))
                .filter_map(|(place, child)| Some((child.end?.0, place, child.shell_status()?)))
                .filter(|(end, ..)| *end < ended)
                .collect();
            children.sort_unstable();
            let same = children.iter().rev().find(|(.., passed)| *passed == status);
            let failed = children.iter().rev().find(|(.., passed)| *passed != 0).filter(|_| !is_shell(process));
            let Some(&(end, place, passed)) = same.or(failed) else { return at };
            // What the process itself said after its child's end is about something else.
            if own.is_some_and(|own| own.failure.order > end) {
                return at;
            }
            let last = children.last().is_some_and(|(_, last, _)| *last == place);
            at = Culprit { place, certain: at.certain && passed == status && last };
        }
    }

    fn candidates(&self, place: usize) -> Vec<Candidate<'_>> {
        candidates(&self.processes[place], &self.line_of(place))
    }

    /// A process and those above it: what a child could not say, its parent may have.
    fn line_of(&self, place: usize) -> Vec<&Process> {
        std::iter::successors(Some(place), |&at| self.processes[at].parent).map(|at| &self.processes[at]).collect()
    }

    fn killed(&self, process: &Process, number: i32) -> (String, Vec<String>) {
        let name = signal::name(number).unwrap_or_else(|| format!("signal {number}"));
        let info = process.signal.as_ref().filter(|signal| signal.number == number);
        let sent = info.and_then(|info| {
            let code = info.word("si_code")?;
            let by_hand = matches!(&*code, "SI_USER" | "SI_TKILL" | "SI_QUEUE");
            by_hand.then(|| (info.word("si_pid").unwrap_or_default(), info.word("si_uid").unwrap_or_default()))
        });
        let reason = match sent {
            Some((pid, _)) if pid == process.pid.to_string() => {
                "it sent the signal to itself (abort, raise or kill)".to_owned()
            }
            Some((pid, uid)) => {
                let sender = pid
                    .parse()
                    .ok()
                    .and_then(|pid: i32| self.by_pid.get(&pid))
                    .map(|&place| self.processes[place].name());
                let sender = sender.unwrap_or_else(|| "a process that is not traced".to_owned());
                format!("{sender} (pid {pid}, uid {uid}) sent it")
            }
            None => match signal_reason(&name, info) {
                Some(reason) => reason,
                None => self.killer(process, &name),
            },
        };
        (reason, self.last_words(process).into_iter().collect())
    }

    /// Who sent a signal that no siginfo came with: SIGKILL is never delivered, it just ends the process (signal(7)).
    fn killer(&self, process: &Process, signal: &str) -> String {
        let to_it = |target: i64| target == i64::from(process.pid) || target == -i64::from(process.pid);
        match self.kills.iter().rev().find(|kill| to_it(kill.target) && kill.signal == signal) {
            Some(kill) if self.processes[kill.sender].pid == process.pid => "it sent the signal to itself".to_owned(),
            Some(kill) => {
                let sender = &self.processes[kill.sender];
                format!("{} (pid {}) sent it", sender.name(), sender.pid)
            }
            None if signal == "SIGKILL" => {
                "nobody in this trace sent it: somebody outside, or the kernel for want of memory (see dmesg)"
                    .to_owned()
            }
            None => "nobody in this trace sent it".to_owned(),
        }
    }

    fn exited(&self, place: usize) -> (String, Vec<String>) {
        let process = &self.processes[place];
        let said: Vec<u8> = process.said_after(0);
        if let Some(explained) = missing_library(process, &said).or_else(|| missing_command(process, &said)) {
            return explained;
        }
        let all = self.candidates(place);
        let Some(best) = all.first() else {
            let reason = if is_shell(process) {
                "no failing call explains it; a shell ends so by itself too (exit, false, test)"
            } else {
                "no failing call explains it"
            };
            let mut details: Vec<_> = self.last_words(process).into_iter().collect();
            details.extend(self.failed_children(place));
            return (reason.to_owned(), details);
        };
        let mut details = Vec::new();
        let found = best.failure.path.as_deref().is_some_and(|path| process.has_found(path));
        details.extend(hint(best.failure.errno, &best.failure.name, found).map(str::to_owned));
        details.extend(self.last_words(process));
        if best.certain() {
            return (sentence(best.failure), details);
        }
        let silent = said.is_empty() && !self.line_of(place).iter().any(|process| !process.said_after(0).is_empty());
        details.push(
            if silent {
                "it wrote nothing to stderr, so this is a guess"
            } else {
                "what it wrote to stderr names no failing call, so this is a guess"
            }
            .to_owned(),
        );
        let others = all.iter().skip(1).take(TOLD).map(|other| format!("or: {}", sentence(other.failure)));
        details.extend(others);
        details.extend(self.failed_children(place));
        (format!("perhaps {}", sentence(best.failure)), details)
    }

    fn last_words(&self, process: &Process) -> Option<String> {
        let said = process.said_after(0);
        let line = said.split(|&byte| byte == b'\n').rev().find(|line| !line.trim_ascii().is_empty())?;
        Some(format!("its last words on stderr: {}", shown(line.trim_ascii())))
    }

    /// Children that failed without being followed.
    fn failed_children(&self, place: usize) -> impl Iterator<Item = String> {
        let children = self.processes.iter().filter(move |child| child.parent == Some(place));
        let failed = children.filter(|child| child.shell_status().is_some_and(|status| status != 0));
        failed.take(TOLD).map(|child| format!("its child {} (pid {}) {}", child.name(), child.pid, ending(child)))
    }
}

fn ending(process: &Process) -> String {
    match process.end {
        Some((_, End::Exited(status))) => format!("exited with status {status}"),
        Some((_, End::Killed { signal, core })) => {
            let name = signal::name(signal).unwrap_or_else(|| format!("signal {signal}"));
            format!("was killed by {name}{}", if core { " (core dumped)" } else { "" })
        }
        None => "is still running".to_owned(),
    }
}

fn sentence(failure: &Failure) -> String {
    let words = errno::by_name(failure.errno).and_then(errno::text);
    let words = words.map(|words| format!(" ({words})")).unwrap_or_default();
    format!("{} failed with {}{words}", failure.line, failure.errno)
}

/// Shells pass the status of their last command on as it is.
fn is_shell(process: &Process) -> bool {
    let name = process.program.as_deref().map_or(&b""[..], last_part);
    matches!(name, b"sh" | b"dash" | b"bash" | b"ash" | b"zsh" | b"ksh" | b"mksh" | b"busybox" | b"fish")
}

/// The dynamic linker says which library it did not find (ld.so(8)), and where it looked is in the trace.
fn missing_library(process: &Process, said: &[u8]) -> Option<(String, Vec<String>)> {
    let said = String::from_utf8_lossy(said);
    let rest = said.split_once("error while loading shared libraries: ")?.1;
    let name = rest.split(':').next()?.trim().to_owned();
    let looked = tried(process, name.as_bytes());
    let details =
        if looked.is_empty() { Vec::new() } else { vec![format!("the loader looked for {}", looked.join(", "))] };
    Some((format!("the shared library {} could not be loaded", shown(name.as_bytes())), details))
}

/// A command that a shell did not find in any directory of PATH: the status is 127 (sh(1)), and the message names it.
fn missing_command(process: &Process, said: &[u8]) -> Option<(String, Vec<String>)> {
    if process.shell_status() != Some(127) {
        return None;
    }
    let missed = process.failures.iter().rev().filter(|failure| matches!(failure.errno, "ENOENT" | "ENOTDIR"));
    let mut named = missed.filter_map(|failure| failure.path.as_deref()).map(last_part);
    let name = named.find(|name| contains_word(said, name))?;
    let looked = tried(process, name);
    if looked.len() < 2 {
        return None;
    }
    let details = vec![format!("looked for {}", looked.join(", "))];
    Some((format!("the command {} was not found", shown(name)), details))
}

/// The paths with a last part that a process tried in vain.
fn tried(process: &Process, name: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    for failure in &process.failures {
        if let Some(path) = failure.path.as_deref().filter(|path| last_part(path) == name) {
            let path = shown(path);
            if !all.contains(&path) {
                all.push(path);
            }
        }
    }
    all
}
