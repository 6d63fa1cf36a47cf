//! `tipstaff explain`: the plan, rule by rule.

use std::io::Write;

use anstyle::AnsiColor;
use serde_json::json;
use tipstaff::report::Level;
use tipstaff::{Armed, Command};

use crate::args::Explain;
use crate::{run, say};

/// Prints the plan; the exit status.
pub fn call(explain: &Explain) -> u8 {
    let armed = match arm(explain) {
        Ok(armed) => armed,
        Err(message) => {
            say::error(message);
            return say::FAILED;
        }
    };
    if explain.json {
        println!("{}", as_json(&armed));
    } else if explain.bpf {
        print!("{}", tipstaff_seccomp::disassemble(armed.insns().unwrap_or_default()));
    } else {
        table(&armed);
    }
    0
}

fn arm(explain: &Explain) -> Result<Armed, String> {
    let profile = run::profile(&explain.options)?;
    let argv = if explain.argv.is_empty() { vec!["/bin/true".into()] } else { explain.argv.clone() };
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).profile(profile);
    command.explain_armed().map_err(|e| e.to_string())
}

fn table(armed: &Armed) {
    let mut out = anstream::stdout().lock();
    let rules = &armed.plan.rules;
    let width = rules.iter().map(|r| r.enforcement.rule.to_string().chars().count()).max().unwrap_or(0);
    let second = rules.iter().map(|r| r.enforcement.mechanism.chars().count()).max().unwrap_or(0);
    for rule in rules {
        let e = &rule.enforcement;
        let style = match e.level {
            Level::Full => AnsiColor::Green.on_default(),
            Level::Weakened => AnsiColor::Yellow.on_default(),
            Level::Refused => AnsiColor::Red.on_default(),
        };
        let level = e.level.as_str();
        let (name, cost) = (e.rule.to_string(), rule.cost.to_string());
        let _ = write!(out, "{name:width$}  {:second$}  {style}{level:8}{style:#}  {cost}", e.mechanism);
        if let Some(why) = &e.why {
            let _ = write!(out, "\n{:width$}  ({why})", "");
        }
        let _ = writeln!(out);
    }
    if let Some(insns) = armed.insns() {
        let _ = writeln!(out, "{:width$}  {} instructions (--bpf prints them)", "seccomp filter", insns.len());
    }
}

fn as_json(armed: &Armed) -> serde_json::Value {
    let rules: Vec<_> = armed
        .plan
        .rules
        .iter()
        .map(|r| {
            json!({ "rule": r.enforcement.rule, "mechanism": r.enforcement.mechanism, "level": r.enforcement.level,
                "why": r.enforcement.why, "cost": r.cost.to_string() })
        })
        .collect();
    let n = &armed.plan.namespaces;
    json!({
        "rules": rules,
        "namespaces": { "user": n.user, "mount": n.mount, "pid": n.pid, "ipc": n.ipc, "uts": n.uts, "net": n.net },
        "landlock_abi": armed.plan.landlock.as_ref().map(|l| l.abi),
        "filter_instructions": armed.insns().map(<[_]>::len),
    })
}
