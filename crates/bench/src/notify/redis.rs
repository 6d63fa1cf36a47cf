//! A server that many programs know: redis, as Debian has it, asked by its own benchmark.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::boxes::{Hears, SUPERVISED, boxed, profile};
use super::programs::Programs;
use crate::measure::{self, Effort, median};
use crate::system;

const NAME: &str = "redis-server, processes, memory, network supervised";
const REQUESTS: &str = "100000";

/// Requests per second of GET and SET, bare and in a box.
pub fn row(programs: &Programs, effort: Effort) -> anyhow::Result<()> {
    let (Some(server), Some(client)) = (system::find("redis-server"), system::find("redis-benchmark")) else {
        measure::skip(NAME, "redis is not installed (apt-get install redis-server redis-tools)");
        return Ok(());
    };
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let port = free_port()?;
        let args = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"];
        let mut process = Command::new(&server).args(args).stdout(Stdio::null()).spawn()?;
        bare.push(asked(&client, &port)?);
        process.kill()?;
        process.wait()?;
        let words: Vec<_> = std::iter::once(server.as_os_str()).chain(args.iter().map(AsRef::as_ref)).collect();
        let mut profile = profile(programs.dir())?.memory(512 << 20).processes(64);
        profile.0.network.allow = Some(vec![tipstaff::policy::value::NetSpec::Host]);
        let mut command = boxed(&words, profile)?;
        command.handler(|| Hears::of(&SUPERVISED)).stdin(tipstaff::Stdio::null()).stdout(tipstaff::Stdio::null());
        let mut child = command.spawn()?;
        let figure = asked(&client, &port);
        child.kill()?;
        let report = child.wait()?;
        ours.push(figure.with_context(|| format!("in a box, which ended with {}", report.verdict))?);
    }
    let (bare, ours) = (median(&mut bare), median(&mut ours));
    let share = ours / bare * 100.0;
    let value = format!("{share:.1} % of bare ({ours:.0} of {bare:.0} requests/s)");
    measure::figure(NAME, &value, Some(share >= 95.0));
    Ok(())
}

fn free_port() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string())
}

/// The mean of the benchmark's own figures, once the server answers.
fn asked(client: &Path, port: &str) -> anyhow::Result<f64> {
    let begun = Instant::now();
    while std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
        ensure!(begun.elapsed() < Duration::from_secs(10), "the server does not answer");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut command = Command::new(client);
    command.args(["-h", "127.0.0.1", "-p", port, "-t", "get,set", "-n", REQUESTS, "-c", "20", "--csv"]);
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> =
        text.lines().filter_map(|line| line.split(',').nth(1)?.trim_matches('"').parse().ok()).collect();
    ensure!(!figures.is_empty(), "redis-benchmark said {text:?}");
    Ok(figures.iter().sum::<f64>() / figures.len() as f64)
}
