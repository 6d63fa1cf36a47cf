//! Every system call of the supervisor fails once: it is never an allow, a hang, or a wrong
//! verdict.
//!
//! `inject` makes the N-th call of the command's own thread fail with an errno and lets it go. N
//! runs over the whole run, in steps that bound the time (`TIPSTAFF_DRILL=full`: every N).
use std::fs;
use std::time::Duration;

use tipstaff_testkit::{Ran, Run, Scratch, User, await_no_survivor, marker, run, skip};

use crate::both;

const EINTR: (i32, &str) = (4, "EINTR");
const EMFILE: (i32, &str) = (24, "EMFILE");
const ENOMEM: (i32, &str) = (12, "ENOMEM");
const ESRCH: (i32, &str) = (3, "ESRCH");

/// What takes longer hangs: nothing in these programs does, beside whatever load.
const HANGS: Duration = Duration::from_secs(60);

/// Points of one drill: four errnos, two programs, two users.
const POINTS: u64 = 60;

/// A program, what its end looks like when nothing failed, and what must never be seen.
struct Drill {
    program: fn(&str) -> Run,
    right: fn(&Ran) -> bool,
    forbidden: fn(&Ran) -> Option<&'static str>,
}

/// A denied operation: the secret of the machine stays a secret.
const DENIED: Drill = Drill {
    program: |mark| {
        run(["/bin/sh", "-c", "cat @WORK/secret 2>/dev/null; exit $(( $? ? 9 : 0 ))", mark])
            .work_file("secret", "THE-SECRET")
            .profile("judge")
    },
    right: |ran| ran.code() == 9 && ran.verdict() == "nonzero_exit",
    forbidden: |ran| ran.out().contains("THE-SECRET").then_some("a denied file was read"),
};

/// A limit that is crossed: the program never ends well.
const LIMITED: Drill = Drill {
    program: |mark| run(["spin", mark]).profile("judge").cpu("60ms").wall("5s").memory("64MiB").output("1MiB"),
    // By the supervisor, whose second kill comes a second after the first: RLIMIT_CPU, which stands behind both, comes later.
    right: |ran| {
        let used = ran.report["cpu_ns"]["total"].as_u64();
        ran.code() == 124 && ran.verdict() == "time_limit" && used.is_some_and(|used| used < 1_400_000_000)
    },
    forbidden: |ran| (ran.verdict() == "ok" || ran.code() == 0).then_some("a crossed limit is ok"),
};

fn drill(drill: &Drill, (errno, name): (i32, &str), user: User) {
    if !cfg!(target_arch = "x86_64") {
        skip!("inject knows x86_64 only");
    }
    let scratch = Scratch::new(user);
    let record = scratch.join("record");
    let calls = {
        let ran = (drill.program)(&marker()).as_user(user).inject(0, errno, &record).go();
        ran.check((drill.right)(&ran), "the drill's program without a failure");
        read(&record)[0]
    };
    assert!(calls > 20, "positive control: {calls} calls were seen");
    let step = if crate::full_drill() { 1 } else { (calls / POINTS).max(1) };
    let mut failures = Vec::new();
    let mut injected = 0;
    // Each errno starts elsewhere, so that together they meet more calls.
    let mut n = 1 + errno as u64 % step;
    while n <= calls {
        let mark = marker();
        let started = (drill.program)(&mark).as_user(user).inject(n, errno, &record).patience(HANGS).start();
        let hangs = !started.ends(HANGS);
        let met = read(&record);
        let mut bad = |what: String| failures.push(format!("{name} at call {n} ({met:?}): {what}"));
        if hangs {
            bad("a hang".to_owned());
        } else {
            // Whoever survives is told first, and ended, so that nobody holds the output open
            // below.
            let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
            if !left.is_empty() {
                bad(format!("survivors {left:?}"));
            }
            let ran = started.finish_anyhow();
            if !ran.closed {
                bad("something holds the output open".to_owned());
            }
            // brk(2) never returns an errno: it answers where the break is, and C libraries rely on that.
            const BRK: u64 = 12;
            if met.get(1) == Some(&BRK) {
                n += step;
                continue;
            }
            injected += u32::from(met.len() > 1);
            if let Some(what) = wrong(drill, &ran) {
                bad(format!("{what}\n{ran}"));
            }
        }
        // After a hang: the command itself, which the dropped run has killed, and what it left.
        await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
        n += step;
    }
    println!("figure errors injected {injected}");
    assert!(injected > 10, "positive control: only {injected} calls failed");
    assert!(
        failures.is_empty(),
        "{} of {injected} failures were taken badly:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

/// What is wrong with the end of a run, one of whose calls failed.
fn wrong(drill: &Drill, ran: &Ran) -> Option<&'static str> {
    if let Some(what) = (drill.forbidden)(ran) {
        return Some(what);
    }
    if (drill.right)(ran) {
        return None;
    }
    match ran.code() {
        125 if ran.stderr.is_empty() && ran.report["error"].is_null() => Some("125 without a word"),
        125 if ran.err().contains("panicked") => Some("a panic"),
        125 => None,
        _ => Some("neither the right end nor an error"),
    }
}

/// The numbers of the record: calls seen, number of the call, its arguments (read as hexadecimal).
fn read(record: &std::path::Path) -> Vec<u64> {
    let text = fs::read_to_string(record).unwrap_or_default();
    let mut words = text.split_ascii_whitespace();
    let mut numbers: Vec<u64> = words.by_ref().take(2).filter_map(|word| word.parse().ok()).collect();
    numbers.extend(words.filter_map(|word| u64::from_str_radix(word, 16).ok()));
    if numbers.is_empty() { vec![0] } else { numbers }
}

both!(denied_eintr, |user| drill(&DENIED, EINTR, user));
both!(denied_emfile, |user| drill(&DENIED, EMFILE, user));
both!(denied_enomem, |user| drill(&DENIED, ENOMEM, user));
both!(denied_esrch, |user| drill(&DENIED, ESRCH, user));
both!(limited_eintr, |user| drill(&LIMITED, EINTR, user));
both!(limited_emfile, |user| drill(&LIMITED, EMFILE, user));
both!(limited_enomem, |user| drill(&LIMITED, ENOMEM, user));
both!(limited_esrch, |user| drill(&LIMITED, ESRCH, user));
