//! The rows: what is measured, and how it is seen that the work was done. Each gives one figure; less is better.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::adapters::Kind;
use super::place::{Place, Side};
use crate::measure::median;
use crate::system;

/// One figure of one side.
type Figure = fn(&Place, &Side) -> anyhow::Result<f64>;

pub struct Row {
    /// How it is asked for.
    pub name: &'static str,
    pub what: &'static str,
    pub unit: &'static str,
    pub kinds: &'static [Kind],
    /// Figures of one round, of which the median counts.
    pub each: usize,
    pub figure: Figure,
    /// There is such a thing without anybody around it.
    pub has_bare: bool,
}

const BOXES: &[Kind] = &[Kind::Box];

pub const ROWS: &[Row] = &[
    Row {
        name: "launch",
        what: "launch of a no-op",
        unit: "µs",
        kinds: BOXES,
        each: 5,
        figure: launch,
        has_bare: true,
    },
    Row {
        name: "forks",
        what: "shell with 200 forks",
        unit: "ms",
        kinds: BOXES,
        each: 1,
        figure: forks,
        has_bare: true,
    },
    Row {
        name: "find",
        what: "find of a part of /usr",
        unit: "ms",
        kinds: BOXES,
        each: 1,
        figure: find,
        has_bare: true,
    },
    Row {
        name: "cc",
        what: "compile of a C program",
        unit: "ms",
        kinds: BOXES,
        each: 1,
        figure: compile,
        has_bare: true,
    },
    Row { name: "python", what: "start of python", unit: "ms", kinds: BOXES, each: 2, figure: python, has_bare: true },
    Row {
        name: "redis",
        what: "redis, a request of GET",
        unit: "µs",
        kinds: BOXES,
        each: 1,
        figure: redis,
        has_bare: true,
    },
    Row { name: "open", what: "open and close", unit: "ns", kinds: BOXES, each: 1, figure: opens, has_bare: true },
    Row {
        name: "memory",
        what: "memory of the supervisor (PSS)",
        unit: "KiB",
        kinds: BOXES,
        each: 1,
        figure: memory,
        has_bare: false,
    },
    Row {
        name: "sequence",
        what: "1,000 in sequence, each",
        unit: "µs",
        kinds: BOXES,
        each: 1,
        figure: sequence,
        has_bare: true,
    },
    Row {
        name: "together",
        what: "200 at once, until all have started",
        unit: "ms",
        kinds: BOXES,
        each: 1,
        figure: together,
        has_bare: true,
    },
    Row {
        name: "call",
        what: "a supervised call",
        unit: "ns",
        kinds: &[Kind::Tracer],
        each: 1,
        figure: call,
        has_bare: true,
    },
    Row {
        name: "trace",
        what: "trace of everything, 10,000 calls",
        unit: "ms",
        kinds: &[Kind::Tracer],
        each: 1,
        figure: trace,
        has_bare: true,
    },
    Row {
        name: "record",
        what: "recording of find /usr/share/doc",
        unit: "ms",
        kinds: &[Kind::Recorder],
        each: 1,
        figure: record,
        has_bare: true,
    },
];

/// Of the 1,000 boxes in sequence, those of one round; there are eight at least.
const IN_SEQUENCE: usize = 125;
const AT_ONCE: usize = 200;
/// A part of a system that is large enough for the walk to count, and small enough for those who look at each path.
const FIND: &str = "find /usr/include /usr/share/doc /usr/lib/python3 | wc -l";
const OPENS: &str = "20000";
const CALLS: &str = "5000";
const REQUESTS: &str = "10000";
const COPIES: &str = "count=5000";

/// Runs it to its end. Milliseconds, and what it said.
fn run(mut command: Command) -> anyhow::Result<(f64, String)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let begun = Instant::now();
    let output = command.output().with_context(|| format!("{:?}", command.get_program()))?;
    let ms = begun.elapsed().as_secs_f64() * 1e3;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or(&said));
    }
    Ok((ms, said))
}

/// The same; it must have said just this.
fn says(place: &Place, side: &Side, words: &[&str], wanted: &str) -> anyhow::Result<f64> {
    let (ms, said) = run(place.command(side, words)?)?;
    ensure!(said.trim() == wanted, "said {said:?} instead of {wanted:?}");
    Ok(ms)
}

/// What every side must be able to do before it is measured: run something, and tell that it failed.
pub fn works(place: &Place, side: &Side, kind: Kind) -> anyhow::Result<()> {
    says(place, side, &["/bin/echo", "a word"], "a word")?;
    // perf trace does not hand on how its program ended; what that says is looked at in any case.
    if kind == Kind::Box {
        let failed = place.command(side, &["/bin/sh", "-c", "exit 3"])?.stdin(Stdio::null()).output()?;
        ensure!(!failed.status.success(), "a program that fails is told as one that did not");
    }
    Ok(())
}

