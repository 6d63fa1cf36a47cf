//! What these tests share.

use tipstaff::policy::profile::{Engine, PathRule};
use tipstaff::{Command, Output, Profile};
use tipstaff_testkit::{Scratch, User, guest};

/// These tests are two programs, and demand the same of both: one under the engine that is chosen for them, one under ptrace.
pub const ENGINE: Engine = if is(env!("CARGO_CRATE_NAME"), "policy_ptrace") { Engine::Ptrace } else { Engine::Auto };

const fn is(name: &str, other: &str) -> bool {
    name.len() == other.len()
}

/// The preset `default`, and the directory of the guests.
pub fn with_guests() -> Profile {
    let mut profile = Profile::preset("default").expect("a preset");
    profile.0.isolation.engine = Some(ENGINE);
    profile.0.filesystem.exec.push(PathRule::new(guest("calls").parent().expect("a directory")));
    profile
}

/// A guest under that profile.
pub fn boxed(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(guest(name));
    command.args(args).profile(with_guests());
    command
}

/// A directory that the test's own user may use.
pub fn scratch() -> Scratch {
    Scratch::new(if User::Root.available() { User::Root } else { User::Ordinary })
}

/// What a run wrote to its standard output.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
