//! The same programs under strace and under `tipstaff trace`: the same calls of each thread, with the same results.
//!
//! Threads are matched by who made them: the second child of the first process is the same thread in both traces, whatever its id.
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tipstaff_testkit::{Scratch, User, guest, guest_32, skip, tipstaff};

/// What may differ between any two runs of a program, whoever traces, and why.
const CHANCE: &[(&str, &str)] = &[
    ("futex", "whether a thread must wait depends on who comes first"),
    ("rt_sigreturn", "two children that end at once may send one SIGCHLD or two"),
    ("wait4", "a child that has ended already is waited for with another call than one that has not"),
    ("restart_syscall", "only what blocked long enough is restarted"),
    ("sched_yield", "depends on who comes first"),
    ("madvise", "a thread that ends while another begins has its stack used again"),
];

/// The same for one program: its first word's end, the call, and why.
const CHANCE_OF: &[(&str, &str, &str)] = &[(
    "/threadexec",
    "rt_sigprocmask",
    "the leader may not be out of pthread_create when the thread executes a program",
)];

/// Calls whose successful result is no two times the same, and why.
const NUMBERS: &[(&[&str], &str)] = &[
    (&["brk", "mmap", "mmap2", "mremap", "shmat"], "an address"),
    (
        &[
            "clone",
            "clone3",
            "fork",
            "vfork",
            "getpid",
            "gettid",
            "getppid",
            "set_tid_address",
            "getpgrp",
            "getpgid",
            "getsid",
            "setsid",
        ],
        "an id",
    ),
    (&["time"], "the time"),
];

/// The calls that make a thread, whose id is their result.
const MAKERS: [&str; 4] = ["clone", "clone3", "fork", "vfork"];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    name: String,
    /// An errno's name, a number, or `?` for a call that never returned.
    result: String,
}

/// The calls of each thread by its place in the tree: "" for the first, "0/1" for the second child of its first child.
type Threads = HashMap<String, Vec<Seen>>;

/// Err: a thread that nobody is said to have made.
fn tree(mut calls: Vec<(i64, Seen)>, first: i64) -> Result<Threads, String> {
    let mut threads = Threads::new();
    let mut places = HashMap::from([(first, String::new())]);
    let mut made: HashMap<String, usize> = HashMap::new();
    // A child's calls may come before its maker's return. So makers first, as often as a new place is found.
    let mut pending = calls.iter().filter(|(_, seen)| MAKERS.contains(&seen.name.as_str())).collect::<Vec<_>>();
    while !pending.is_empty() {
        let before = pending.len();
        pending.retain(|(tid, seen)| {
            let Some(place) = places.get(tid).cloned() else { return true };
            if let Some(child) = seen.result.parse().ok().filter(|&child: &i64| child > 0) {
                let nth = made.entry(place.clone()).or_default();
                places.insert(child, format!("{place}/{nth}"));
                *nth += 1;
            }
            false
        });
        if pending.len() == before {
            return Err(format!("threads that nobody made: {pending:?}"));
        }
    }
    for (tid, seen) in calls.drain(..) {
        let place = places.get(&tid).ok_or_else(|| format!("nobody made {tid}, which calls {seen:?}"))?;
        threads.entry(place.clone()).or_default().push(seen);
    }
    Ok(threads)
}

/// strace's lines: `TID name(…) = result`, or in two pieces.
fn of_strace(text: &str) -> Result<Threads, String> {
    let mut calls: Vec<(i64, Seen)> = Vec::new();
    let mut open: HashMap<i64, usize> = HashMap::new();
    let mut first = None;
    for line in text.lines() {
        let (tid, rest) = line.split_once(' ').expect("a thread id");
        let tid: i64 = tid.parse().expect("a thread id");
        let rest = rest.trim_start();
        first.get_or_insert(tid);
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let name = resumed.split_once(' ').expect("a name").0;
            let of_name = |index: &usize, calls: &[(i64, Seen)]| calls[*index].1.name == name;
            let index = match open.get(&tid).copied().filter(|index| of_name(index, &calls)) {
                Some(index) => index,
                // A thread executed a program, and has its leader's id now.
                None => *open.values().find(|index| of_name(index, &calls)).expect("the begun call"),
            };
            open.retain(|_, begun| *begun != index);
            let mut seen = calls[index].1.clone();
            seen.result = result(resumed);
            if calls[index].0 == tid {
                calls[index].1 = seen;
            } else {
                calls[index].0 = -1;
                calls.push((tid, seen));
            }
            continue;
        }
        let name = rest.split_once('(').expect("a call").0.to_owned();
        if rest.ends_with("<unfinished ...>") {
            open.insert(tid, calls.len());
            calls.push((tid, Seen { name, result: "?".into() }));
        } else {
            calls.push((tid, Seen { name, result: result(rest) }));
        }
    }
    calls.retain(|(tid, _)| *tid != -1);
    tree(calls, first.expect("a call"))
}

fn result(line: &str) -> String {
    let words = line.rsplit_once(" = ").expect("a result").1;
    let mut words = words.split(' ');
    match (words.next(), words.next()) {
        (Some("-1" | "?"), Some(errno)) if errno.starts_with('E') => errno.to_owned(),
        (Some(hex), _) if hex.starts_with("0x") => {
            u64::from_str_radix(&hex[2..], 16).map_or_else(|_| hex.to_owned(), |number| number.to_string())
        }
        (Some(number), _) => number.to_owned(),
        (None, _) => "?".to_owned(),
    }
}