fn launch(place: &Place, side: &Side) -> anyhow::Result<f64> {
    Ok(says(place, side, &[&place.text("guest"), "noop"], "here")? * 1e3)
}

fn forks(place: &Place, side: &Side) -> anyhow::Result<f64> {
    let script = "i=0; while [ $i -lt 200 ]; do /bin/true || exit 1; i=$((i+1)); done; echo $i";
    says(place, side, &["/bin/sh", "-c", script], "200")
}

fn find(place: &Place, side: &Side) -> anyhow::Result<f64> {
    let count = ["/bin/sh", "-c", FIND];
    let (ms, said) = run(place.command(side, &count)?)?;
    // What is there is asked for once.
    static THERE: OnceLock<f64> = OnceLock::new();
    let there = match THERE.get() {
        Some(there) => *there,
        None => {
            let there = run(place.command(&Side::bare(), &count)?)?.1.trim().parse()?;
            *THERE.get_or_init(|| there)
        }
    };
    let seen: f64 = said.trim().parse()?;
    ensure!(seen > 1000.0 && (seen / there - 1.0).abs() < 0.01, "found {seen} names of {there}");
    Ok(ms)
}

fn compile(place: &Place, side: &Side) -> anyhow::Result<f64> {
    let out = place.path("compiled");
    let _ = fs::remove_file(&out);
    // Its temporary files lie where everybody's lie: the boxes have a /tmp in memory.
    let (dir, out) = (place.text(""), out.display());
    let script = format!("TMPDIR={dir} gcc -O2 -o {out} {dir}guest.c && {out} noop");
    says(place, side, &["/bin/sh", "-c", &script], "here")
}

fn python(place: &Place, side: &Side) -> anyhow::Result<f64> {
    says(place, side, &["/usr/bin/python3", "-c", "import json; print(json.dumps(sum(range(1000))))"], "499500")
}

fn nanoseconds(said: &str) -> anyhow::Result<f64> {
    said.trim().parse().with_context(|| format!("said {said:?} instead of a figure"))
}

fn opens(place: &Place, side: &Side) -> anyhow::Result<f64> {
    nanoseconds(&run(place.command(side, &[&place.text("guest"), "opens", OPENS])?)?.1)
}

/// A guest that stays until it is let go.
struct Staying {
    child: Child,
    gate: Option<ChildStdin>,
}

impl Staying {
    fn start(place: &Place, side: &Side) -> anyhow::Result<Self> {
        let mut command = place.command(side, &[&place.text("guest"), "gate"])?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let gate = child.stdin.take();
        Ok(Self { child, gate })
    }

    fn is_there(&mut self) -> anyhow::Result<()> {
        let mut line = String::new();
        BufReader::new(self.child.stdout.as_mut().context("a pipe")?).read_line(&mut line)?;
        if line.trim() != "here" {
            // What ended it says why.
            drop(self.gate.take());
            let mut words = String::new();
            self.child.stderr.take().context("a pipe")?.read_to_string(&mut words)?;
            bail!(
                "a guest said {line:?} instead of being there, and ended with {}: {}",
                self.child.wait()?,
                words.trim()
            );
        }
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<()> {
        drop(self.gate.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "a guest that was let go ended with {status}");
        Ok(())
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        drop(self.gate.take());
        let _ = self.child.wait();
    }
}

/// Everybody who stays for the life of the guest, but for the guest.
fn memory(place: &Place, side: &Side) -> anyhow::Result<f64> {
    let mut guest = Staying::start(place, side)?;
    guest.is_there()?;
    std::thread::sleep(Duration::from_millis(100));
    let (mut sum, mut guests, mut counted) = (0.0, 0, Vec::<u32>::new());
    for pid in descendants(guest.child.id()) {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if name.trim() == "guest" {
            guests += 1;
            continue;
        }
        // PSS shares a page between address spaces, and two processes with one memory (CLONE_VM) are one of those.
        let same = |other: &u32| tipstaff_sys::kcmp::same_memory(pid.cast_signed(), other.cast_signed()) == Ok(true);
        if counted.iter().any(same) {
            continue;
        }
        counted.push(pid);
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .with_context(|| format!("the memory of {}", name.trim()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0");
        sum += line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0);
    }
    ensure!(guests == 1, "{guests} guests were found");
    guest.end()?;
    Ok(sum)
}

/// A process and all below it.
fn descendants(top: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(parent) = system::status(pid, "PPid") {
            parents.push((pid, parent as u32));
        }
    }
    let mut all = vec![top];
    let mut at = 0;
    while at < all.len() {
        let above = all[at];
        all.extend(parents.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| *pid));
        at += 1;
    }
    all
}

