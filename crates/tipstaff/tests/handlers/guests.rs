//! What these tests share: a guest in a box, and handlers made of closures.

use std::path::Path;

use tipstaff::handler::Trap;
use tipstaff::policy::profile::PathRule;
use tipstaff::{Action, Arch, Command, Handler, Output, Profile, SyscallSet};
use tipstaff_testkit::guest;

/// A guest under the preset `default`, with all guests in view.
pub fn boxed(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(guest(name));
    command.args(args).profile(with_guests());
    command
}

/// The preset `default`, and the directory of the guests.
pub fn with_guests() -> Profile {
    let mut profile = Profile::preset("default").expect("a preset");
    let program = guest("calls");
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