fn of_tipstaff(text: &str) -> Threads {
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut events: Vec<_> = events.into_iter().filter(|event| event["event"] == "call").collect();
    events.sort_by_key(|event| event["at_ns"].as_u64());
    let calls = events.iter().map(|event| {
        let returned = &event["returned"];
        let result = match (returned["errno"].as_str(), returned["value"].as_i64()) {
            (Some(errno), _) => errno.to_owned(),
            (None, Some(value)) => value.to_string(),
            (None, None) => "?".to_owned(),
        };
        let name = event["name"].as_str().expect("a name").to_owned();
        (event["tid"].as_i64().expect("a thread"), Seen { name, result })
    });
    let calls: Vec<_> = calls.collect();
    let first = calls.first().expect("a call").0;
    tree(calls, first).unwrap_or_else(|e| panic!("{e}"))
}

/// Without what may differ by chance, and with results that cannot be the same made so.
fn comparable(program: &str, threads: Threads) -> Vec<(String, Vec<Seen>)> {
    let mut all: Vec<_> = threads.into_iter().collect();
    for (_, calls) in &mut all {
        calls.retain(|seen| !CHANCE.iter().any(|(name, _)| *name == seen.name));
        calls.retain(|seen| !CHANCE_OF.iter().any(|(of, name, _)| program.ends_with(of) && *name == seen.name));
        // A signal came at this moment: the call is made again.
        calls.retain(|seen| !seen.result.starts_with("ERESTART"));
        for seen in calls {
            let changes = NUMBERS.iter().any(|(names, _)| names.contains(&seen.name.as_str()));
            if changes && !seen.result.starts_with('E') && seen.result != "?" && seen.result != "0" {
                seen.result = "some".to_owned();
            }
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn programs() -> Vec<Vec<String>> {
    let guest = |name: &str| guest(name).display().to_string();
    let mut all: Vec<Vec<String>> = [
        &["/bin/true"][..],
        &["/bin/echo", "hello"],
        &["/bin/cat", "/etc/passwd"],
        &["/bin/cat", "/nowhere"],
        &["/bin/ls", "-l", "/usr"],
        &["/usr/bin/sort", "/etc/passwd"],
        &["/usr/bin/head", "-1", "/etc/passwd"],
        &["/usr/bin/wc", "/etc/passwd"],
        &["/bin/grep", "root", "/etc/passwd"],
        &["/usr/bin/env", "true"],
        &["/usr/bin/find", "/etc/default"],
        &["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=50", "status=none"],
        &["/bin/sh", "-c", "exit 3"],
        &["/bin/sh", "-c", "/bin/true; /bin/false"],
        &["/bin/sh", "-c", "echo a | cat | cat"],
        &["/bin/sh", "-c", "kill -TERM $$"],
    ]
    .iter()
    .map(|words| words.iter().map(|&word| word.to_owned()).collect())
    .collect();
    all.push(vec![guest("lifecycle"), "fork".into()]);
    all.push(vec![guest("lifecycle"), "vfork".into()]);
    all.push(vec![guest("lifecycle"), "thread".into()]);
    all.push(vec![guest("callcount"), "4".into(), "50".into()]);
    all.push(vec![guest("threadexec"), "/bin/true".into()]);
    all.extend(guest_32("i386").map(|path| vec![path.display().to_string()]));
    all
}

fn run(tracer: &mut Command, program: &[String], out: &Path) -> (Option<i32>, String) {
    // Both get the same environment, and output goes nowhere: how much is written at once depends on what it is.
    let null = || std::process::Stdio::null();
    tracer.args(program).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    let status = tracer.stdin(null()).stdout(null()).stderr(null()).status().expect("the tracer");
    (status.code(), std::fs::read_to_string(out).unwrap_or_else(|e| panic!("{program:?}: {e}")))
}

#[test]
fn the_same_calls_and_results() {
    if !Command::new("strace").arg("-V").output().is_ok_and(|out| out.status.success()) {
        skip!("strace is not installed (apt-get install strace)");
    }
    let scratch = Scratch::new(if User::Root.available() { User::Root } else { User::Ordinary });
    let programs = programs();
    assert!(programs.len() >= 20);
    let mut wrong = Vec::new();
    for program in &programs {
        let (theirs, ours) = (scratch.join("strace"), scratch.join("json"));
        let mut strace = Command::new("strace");
        strace.args(["-f", "-e", "trace=all", "-X", "raw", "-s", "0", "-o"]).arg(&theirs).arg("--");
        let mut tipstaff = Command::new(tipstaff());
        tipstaff.args(["trace", "--json"]).arg(&ours).arg("--");
        // A maker that an exec or an end of its process kills before strace has told what its clone returned leaves a child that nobody made.
        let (their_status, theirs) = (0..10)
            .find_map(|_| {
                let (status, text) = run(&mut strace, program, &theirs);
                Some((status, of_strace(&text).ok()?))
            })
            .unwrap_or_else(|| panic!("{program:?}: strace never tells who made whom"));
        let (our_status, ours) = run(&mut tipstaff, program, &ours);
        let theirs = comparable(&program[0], theirs);
        let ours = comparable(&program[0], of_tipstaff(&ours));
        // strace ends by the signal that ended the program; we say 128 + N.
        let same_status = their_status.is_none() || their_status == our_status;
        if theirs == ours && same_status {
            continue;
        }
        wrong.push(format!("{program:?}: {their_status:?} and {our_status:?}"));
        for ((place, theirs), (_, ours)) in theirs.iter().zip(&ours) {
            if let Some(at) = (0..theirs.len().max(ours.len())).find(|&at| theirs.get(at) != ours.get(at)) {
                wrong.push(format!("  thread {place:?} call {at}: {:?} and {:?}", theirs.get(at), ours.get(at)));
            }
        }
        if theirs.len() != ours.len() {
            wrong.push(format!("  {} threads and {}", theirs.len(), ours.len()));
        }
    }
    assert!(wrong.is_empty(), "strace and tipstaff differ:\n{}", wrong.join("\n"));
}
