//! A policy function: it decides about programs while the box runs, and takes the secrets away before the first one that nobody has reviewed.
//!
//!     cargo run -p tipstaff --example policy
//!     cargo run -p tipstaff --example policy -- sh -c 'cat /etc/hostname; /bin/ls /'

use std::path::Path;

use tipstaff::{Command, Decision, Error, Event, Interest, PolicyFn, Profile, Subject};

/// What programs in these directories do has been looked at.
const REVIEWED: [&str; 2] = ["/bin", "/usr/bin"];
/// What nobody else is to read.
const SECRET: &str = "/etc/hostname";

fn decide(event: &Event) -> Decision {
    let Subject::Exec { file, argv, .. } = event.subject() else { return Decision::Allow };
    if argv.iter().any(|arg| arg == "--force") {
        return Decision::Deny;
    }
    let reviewed = file.parent().is_some_and(|dir| REVIEWED.iter().any(|known| dir == Path::new(known)));
    // A program that is not known runs, without the secret. If that cannot be taken away, it does not run.
    if reviewed || event.restrict().deny_path(SECRET).is_ok() { Decision::Audit } else { Decision::Deny }
}

fn main() -> Result<(), Error> {
    let script = "cat /etc/hostname > /dev/null && echo readable; cp /bin/true /tmp/new; /tmp/new; cat /etc/hostname; rm --force /tmp/new";
    let given: Vec<_> = std::env::args_os().skip(1).collect();
    let mut command = match given.split_first() {
        Some((program, args)) => {
            let mut command = Command::new(program);
            command.args(args);
            command
        }
        None => {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        }
    };
    let policy = PolicyFn::new(Interest::EXEC, decide).named("example");
    let trail = policy.audit();
    command.profile(Profile::preset("default")?).policy_fn(move || policy.clone());
    let report = command.status()?;
    for event in trail.events() {
        if let Subject::Exec { path, argv, .. } = event.subject() {
            println!("ran {} with {} arguments", path.display(), argv.len());
        }
    }
    for denial in &report.denials {
        println!("denied {}: {}", denial.syscall, denial.rule);
    }
    println!("{}", report.verdict);
    Ok(())
}
