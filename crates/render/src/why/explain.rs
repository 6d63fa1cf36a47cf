//! From what is remembered to sentences.

use tipstaff_abi::{errno, signal};

use super::Watch;
use super::process::{End, Failure, Process, last_part};
use super::rank::{Candidate, candidates, contains_word};
use super::words::{hint, signal_reason};
use crate::text::{legible, shown};

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
                    Some((_, End::Killed { signal, .. })) => self.killed(culprit.place, signal),
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

    fn killed(&self, place: usize, number: i32) -> (String, Vec<String>) {
        let process = &self.processes[place];
        let name = signal::name(number).unwrap_or_else(|| format!("signal {number}"));
        let info = process.signal.as_ref().filter(|signal| signal.number == number);
        let sent = info.and_then(|info| {
            let code = info.word("si_code")?;
            // The kernel sends SIGPIPE in the name of the writer.
            let by_hand = matches!(&*code, "SI_USER" | "SI_TKILL" | "SI_QUEUE") && name != "SIGPIPE";
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
        (reason, self.last_words(place).into_iter().collect())
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
        let Some(best) = all.first().filter(|best| best.likely()) else { return self.unexplained(place, &all) };
        let Failure { name, errno, path, .. } = best.failure;
        if name.starts_with("exec")
            && *errno == "ENOENT"
            && let Some(explained) = not_in_path(process, path.as_deref().map_or(&b""[..], last_part))
        {
            return (explained.0, explained.1.into_iter().chain(self.last_words(place)).collect());
        }
        let found = path.as_deref().is_some_and(|path| process.has_found(path));
        let mut details: Vec<_> = hint(errno, name, found).map(str::to_owned).into_iter().collect();
        details.extend(self.last_words(place));
        if best.certain() {
            return (sentence(best.failure), details);
        }
        let silent = self.last_words(place).is_none();
        let why = if silent {
            "it wrote nothing to stderr"
        } else {
            "what was written to stderr does not name the call for sure"
        };
        details.push(format!("this is a guess: {why}"));
        details.extend(self.others(place, &all[1..]));
        (format!("perhaps {}", sentence(best.failure)), details)
    }

    fn unexplained(&self, place: usize, all: &[Candidate<'_>]) -> (String, Vec<String>) {
        let reason = if is_shell(&self.processes[place]) {
            "no failing call explains it; a shell ends so by itself too (exit, false, test)"
        } else {
            "no failing call explains it"
        };
        let mut details: Vec<_> = self.last_words(place).into_iter().collect();
        details.extend(self.others(place, all));
        (reason.to_owned(), details)
    }

    /// What else failed, calls and children.
    fn others(&self, place: usize, calls: &[Candidate<'_>]) -> Vec<String> {
        let calls = calls.iter().take(TOLD).map(|other| format!("what failed, too: {}", call_and_errno(other.failure)));
        calls.chain(self.failed_children(place)).collect()
    }

    /// The last line that a process wrote to stderr, or else one above it.
    fn last_words(&self, place: usize) -> Option<String> {
        self.line_of(place).into_iter().enumerate().find_map(|(above, process)| {
            let said = process.said_after(0);
            let line = said.split(|&byte| byte == b'\n').rev().find(|line| !line.trim_ascii().is_empty())?;
            let whose = if above == 0 { "its".to_owned() } else { format!("{}'s", process.name()) };
            Some(format!("{whose} last words on stderr: {}", legible(line.trim_ascii())))
        })
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

fn call_and_errno(failure: &Failure) -> String {
    format!("{} = {}", failure.line, failure.errno)
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
    let details = looked_for(process, name.as_bytes());
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
    not_in_path(process, name)
}

/// A command that was looked for in several directories, in vain.
fn not_in_path(process: &Process, name: &[u8]) -> Option<(String, Vec<String>)> {
    let details = (tried(process, name).len() >= 2).then(|| looked_for(process, name))?;
    Some((format!("the command {} was not found", shown(name)), details))
}

/// The places where something was looked for; of the many below one directory where a library may lie (ld.so(8), hwcaps), that directory.
fn looked_for(process: &Process, name: &[u8]) -> Vec<String> {
    const PLACES: usize = 12;
    let directories: Vec<_> = tried(process, name)
        .iter()
        .filter_map(|path| path.rsplit_once('/'))
        .map(|(directory, _)| format!("{directory}/"))
        .collect();
    let below =
        |path: &String| directories.iter().any(|top| top != path && top.len() > 1 && path.starts_with(top.as_str()));
    let tops: Vec<_> = directories.iter().filter(|path| !below(path)).map(String::as_str).collect();
    let shown = tops[..tops.len().min(PLACES)].join(" ");
    let more = if tops.len() > PLACES { format!(" and {} more", tops.len() - PLACES) } else { String::new() };
    if tops.is_empty() { Vec::new() } else { vec![format!("it was looked for in {shown}{more}")] }
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
