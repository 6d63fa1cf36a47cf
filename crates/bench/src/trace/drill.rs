//! The long drills of tracing.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tipstaff_trace::{Config, End, Launch, Observer, Resume, Stop, Task, Tracer};

use super::programs::Programs;
use crate::drill::{Sheet, alone};
use crate::kill::{Random, marked};
use crate::system;

/// Longer between two execs is stuck.
const STUCK: Duration = Duration::from_secs(1);
const MARK: &str = "TIPSTAFF_BENCH_MARK";

/// `tipstaff-bench trace NAME [N]`.
pub fn run(name: &str, n: Option<usize>) -> anyhow::Result<bool> {
    println!("{}", system::line());
    alone(|sheet| match name {
        "exec" => exec(n.unwrap_or(20_000), sheet),
        "pipelines" => pipelines(n.unwrap_or(100_000), sheet),
        "kill" => kill(n.unwrap_or(500), sheet),
        "threads" => threads(n.unwrap_or(1_000_000), sheet),
        _ => bail!("no {name:?}; there are exec, pipelines, kill, threads"),
    })
}

struct Execs {
    last: Instant,
    seen: usize,
    longest: Duration,
    /// The first process, known from its first stop on.
    process: Option<i32>,
    end: Option<End>,
}

impl Observer for Execs {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        self.process.get_or_insert(task.process());
        if let Stop::Executed(_) = stop {
            self.longest = self.longest.max(self.last.elapsed());
            self.last = Instant::now();
            self.seen += 1;
        }
        Resume::AsBefore
    }

    fn on_end(&mut self, task: &Task, end: End) {
        // Each exec replaces the leader; the last end of that id is the process's.
        if self.process == Some(task.tid()) {
            self.end = Some(end);
        }
    }
}

/// `n` execs from a thread that is not the leader, amid SIGKILL, SIGSTOP, SIGCONT and vfork: none stuck, and the exact status.
pub fn exec(n: usize, sheet: &mut Sheet) -> anyhow::Result<()> {
    let programs = Programs::build()?;
    let mut execs = Execs { last: Instant::now(), seen: 0, longest: Duration::ZERO, process: None, end: None };
    let mut tracer = Tracer::new(Config::default());
    tracer.launch(&Launch::new(programs.path("execstorm")).arg(n.to_string()), &mut execs)?;
    tracer.run(&mut execs)?;
    let Execs { seen, longest, end, .. } = execs;
    sheet.all("execs from a thread that is not the leader, traced", seen.min(n), n);
    sheet.within("  the longest wait for one", longest, STUCK);
    let status = match end {
        Some(End::Exited(code)) => code.to_string(),
        other => format!("{other:?}"),
    };
    sheet.figure("  exit status", 42, &status, status == "42");
    Ok(())
}

