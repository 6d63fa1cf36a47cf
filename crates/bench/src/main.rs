//! What a box costs, beside the floor that nobody gets below, measured in the same run; and the long drills.
//!
//! ```text
//! tipstaff-bench [table]         the table (TIPSTAFF_BIN: the command, else the one beside this binary)
//! tipstaff-bench phases          where the time of a start goes
//! tipstaff-bench loop floor|light|floor-full|floor-whole|full [N=2000]   one side of a row alone, for a profiler
//! tipstaff-bench leak [N=2000]   N runs in one process leave nothing
//! tipstaff-bench kill [N=1000]   SIGKILL of the supervisor at N random points leaves nothing
//! tipstaff-bench network         calls and a server under network rules by address
//! tipstaff-bench ptrace          debuggers and strace inside a box
//! tipstaff-bench ptrace proof [N=10000] [FROM=0]   every row and N random programs, outside and inside, tools and attacks: 0 differences
//! tipstaff-bench ptrace seeds N FROM [ENGINE]      random programs alone
//! tipstaff-bench trace           the table of tracing
//! tipstaff-bench record [WORD]   the table of recording, or its programs with that word
//! tipstaff-bench quality [NAME…]  how good the profiles of real programs are
//! tipstaff-bench record quality  both
//! tipstaff-bench notify        the table of notifications
//! tipstaff-bench notify storm [N=1000000]      N calls of 64 processes, and another box beside them
//! tipstaff-bench notify eintr [N=20000]        what N calls of each kind are told under a timer signal
//! tipstaff-bench notify pipelines [N=100000]   pipelines under dash, none hangs
//! tipstaff-bench notify race [N=1000000 [CALL]]  paths that change N times while they are decided about
//! tipstaff-bench notify kill [N=1000]          SIGKILL of a supervisor with handlers at N random points leaves nothing
//! tipstaff-bench notify leak [N=10000]         N boxes with handlers in sequence, N/10 eight at a time, leave nothing
//! tipstaff-bench trace exec [N=20000]        execs from threads, amid signals, none stuck
//! tipstaff-bench trace pipelines [N=100000]  pipelines under dash, none hangs
//! tipstaff-bench trace kill [N=500]          SIGKILL of the tracer at N random points leaves no tracee, and harms no other
//! tipstaff-bench trace threads [N=1000000]   64 threads with N calls each, none lost
//! tipstaff-bench peers [ROW…] [--peer NAME=PATH…] [--json]   beside bubblewrap, firejail, nsjail, isolate, proot, crun, runc, strace, perf trace
//! tipstaff-bench drill [NAME…] [--short | --full]   the ten drills: kill leak storm eintr race bombs calls faults exec truth; exit status 1 where a figure is not reached
//! ```
//!
//! Floor and ours take turns, round by round; a figure is the median of the rounds' medians. `TIPSTAFF_BENCH_ROUNDS` and
//! `TIPSTAFF_BENCH_ITERATIONS` change how many.

mod bare;
mod command;
mod drill;
mod filter;
mod guest_ptrace;
mod guests;
mod kill;
mod latency;
mod leak;
mod library;
mod measure;
mod network;
mod notify;
mod peers;
mod phases;
mod quality;
mod raw;
mod record;
mod system;
mod trace;

use std::process::ExitCode;

use anyhow::{Context, bail};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("tipstaff-bench: {e:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything was as it must be; a goal that is missed is a figure, not a failure.
fn run() -> anyhow::Result<bool> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let count = |text: &str| text.parse::<usize>().with_context(|| format!("{text:?} is no number"));
    let number = |text: &str| text.parse::<u32>().with_context(|| format!("{text:?} is no number"));
    match words[..] {
        [] | ["table"] => table().map(|()| true),
        ["phases"] => phases::print().map(|()| true),
        ["loop", which] => library::repeat(which, 2000).map(|()| true),
        ["loop", which, n] => library::repeat(which, count(n)?).map(|()| true),
        ["leak"] => drill::alone(|sheet| leak::drill(2000, sheet)),
        ["leak", n] => drill::alone(|sheet| leak::drill(count(n)?, sheet)),
        ["kill"] => drill::alone(|sheet| kill::drill(1000, sheet)),
        ["kill", n] => drill::alone(|sheet| kill::drill(count(n)?, sheet)),
        ["network"] => network::table(measure::Effort::from_env()).map(|()| true),
        ["ptrace"] => guest_ptrace::table().map(|()| true),
        ["ptrace", "proof"] => guest_ptrace::proof::run(0, 10_000),
        ["ptrace", "proof", n] => guest_ptrace::proof::run(0, number(n)?),
        ["ptrace", "proof", n, from] => guest_ptrace::proof::run(number(from)?, number(n)?),
        ["ptrace", "seeds", n, from] => guest_ptrace::proof::seeds(number(from)?, number(n)?, None),
        ["ptrace", "seeds", n, from, engine] => guest_ptrace::proof::seeds(number(from)?, number(n)?, Some(engine)),
        ["trace"] => trace::table().map(|()| true),
        ["record"] => record::table(None).map(|()| true),
        ["record", "quality"] => {
            record::table(None)?;
            println!();
            quality::table(&[])
        }
        ["record", only] => record::table(Some(only)).map(|()| true),
        ["quality", ref names @ ..] => quality::table(names),
        ["notify"] => notify::run("table", None),
        ["notify", name] => notify::run(name, None),
        ["notify", "race", n, call] => notify::race(count(n)?, call),
        ["notify", name, n] => notify::run(name, Some(count(n)?)),
        ["trace", name] => trace::drill::run(name, None),
        ["trace", name, n] => trace::drill::run(name, Some(count(n)?)),
        ["peers", ref words @ ..] => peers::run(words),
        ["drill", ref words @ ..] => drill::run(words),
        // One side of a row, the supervisor of a drill.
        [notify::HELPER, how, dir] => notify::helper(how, dir),
        [notify::TREE, dir, mark] => notify::tree(dir, mark),
        // The children of rows.
        [network::HELPER, call, port] => network::helper(call, port).map(|()| true),
        [filter::HELPER, which] => filter::helper(which).map(|()| true),
        _ => bail!(
            "usage: tipstaff-bench [table | phases | loop floor|light|floor-full|floor-whole|full [N] | leak [N] | kill [N] | network | ptrace [proof [N [FROM]] | seeds N FROM [ENGINE]] | trace [exec|pipelines|kill|threads [N]] | quality [NAME...] | record [WORD | quality] | \
             peers [ROW...] [--peer NAME=PATH...] [--json] | drill [NAME...] [--short | --full] | \
             notify [storm|eintr|pipelines|race|kill|leak [N]] | notify race N CALL]"
        ),
    }
}

fn table() -> anyhow::Result<()> {
    println!("{}", system::line());
    let effort = measure::Effort::from_env();
    println!("median of {} rounds of {} runs each, floor and ours in turn", effort.rounds, effort.iterations);
    println!();
    measure::head();
    let guests = guests::Guests::build()?;
    library::rows(&guests, effort)?;
    command::rows(effort)?;
    filter::row(effort)?;
    println!();
    command::resident()?;
    latency::kill(effort)?;
    latency::cpu(&guests)
}
