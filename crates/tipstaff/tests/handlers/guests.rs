//! What these tests share: a guest in a box, and handlers made of closures.

use std::path::Path;

use tipstaff::handler::Trap;
use tipstaff::policy::profile::{Engine, PathRule};
use tipstaff::{Action, Arch, Command, Handler, Output, Profile, SyscallSet};
use tipstaff_testkit::guest;

/// A guest under the preset `default`, with all guests in view.
pub fn boxed(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(guest(name));
    command.args(args).profile(with_guests());
    command
}

/// These tests are two programs, and demand the same of both: one under the engine that is chosen for them (notify, unless calls are changed), one under ptrace.
pub const ENGINE: Engine = if is(env!("CARGO_CRATE_NAME"), "handlers_ptrace") { Engine::Ptrace } else { Engine::Auto };

const fn is(name: &str, other: &str) -> bool {
    name.len() == other.len()
}

/// Not under this engine, and why.
pub fn only(engine: Engine, why: &str) -> bool {
    let here = ENGINE == engine;
    if !here {
        eprintln!("under engine {engine} alone: {why}");
    }
    here
}

/// The preset `default`, and the directory of the guests.
pub fn with_guests() -> Profile {
    let mut profile = Profile::preset("default").expect("a preset");
    let program = guest("calls");
    profile.0.isolation.engine = Some(ENGINE);
    profile.0.filesystem.exec.push(PathRule::new(program.parent().expect("a directory")));
    profile
}

/// What a run wrote to its standard output.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn show(path: &Path) -> &str {
    path.to_str().expect("a path of the kit")
}

/// A handler that is a closure.
pub struct Closure<F> {
    calls: &'static [&'static str],
    decide: F,
}

/// Asks `decide` about these calls.
pub fn closure<F: FnMut(&mut Trap<'_>) -> Action + Send>(calls: &'static [&'static str], decide: F) -> Closure<F> {
    Closure { calls, decide }
}

impl<F: FnMut(&mut Trap<'_>) -> Action + Send> Handler for Closure<F> {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, self.calls.iter().copied())
    }

    fn on_syscall(&mut self, trap: &mut Trap<'_>) -> Action {
        (self.decide)(trap)
    }

    fn name(&self) -> &str {
        "closure"
    }
}
