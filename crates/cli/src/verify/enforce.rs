//! A program under a profile, and what that refuses.

use std::ffi::OsString;

use tipstaff_record::{Command, Refusal, enforce};
use tipstaff_recording::Exit;
use tipstaff_seccomp::{Action, Filter};
use tipstaff_sys::signal::{self, SigSet};

use crate::say;

/// Runs it; how many kinds of calls were refused.
pub fn run(filter: &Filter, argv: &[OsString]) -> Result<usize, String> {
    let Some((program, args)) = argv.split_first() else {
        return Err("no program given: name one after `--`".into());
    };
    // What the terminal sends is for the program; it gets it from the terminal itself.
    let mask = signal::block(SigSet::of(&[2, 3]));
    let command = Command { program: program.clone(), args: args.to_vec(), mask };
    let enforced = enforce(&command, filter);
    signal::set_mask(mask);
    let enforced = enforced.map_err(|e| format!("under the profile: {e}"))?;
    for refusal in &enforced.refused {
        say::note(line(refusal));
    }
    super::tell_of_fallbacks(&enforced.falls_back);
    match enforced.exit {
        Some(Exit::Code(0)) => {}
        Some(Exit::Code(code)) => say::note(format_args!("under the profile the program ended with status {code}")),
        Some(Exit::Signal(signal)) => {
            say::note(format_args!("under the profile the program died of signal {}", signal.number));
        }
        None => say::note("nobody can say how the program ended"),
    }
    Ok(enforced.refused.len())
}

fn line(refusal: &Refusal) -> String {
    let Refusal { arch, name, args, action, count } = refusal;
    let arch = arch.map_or("a foreign architecture", tipstaff_abi::Arch::name);
    let args: Vec<String> = args.iter().map(|arg| format!("{arg:#x}")).collect();
    let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
    let action = if *action == Action::KillProcess { "killed".to_owned() } else { action.to_string() };
    format!("refused {arch} {name}({}): {action}; {times}", args.join(", "))
}