/// `n` pipelines of three under dash: all end, and no call is told EINTR.
pub fn pipelines(n: usize, sheet: &mut Sheet) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("trace");
    let script = format!("i=0; while [ $i -lt {n} ]; do echo a | cat | cat || exit 1; i=$((i+1)); done");
    let mut command = Command::new(system::tipstaff()?);
    command.args(["trace", "-q", "-e", "status=failed", "-e", "signal=none", "-o"]).arg(&out);
    command.args(["--", "/bin/dash", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
    let begun = Instant::now();
    let output = command.output()?;
    let text = fs::read_to_string(&out)?;
    let interrupted = text.lines().filter(|line| line.contains(" EINTR")).count();
    let lines = output.stdout.iter().filter(|&&byte| byte == b'\n').count();
    println!("{lines} pipelines of {n} in {:.1?}, {}, {interrupted} calls with EINTR", begun.elapsed(), output.status);
    sheet.all("pipelines under dash, traced", if output.status.success() { lines } else { 0 }, n);
    sheet.none("  calls that were told EINTR", interrupted);
    Ok(())
}

/// SIGKILL of the tracer at `n` random moments: what it started is gone, what it was attached to goes on.
pub fn kill(n: usize, sheet: &mut Sheet) -> anyhow::Result<()> {
    let seed = std::time::UNIX_EPOCH.elapsed()?.as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    let (mut left, mut harmed, mut attached) = (0, 0, 0);
    let mut target = busy(&mut Command::new("/bin/sh"))?;
    for point in 0..n {
        let mark = format!("{seed}-{point}");
        let mut tracer = Command::new(system::tipstaff()?);
        tracer.args(["trace", "-o", "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let attach = point % 2 == 1;
        if attach {
            tracer.args(["-p", &target.id().to_string()]);
        } else {
            let tree = "(while :; do /bin/true; done) & (setsid sleep 1000 &); while :; do /bin/true; done";
            tracer.env(MARK, &mark).args(["--", "/bin/sh", "-c", tree]);
        }
        let mut tracer = tracer.spawn()?;
        std::thread::sleep(Duration::from_micros(random.below(40_000)));
        attached += usize::from(attach && system::status(target.id(), "TracerPid") == Some(tracer.id().into()));
        tracer.kill()?;
        tracer.wait()?;
        let killed = Instant::now();
        if attach {
            harmed += usize::from(!goes_on(&mut target)?);
        } else {
            // EXITKILL is issued before the tracer can be reaped; a task needs a moment to die.
            while !marked(&mark).is_empty() && killed.elapsed() < Duration::from_secs(10) {}
            let survivors = marked(&mark);
            left += usize::from(!survivors.is_empty());
            if !survivors.is_empty() {
                println!("point {point}: {survivors:?}");
            }
        }
    }
    target.kill()?;
    target.wait()?;
    println!(
        "{n} tracers killed, {attached} of them attached: {left} left processes, {harmed} harmed what they were attached to"
    );
    ensure!(n < 20 || attached > n / 10, "too few were attached");
    sheet.none(format!("trees with survivors, {n} tracers killed"), left);
    sheet.none("processes that were attached to and harmed", harmed);
    Ok(())
}

/// A process that makes calls all the time.
fn busy(command: &mut Command) -> anyhow::Result<Child> {
    command.args(["-c", "while :; do /bin/true; done"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("/bin/sh")
}

/// Whether it is alive, untraced, and still gets somewhere.
fn goes_on(target: &mut Child) -> anyhow::Result<bool> {
    let switches = |pid| system::status(pid, "voluntary_ctxt_switches");
    let pid = target.id();
    let (before, begun) = (switches(pid), Instant::now());
    while switches(pid) == before || system::status(pid, "TracerPid") != Some(0) {
        if begun.elapsed() > Duration::from_secs(5) || target.try_wait()?.is_some() {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(true)
}

/// 64 threads, `calls` calls each, counted by themselves and by the trace.
pub fn threads(calls: usize, sheet: &mut Sheet) -> anyhow::Result<()> {
    let programs = Programs::build()?;
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("summary");
    let mut command = Command::new(system::tipstaff()?);
    command.args(["trace", "-q", "-c", "--json", "-e", "getpriority", "-o"]).arg(&out).arg("--");
    command.arg(programs.path("callcount")).args(["64", &calls.to_string()]).stdin(Stdio::null());
    let begun = Instant::now();
    let output = command.output()?;
    ensure!(output.status.success(), "ended with {}", output.status);
    let made: usize = String::from_utf8_lossy(&output.stdout).trim().parse().context("the program's own count")?;
    let summary = fs::read_to_string(&out)?;
    let seen = summary.split_once(r#""name":"getpriority""#).and_then(|(_, row)| row.split_once(r#""calls":"#));
    let seen = seen.and_then(|(_, row)| row.split(',').next()?.parse::<usize>().ok()).unwrap_or(0);
    println!("{made} calls made, {seen} seen, in {:.1?}", begun.elapsed());
    sheet.all("calls of 64 threads that were seen", seen, made);
    sheet.all("  and made", made, 64 * calls);
    Ok(())
}