fn sequence(place: &Place, side: &Side) -> anyhow::Result<f64> {
    let begun = Instant::now();
    for _ in 0..IN_SEQUENCE {
        launch(place, side)?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / IN_SEQUENCE as f64)
}

fn together(place: &Place, side: &Side) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut all = (0..AT_ONCE).map(|_| Staying::start(place, side)).collect::<anyhow::Result<Vec<_>>>()?;
    for guest in &mut all {
        guest.is_there()?;
    }
    let ms = begun.elapsed().as_secs_f64() * 1e3;
    for guest in &mut all {
        drop(guest.gate.take());
    }
    all.into_iter().try_for_each(Staying::end)?;
    Ok(ms)
}

fn redis(place: &Place, side: &Side) -> anyhow::Result<f64> {
    let missing = "redis is not installed (apt-get install redis-server redis-tools)";
    let (server, client) =
        (system::find("redis-server").context(missing)?, system::find("redis-benchmark").context(missing)?);
    let path = place.path(&format!("redis-{}", place.number()));
    let (socket, dir) = (path.display().to_string(), place.text(""));
    let server = server.display().to_string();
    let words = [
        &server,
        "--port",
        "0",
        "--unixsocket",
        &socket,
        "--unixsocketperm",
        "777",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        &dir,
    ];
    let mut command = place.command(side, &words)?;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let asked = ask(&client, &path, &mut child);
    if let Ok(mut door) = UnixStream::connect(&path) {
        let _ = door.write_all(b"SHUTDOWN NOSAVE\r\n");
        let _ = door.read_to_end(&mut Vec::new());
    } else {
        let _ = child.kill();
    }
    let status = child.wait()?;
    let rate = asked?;
    ensure!(status.success(), "the server ended with {status}");
    Ok(1e6 / rate)
}

/// Requests per second.
fn ask(client: &Path, socket: &Path, server: &mut Child) -> anyhow::Result<f64> {
    let until = Instant::now() + Duration::from_secs(20);
    while UnixStream::connect(socket).is_err() {
        ensure!(server.try_wait()?.is_none() && Instant::now() < until, "redis-server does not listen");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut command = Command::new(client);
    command.arg("-s").arg(socket).args(["-t", "get", "-n", REQUESTS, "-c", "20", "--csv"]);
    let (_, said) = run(command)?;
    let line = said.lines().last().context("redis-benchmark said nothing")?;
    let rate = line.split(',').nth(1).context("no rate")?.trim_matches('"').parse::<f64>()?;
    Ok(rate)
}

/// What a tracer wrote has at least so many lines with this word; bare writes nothing.
fn told(place: &Place, side: &Side, word: &str, least: usize) -> anyhow::Result<()> {
    if side.is_bare() {
        return Ok(());
    }
    let text = fs::read_to_string(place.traced()).context("it wrote nothing")?;
    let lines = text.lines().filter(|line| line.contains(word)).count();
    ensure!(lines >= least, "{lines} lines of {word} instead of {least}");
    Ok(())
}

fn call(place: &Place, side: &Side) -> anyhow::Result<f64> {
    let _ = fs::remove_file(place.traced());
    let (_, said) = run(place.command_only(side, "getppid", &[&place.text("guest"), "calls", CALLS])?)?;
    told(place, side, "getppid", CALLS.parse()?)?;
    nanoseconds(&said)
}

fn trace(place: &Place, side: &Side) -> anyhow::Result<f64> {
    let _ = fs::remove_file(place.traced());
    let ms = says(place, side, &["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=1", COPIES, "status=none"], "")?;
    told(place, side, "read(", 5000)?;
    told(place, side, "write(", 5000)?;
    Ok(ms)
}

fn record(place: &Place, side: &Side) -> anyhow::Result<f64> {
    let _ = fs::remove_file(place.traced());
    let ms = says(place, side, &["/usr/bin/find", "/usr/share/doc", "-name", "no-such-name"], "")?;
    told(place, side, "getdents64", 1)?;
    Ok(ms)
}

/// The median of a round.
pub fn round(row: &Row, place: &Place, side: &Side) -> anyhow::Result<f64> {
    let mut figures = (0..row.each).map(|_| (row.figure)(place, side)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(median(&mut figures))
}
