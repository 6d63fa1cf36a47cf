//! `--why`: the call that made a program fail, in words.
//!
//! No call says "I am why". What speaks for one: the program wrote its errno's text, or its path, to standard error afterwards; or it
//! is the last that failed. What speaks against one: the same call on the same path succeeded later, or programs live with such a failure every day.

use std::collections::HashMap;

use tipstaff_abi::{errno, signal};
use tipstaff_decode::{Call, Value, descriptors, paths};
use tipstaff_render::{Event, What};
use tipstaff_trace::{Address, Memory};

/// Failures and words of a process that are kept: the last ones.
const FAILURES: usize = 256;
const WORDS: usize = 16 << 10;
/// Bytes of one write that are looked at.
const PIECE: usize = 1024;

/// Collects what speaks for one call or another.
#[derive(Default)]
pub struct Why {
    processes: HashMap<i32, Process>,
    /// Ends are numbered, to know which child ended last.
    ends: u64,
    first: Option<i32>,
}

#[derive(Default)]
struct Process {
    parent: Option<i32>,
    name: String,
    failures: Vec<Failure>,
    /// What it wrote to standard error.
    words: Vec<u8>,
    end: Option<(u64, Ended)>,
    /// What the last signal's siginfo says.
    blame: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Exited(i32),
    Killed(i32),
}

impl Ended {
    /// As a shell says it.
    fn status(self) -> i32 {
        match self {
            Self::Exited(status) => status,
            Self::Killed(signal) => 128 + signal,
        }
    }
}

struct Failure {
    call: String,
    /// The path, or what the descriptor refers to.
    about: Option<Vec<u8>>,
    errno: i32,
    /// How much the program had said by then.
    said: usize,
}

impl Why {
    /// Takes one event.
    pub fn event(&mut self, event: &Event) {
        let process = self.processes.entry(event.pid).or_default();
        match &event.what {
            What::Executed { path, argv, .. } => {
                self.first.get_or_insert(event.pid);
                let name = argv.first().filter(|name| !name.is_empty()).unwrap_or(path);
                process.name = legible(name.rsplit(|&b| b == b'/').next().unwrap_or(name));
                // What failed until here was the old program's, or the search for the new one.
                process.failures.clear();
                process.words.clear();
            }
            What::Forked { child_pid, .. } if *child_pid != event.pid => {
                let name = process.name.clone();
                let child = self.processes.entry(*child_pid).or_default();
                (child.parent, child.name) = (Some(event.pid), name);
            }
            What::Signal { info, .. } => process.blame = blame(info),
            What::Exited { status } if event.tid == event.pid => self.ended(event.pid, Ended::Exited(*status)),
            What::Killed { signal, .. } if event.tid == event.pid => self.ended(event.pid, Ended::Killed(*signal)),
            _ => {}
        }
    }

    fn ended(&mut self, pid: i32, ended: Ended) {
        self.ends += 1;
        self.processes.entry(pid).or_default().end = Some((self.ends, ended));
    }

    /// A call has returned, and its thread stands.
    pub fn returned(&mut self, pid: i32, call: &Call, memory: &Memory<'_>) {
        let Some(returned) = &call.returned else { return };
        let process = self.processes.entry(pid).or_default();
        if returned.errno.is_none() {
            let good = |failure: &Failure| {
                failure.call == call.name && failure.about.as_deref() == paths(call).first().copied()
            };
            process.failures.retain(|failure| failure.about.is_none() || !good(failure));
            process.hear(call, returned.value, memory);
            return;
        }
        let errno = -returned.value as i32;
        let about = paths(call).first().map(|path| path.to_vec()).or_else(|| {
            let (number, path) = descriptors(call).into_iter().next()?;
            let found = || std::fs::read_link(format!("/proc/{pid}/fd/{number}")).ok();
            path.map(<[u8]>::to_vec).or_else(|| Some(found()?.into_os_string().into_encoded_bytes()))
        });
        if everyday(&call.name, errno, about.as_deref()) {
            return;
        }
        if process.failures.len() == FAILURES {
            process.failures.remove(0);
        }
        process.failures.push(Failure { call: call.name.to_string(), about, errno, said: process.words.len() });
    }

    /// The explanation, a line each; none if the program succeeded.
    pub fn lines(&self) -> Vec<String> {
        let Some(mut pid) = self.first else { return Vec::new() };
        let mut lines = Vec::new();
        while let Some((process, ended)) = self.badly(pid) {
            let who = format!("{} (process {pid})", process.name);
            let how = match ended {
                Ended::Exited(status) => format!("{who} exited with {status}"),
                Ended::Killed(number) => {
                    let name = signal::name(number).unwrap_or_else(|| number.to_string());
                    lines.push(format!("{who} was killed by {name}{}", process.blame));
                    return lines;
                }
            };
            let proven = process.proven(ended);
            // A shell's status is its last command's; so is that of most that run others.
            if proven.is_none()
                && let Some(child) = self.guilty_child(pid, ended)
            {
                let same = self.badly(child).is_some_and(|(_, child)| child.status() == ended.status());
                let link =
                    if same { ", as what it started did:" } else { "; before that, something that it started failed:" };
                lines.push(format!("{how}{link}"));
                pid = child;
                continue;
            }
            match proven.or_else(|| process.failures.last()) {
                Some(failure) => lines.push(format!("{how}: {}", failure.words())),
                None => lines.push(format!("{how}; no system call of it failed in a way that would tell why")),
            }
            if let Some(said) = process.last_words() {
                lines.push(format!("it said: {said}"));
            }
            return lines;
        }
        lines
    }

