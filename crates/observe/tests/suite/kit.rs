//! A guest that waits until it is recorded, and questions to what was seen of it.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use tipstaff_abi::{Arch, Sysno};
use tipstaff_observe::{Call, Observed, Observer, Options, Phase, Refused, Setup, Target};
use tipstaff_testkit::guest;

/// The programs, or the end of a test that cannot run here.
#[macro_export]
macro_rules! observer {
    () => {
        $crate::observer!(&tipstaff_observe::Setup::default())
    };
    ($setup:expr) => {
        match tipstaff_observe::Observer::load($setup) {
            Ok(observer) => observer,
            Err(error @ tipstaff_observe::Unavailable::Permission { .. }) => tipstaff_testkit::skip!("{error}"),
            Err(error @ (tipstaff_observe::Unavailable::NoBtf(_) | tipstaff_observe::Unavailable::NoBpf)) => {
                tipstaff_testkit::skip!("{error}")
            }
            Err(error) => panic!("{error}"),
        }
    };
}

/// The same for whoever starts a program: a shell that is told its working directory does not ask for it.
pub const ENVIRONMENT: [(&str, &str); 2] = [("PATH", "/usr/bin:/bin"), ("PWD", "/")];

/// A program that waits for a byte.
pub struct Waiting {
    child: Child,
    input: Option<ChildStdin>,
}

impl Waiting {
    /// `observed wait WORD…`.
    pub fn new(words: &str) -> Self {
        let mut command = Command::new(guest("observed"));
        command.arg("wait").args(words.split_ascii_whitespace());
        Self::start(command)
    }

    /// A shell that waits, then becomes the program.
    pub fn to_execute<W: AsRef<std::ffi::OsStr>>(words: &[W]) -> Self {
        Self::start(shell(words))
    }

    /// The same in [`ENVIRONMENT`].
    pub fn to_execute_cleanly<W: AsRef<std::ffi::OsStr>>(words: &[W]) -> Self {
        let mut command = shell(words);
        command.env_clear().envs(ENVIRONMENT).current_dir("/");
        Self::start(command)
    }

    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("guest");
        let input = child.stdin.take();
        let waiting = Self { child, input };
        // It is where it waits: in read(2).
        let syscall = format!("/proc/{}/syscall", waiting.pid());
        while !std::fs::read_to_string(&syscall).is_ok_and(|text| text.starts_with("0 ")) {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        waiting
    }

    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub fn tree(&self) -> Target {
        Target::Tree(self.pid())
    }

    /// Lets it go on to its next `wait`.
    pub fn go_and_stay(&mut self) {
        self.input.as_mut().expect("input").write_all(b"\n").expect("input");
        wait_until("the next wait", || {
            let syscall = std::fs::read_to_string(format!("/proc/{}/syscall", self.pid())).unwrap_or_default();
            let taken = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
            syscall.starts_with("0 ") && taken.contains("Seccomp:\t2")
        });
    }

    /// Lets it go on until it has a child that waits.
    pub fn go_and_fork(&mut self) {
        self.input.as_mut().expect("input").write_all(b"\n").expect("input");
        wait_until("a child that waits", || {
            let waits = child_of(self.pid()).map(|child| format!("/proc/{child}/syscall"));
            waits.is_some_and(|path| std::fs::read_to_string(path).is_ok_and(|text| text.starts_with("0 ")))
        });
    }

    /// The same for a child's child.
    pub fn go_and_fork_twice(&mut self) {
        self.input.as_mut().expect("input").write_all(b"\n").expect("input");
        wait_until("a child's child that waits", || {
            let waits = child_of(self.pid()).and_then(child_of).map(|child| format!("/proc/{child}/syscall"));
            waits.is_some_and(|path| std::fs::read_to_string(path).is_ok_and(|text| text.starts_with("0 ")))
        });
    }

    /// Its only child.
    pub fn child(&self) -> i32 {
        child_of(self.pid()).expect("a child")
    }

    /// Lets it go on.
    pub fn go(&mut self) {
        if let Some(mut input) = self.input.take() {
            input.write_all(b"\n").expect("input");
        }
    }

    /// Its exit status when it has ended, 128 + N by signal N.
    pub fn end(&mut self) -> i32 {
        self.go();
        let status = self.child.wait().expect("wait");
        status.code().unwrap_or_else(|| 128 + status.signal().expect("a signal"))
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Records `observed WORD…` from its waiting to its end.
pub fn recorded(observer: &Observer, words: &str, options: &Options) -> (i32, Observed) {
    let mut waiting = Waiting::new(words);
    let recording = observer.record(&waiting.tree(), options).expect("recording");
    let status = waiting.end();
    (status, recording.stop().expect("observed"))
}

/// Everything on.
pub fn all() -> Options {
    Options {
        returns: tipstaff_observe::Returns::Always,
        files: true,
        sockets: true,
        capabilities: true,
        ..Options::default()
    }
}

/// Like a launch: the phase Setup until the exec.
pub fn launch() -> Options {
    Options { phase: Phase::Setup, ..Options::default() }
}

pub fn small() -> Setup {
    Setup { pages: 64, entries: 1024, paths: 1024, ..Setup::default() }
}

pub fn nr(name: &str) -> Sysno {
    Sysno::by_name(Arch::X86_64, name).expect("a call")
}

/// How often a call was seen, in all executables and phases.
pub fn count(observed: &Observed, name: &str) -> u64 {
    calls(observed, name).map(|call| call.count).sum()
}

pub fn calls<'a>(observed: &'a Observed, name: &str) -> impl Iterator<Item = &'a Call> + use<'a> {
    let number = nr(name);
    observed.calls.iter().filter(move |call| call.key.arch == Arch::X86_64 && call.key.number == number)
}

pub fn refused<'a>(observed: &'a Observed, name: &str) -> Vec<&'a Refused> {
    let number = nr(name);
    observed.refused.iter().filter(|call| call.key.number == number).collect()
}

/// Nothing was lost.
pub fn complete(observed: &Observed) {
    assert!(observed.completeness.complete(), "{:?}", observed.completeness);
}

/// The name of the program of a key.
pub fn program(observed: &Observed, call: &Call) -> String {
    let path = observed.executables[call.key.executable.0 as usize].path.as_ref();
    path.and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("{what} did not happen");
}

fn child_of(pid: i32) -> Option<i32> {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?.trim().parse().ok()
}

fn shell<W: AsRef<std::ffi::OsStr>>(words: &[W]) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "read line; exec \"$@\"", "sh"]).args(words);
    command
}
