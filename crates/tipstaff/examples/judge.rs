//! A judge in one file: each submission runs on each case under the profile `judge`, and gets a verdict.
//!
//!     cargo run -p tipstaff --example judge
//!     cargo run -p tipstaff --example judge -- ./a.out
//!
//! The task: read two numbers, print their sum.

use std::io::Write;
use std::time::Duration;

use tipstaff::{Command, Error, Profile, Stdio, Verdict};

/// Input, and the output that is right.
const CASES: [(&str, &str); 2] = [("3 4\n", "7\n"), ("20 -30\n", "-10\n")];

/// Shell scripts, so that there is nothing to compile.
const SUBMISSIONS: [(&str, &str); 5] = [
    ("right", "read a b; echo $((a + b))"),
    ("wrong", "read a b; echo $((a - b))"),
    ("endless", "while :; do :; done"),
    ("asleep", "sleep 60"),
    ("chatty", "while :; do echo 7; done"),
];

fn main() -> Result<(), Error> {
    let profile = Profile::preset("judge")?.cpu_ms(500).wall(Duration::from_secs(2)).memory(64 << 20).output(64 << 10);
    let given: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some((program, args)) = given.split_first() {
        let mut command = Command::new(program);
        println!("{}", judge(command.args(args).profile(profile))?);
        return Ok(());
    }
    for (name, script) in SUBMISSIONS {
        let mut command = Command::new("/bin/sh");
        println!("{name:8} {}", judge(command.arg("-c").arg(script).profile(profile.clone()))?);
    }
    Ok(())
}

/// One word for a submission: the first verdict that is not `ok`, the first wrong answer, or `accepted`.
///
/// The profile is lowered for the first case only; the other boxes are started from the same plan.
fn judge(command: &mut Command) -> Result<String, Error> {
    command.stdin(Stdio::piped()).stdout(Stdio::capture()).stderr(Stdio::null());
    for (input, right) in CASES {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A submission that does not read its input may be gone already.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        let report = output.report;
        match (report.verdict, report.clock) {
            (Verdict::Ok, _) if output.stdout == right.as_bytes() => {}
            (Verdict::Ok, _) => return Ok("wrong answer".to_owned()),
            (verdict, Some(clock)) => return Ok(format!("{verdict} ({clock})")),
            (verdict, None) => return Ok(verdict.to_string()),
        }
    }
    Ok("accepted".to_owned())
}