    fn badly(&self, pid: i32) -> Option<(&Process, Ended)> {
        let process = self.processes.get(&pid)?;
        let (_, ended) = process.end?;
        (ended != Ended::Exited(0)).then_some((process, ended))
    }

    /// The child that ended last in the same way, else the last that ended badly.
    fn guilty_child(&self, pid: i32, ended: Ended) -> Option<i32> {
        let children = self.processes.iter().filter(|(_, process)| process.parent == Some(pid));
        let bad = children.filter_map(|(&child, process)| {
            let (nth, how) = process.end.filter(|(_, how)| *how != Ended::Exited(0))?;
            Some((how.status() == ended.status(), nth, child))
        });
        bad.max().map(|(.., child)| child)
    }
}

impl Process {
    /// Remembers what goes to standard error.
    fn hear(&mut self, call: &Call, written: i64, memory: &Memory<'_>) {
        if call.raw[0] as u32 != 2 || written <= 0 {
            return;
        }
        let pieces = match &*call.name {
            "write" => vec![(call.raw[1], written as u64)],
            "writev" => vectors(call, memory),
            _ => return,
        };
        for (address, length) in pieces {
            let mut piece = vec![0; (length as usize).min(PIECE)];
            let read = memory.read(Address(address), &mut piece);
            self.words.extend_from_slice(&piece[..read]);
        }
        let over = self.words.len().saturating_sub(WORDS);
        self.words.drain(..over);
        for failure in &mut self.failures {
            failure.said = failure.said.saturating_sub(over);
        }
    }

    /// The first failure that the program itself spoke of, provided that it ended by itself.
    fn proven(&self, ended: Ended) -> Option<&Failure> {
        let Ended::Exited(_) = ended else { return None };
        let spoke = |failure: &&Failure, path: bool, text: bool| {
            let words = self.words.get(failure.said..).unwrap_or_default();
            let named = failure.about.as_deref().is_some_and(|about| holds(words, last_part(about)));
            let told = errno::text(failure.errno).is_some_and(|text| holds(words, text.as_bytes()));
            (!path || named) && (!text || told)
        };
        let list = || self.failures.iter();
        list()
            .find(|f| spoke(f, true, true))
            .or_else(|| list().find(|f| spoke(f, false, true)))
            .or_else(|| list().find(|f| spoke(f, true, false)))
    }

    fn last_words(&self) -> Option<String> {
        let line = self.words.split(|&b| b == b'\n').rfind(|line| !line.is_empty())?;
        Some(legible(line))
    }
}

impl Failure {
    fn words(&self) -> String {
        let about = self.about.as_deref().map(|about| format!(" of {:?}", legible(about))).unwrap_or_default();
        let name = errno::name(self.errno).unwrap_or("unknown errno");
        let text = errno::text(self.errno).unwrap_or("unknown error");
        format!("{}{about} failed: {text} ({name})", self.call)
    }
}

/// Failures that are part of an ordinary life: nothing there yet, not a terminal, a file that may or may not be.
fn everyday(call: &str, errno: i32, about: Option<&[u8]>) -> bool {
    const EINTR: i32 = 4;
    const ENOENT: i32 = 2;
    const ECHILD: i32 = 10;
    const EAGAIN: i32 = 11;
    const EINVAL: i32 = 22;
    const ENOTTY: i32 = 25;
    const ESPIPE: i32 = 29;
    const ENOSYS: i32 = 38;
    const EINPROGRESS: i32 = 115;
    // 512 and above are the kernel's own: the call is made again.
    if matches!(errno, EINTR | EAGAIN | ENOTTY | ESPIPE | ENOSYS | EINPROGRESS | ECHILD | 512..) {
        return true;
    }
    let about = about.unwrap_or_default();
    let optional =
        [&b"/etc/ld.so.preload"[..], b"/locale/", b"/locale-archive", b"/glibc-hwcaps/", b"/gconv/", b"/nscd/"];
    errno == ENOENT && optional.iter().any(|part| holds(about, part)) || errno == EINVAL && call.starts_with("readlink")
}

/// The struct iovecs of a writev: pairs of words, of the caller's size.
fn vectors(call: &Call, memory: &Memory<'_>) -> Vec<(u64, u64)> {
    let narrow = matches!(call.arch, tipstaff_abi::Arch::I386 | tipstaff_abi::Arch::X32 | tipstaff_abi::Arch::Arm);
    let size = if narrow { 4 } else { 8 };
    let mut bytes = vec![0; (call.raw[2] as usize).min(8) * size * 2];
    let read = memory.read(Address(call.raw[1]), &mut bytes);
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
    bytes[..read].chunks_exact(size * 2).map(|pair| (word(&pair[..size]), word(&pair[size..]))).collect()
}

fn blame(info: &Value) -> String {
    let Value::Struct(fields) = info else { return String::new() };
    let field = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
    match (field("si_addr"), field("si_pid")) {
        (Some(Value::Address(address)), _) => format!(" at address {address:#x}"),
        (_, Some(Value::Int(pid))) => format!(" from process {pid}"),
        (_, Some(Value::Uint(pid))) => format!(" from process {pid}"),
        _ => String::new(),
    }
}

fn last_part(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.rsplit(|&b| b == b'/').next().unwrap_or(path)
}

fn holds(hay: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && hay.windows(needle.len()).any(|window| window == needle)
}

/// A guest's bytes for a line of ours: what a terminal would act upon is escaped.
fn legible(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
