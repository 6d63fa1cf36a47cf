//! Boxes under the notify engine, and handlers for them.

use std::path::Path;

use anyhow::Context;
use tipstaff::handler::Trap;
use tipstaff::policy::profile::{Engine, PathRule};
use tipstaff::{Action, Arch, Command, Handler, Profile, SyscallSet};

/// What whoever supervises programs and network wants to hear of. Not of new processes: see the figures of `eintr`.
pub const SUPERVISED: [&str; 7] = ["execve", "execveat", "connect", "bind", "sendto", "sendmsg", "sendmmsg"];

/// Gives getppid(2) its own argument back.
pub struct Echo;

impl Handler for Echo {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, ["getppid"])
    }

    fn on_syscall(&mut self, trap: &mut Trap<'_>) -> Action {
        Action::Return(trap.args()[0].cast_signed())
    }
}

/// Hears of these calls, and lets them pass.
pub struct Hears {
    pub calls: Vec<String>,
    /// Of the threads that made them too.
    pub threads: bool,
}

impl Hears {
    pub fn of<S: AsRef<str>>(calls: &[S]) -> Self {
        Self { calls: calls.iter().map(|call| call.as_ref().to_owned()).collect(), threads: false }
    }
}

impl Handler for Hears {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, self.calls.iter().map(String::as_str))
    }

    fn keeps_threads(&self) -> bool {
        self.threads
    }

    fn on_syscall(&mut self, _: &mut Trap<'_>) -> Action {
        Action::Pass
    }
}

/// The preset `default` under this engine, with the programs in view.
pub fn profile(dir: &Path) -> anyhow::Result<Profile> {
    let mut profile = Profile::preset("default")?;
    profile.0.isolation.engine = Some(Engine::Notify);
    profile.0.filesystem.exec.push(PathRule::new(dir));
    Ok(profile)
}

/// A box.
pub fn boxed<S: AsRef<std::ffi::OsStr>>(words: &[S], profile: Profile) -> anyhow::Result<Command> {
    let (program, args) = words.split_first().context("a program")?;
    let mut command = Command::new(program);
    command.args(args).profile(profile);
    Ok(command)
}

/// A number of a flat JSON object.
pub fn number(json: &str, key: &str) -> anyhow::Result<f64> {
    let rest = json.split_once(&format!("\"{key}\":")).map(|(_, rest)| rest);
    let digits = rest.and_then(|rest| rest.split([',', '}']).next());
    digits.and_then(|d| d.trim().parse().ok()).with_context(|| format!("no {key} in {json:?}"))
}
