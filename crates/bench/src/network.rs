//! What a network rule by address costs: the calls that are made on the guest's behalf, and a server whose data nobody is asked about.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::measure::{self, Effort};
use crate::system;

/// First argument of this binary when it is the measured child.
pub const HELPER: &str = "network-loop";

const CALLS: usize = 2000;

/// A command, under rules or bare.
fn command(rules: Option<&[String]>, words: &[&str]) -> anyhow::Result<Command> {
    let mut argv: Vec<String> = Vec::new();
    if let Some(rules) = rules {
        let here = std::env::current_exe()?;
        let here = here.parent().context("a directory")?.display().to_string();
        argv.extend([system::tipstaff()?.display().to_string(), "run".to_owned(), "--quiet".to_owned()]);
        argv.extend(["--read".to_owned(), here.clone(), "--exec".to_owned(), here]);
        argv.extend(rules.iter().cloned());
        argv.push("--".to_owned());
    }
    argv.extend(words.iter().map(|word| (*word).to_owned()));
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]);
    Ok(command)
}

/// connect(2) and sendto(2), then redis.
pub fn table(effort: Effort) -> anyhow::Result<()> {
    println!("{}", system::line());
    measure::head();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    let ports = [listener.local_addr()?.port().to_string(), receiver.local_addr()?.port().to_string()];
    std::thread::spawn(move || while listener.accept().is_ok() {});
    std::thread::spawn(move || {
        let mut byte = [0; 8];
        while receiver.recv(&mut byte).is_ok() {}
    });
    let [tcp, udp] = &ports;
    let rules =
        ["--net".to_owned(), format!("tcp://127.0.0.1:{tcp}"), "--net".into(), format!("udp://127.0.0.1:{udp}")];
    let me = std::env::current_exe()?.display().to_string();
    for call in ["connect", "sendto"] {
        let words = [me.as_str(), HELPER, call, if call == "connect" { tcp } else { udp }];
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..effort.rounds {
            for place in 0..2 {
                let which = (round + place) % 2;
                let output = command((which == 1).then_some(&rules[..]), &words)?.output()?;
                ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                times[which].push(String::from_utf8_lossy(&output.stdout).trim().parse()?);
            }
        }
        let [bare, ours] = times.each_mut().map(|values| measure::median(values));
        measure::row(&format!("{call}, by rule; floor: bare"), bare, ours, None);
    }
    redis(effort)
}

/// The child: median microseconds of a call.
pub fn helper(call: &str, port: &str) -> anyhow::Result<()> {
    let to = ("127.0.0.1", port.parse::<u16>()?);
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        match call {
            "connect" => drop(TcpStream::connect(to)?),
            _ => drop(socket.send_to(b"x", to)?),
        }
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    println!("{}", measure::median(&mut times));
    Ok(())
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that a box goes with its supervisor's blessing.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn redis(effort: Effort) -> anyhow::Result<()> {
    const ROW: &str = "redis: share of bare requests per second, median";
    let Some(server) =
        ["/usr/bin/redis-server", "/usr/local/bin/redis-server"].into_iter().find(|p| Path::new(p).exists())
    else {
        measure::skip(ROW, "there is no redis-server");
        return Ok(());
    };
    for test in ["set", "get"] {
        let mut rates = [Vec::new(), Vec::new()];
        for round in 0..effort.rounds {
            for place in 0..2 {
                let which = (round + place) % 2;
                let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
                let limits = ["--bind", &port, "--memory", "512MiB", "--processes", "64"].map(str::to_owned);
                let words = [
                    server,
                    "--port",
                    &port,
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                    "--dir",
                    "/tmp",
                ];
                let mut command = command((which == 1).then_some(&limits[..]), &words)?;
                let _server = Server(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
                let until = Instant::now() + Duration::from_secs(10);
                while TcpStream::connect(("127.0.0.1", port.parse::<u16>()?)).is_err() {
                    ensure!(Instant::now() < until, "redis-server does not listen");
                    std::thread::sleep(Duration::from_millis(20));
                }
                let output = Command::new("redis-benchmark")
                    .args(["-p", &port, "-n", "100000", "-c", "20", "-t", test, "--csv"])
                    .output()?;
                let text = String::from_utf8_lossy(&output.stdout);
                let line = text.lines().last().context("redis-benchmark said nothing")?;
                let rate = line.split(',').nth(1).context("no rate")?.trim_matches('"').parse::<f64>()?;
                rates[which].push(rate);
            }
        }
        let [bare, ours] = rates.each_mut().map(|values| measure::median(values));
        let share = ours / bare;
        measure::figure(&format!("{ROW}, {test}"), &format!("{:.1} %", share * 100.0), Some(share >= 0.95));
    }
    Ok(())
}
