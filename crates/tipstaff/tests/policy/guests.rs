//! What these tests share.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Write};

use tipstaff::policy::profile::{Engine, PathRule};
use tipstaff::{Child, Command, Output, Profile, Report, Stdio};
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

/// A guest that does what it is told, line by line.
pub struct Steps {
    pub child: Child,
    stdin: File,
    lines: Lines<BufReader<File>>,
}

impl Steps {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawn");
        let stdin = child.stdin.take().expect("piped");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, stdin, lines }
    }

    /// Does one thing; what came of it.
    pub fn step(&mut self, words: &str) -> String {
        writeln!(self.stdin, "{words}").expect("written");
        self.lines.next().and_then(Result::ok).unwrap_or_default()
    }

    /// Waits until it has been ended: by itself it does not.
    pub fn killed(mut self) -> Report {
        self.child.wait().expect("wait")
    }

    /// Lets it end.
    pub fn end(self) -> Report {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        child.wait().expect("wait")
    }
}
