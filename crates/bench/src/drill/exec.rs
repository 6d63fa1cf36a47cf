//! Execs from threads that are not the leader, in boxes, amid vfork, SIGKILL, SIGSTOP and SIGCONT.

use std::time::Duration;

use anyhow::Context;
use tipstaff::policy::profile::{Engine, GuestPtrace};
use tipstaff::policy::value::Setting;
use tipstaff::{Command, Profile};

use super::Sheet;
use crate::notify::boxes::{Hears, SUPERVISED};
use crate::notify::programs::Programs;

/// Longer without any use of CPU is stuck, and ends the box.
const STUCK: Duration = Duration::from_secs(1);

/// `n` execs under each engine.
pub fn drill(n: usize, sheet: &mut Sheet) -> anyhow::Result<()> {
    let programs = Programs::build()?;
    let ways = [
        ("native", Engine::Native, None),
        ("notify, a handler for execs", Engine::Notify, None),
        ("ptrace", Engine::Ptrace, None),
        ("ptrace that plays the kernel", Engine::Ptrace, Some(GuestPtrace::Emulate)),
    ];
    for (name, engine, guests) in ways {
        let mut profile =
            Profile::preset("default")?.read(programs.dir()).processes(64).wall(Duration::from_secs(60 + n as u64 / 5));
        profile.0.filesystem.exec.push(tipstaff::policy::profile::PathRule::new(programs.dir()));
        profile.0.isolation.engine = Some(engine);
        profile.0.isolation.guest_ptrace = guests;
        profile.0.limits.cpu = Some(Setting::Unlimited);
        profile.0.limits.idle = Some(Setting::At(STUCK));
        let mut command = Command::new(programs.path("execstorm"));
        command.arg(n.to_string()).profile(profile).stdin(tipstaff::Stdio::null());
        if engine == Engine::Notify {
            command.handler(|| Hears { threads: true, ..Hears::of(&SUPERVISED) });
        }
        let report = command.status().context(name)?;
        // Stuck is what its idle limit says.
        let exact = report.exit_code == Some(42);
        let reached = if exact { "42".to_owned() } else { format!("{} {:?}", report.verdict, report.clock) };
        sheet.figure(format!("{n} execs, {name}: exit status, none stuck over {STUCK:?}"), 42, reached, exact);
    }
    Ok(())
}
