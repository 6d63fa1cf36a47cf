//! One execution of the command as a black box.
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

use crate::{Machine, Pty, Ran, Scratch, User, guest, tipstaff};

/// The most output that is kept.
const KEPT: usize = 64 << 20;

/// `tipstaff run … -- COMMAND`. If the first word is the name of a guest, it is that guest, and the
/// guests' directory is opened to the box (a private /tmp would hide it).
pub fn run<W: AsRef<OsStr>>(command: impl IntoIterator<Item = W>) -> Run {
    let mut words: Vec<OsString> = command.into_iter().map(|word| word.as_ref().to_owned()).collect();
    let mut new = Run::new("run");
    if let Some(name) = words.first().and_then(|word| word.to_str()).filter(|word| guest::exists(word)) {
        words[0] = guest(name).into();
        new.options.extend(["--read".into(), guest::dir().into(), "--exec".into(), guest::dir().into()]);
    }
    new.program = words;
    new
}

/// `tipstaff WORDS…` without a report: `doctor`, `profile check`, `--help`.
pub fn tipstaff_command<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Run {
    let mut new = Run::new("");
    new.options = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
    new.report = false;
    new
}

/// COMMAND itself, not in a box: the positive control of a denial.
pub fn plain<W: AsRef<OsStr>>(command: impl IntoIterator<Item = W>) -> Run {
    let mut new = run(command);
    new.boxed = false;
    new.report = false;
    new.options.clear();
    new
}

/// A run that is being described.
#[derive(Debug)]
pub struct Run {
    subcommand: &'static str,
    boxed: bool,
    report: bool,
    options: Vec<OsString>,
    program: Vec<OsString>,
    user: User,
    machine: Machine,
    env: Vec<(OsString, OsString)>,
    cwd: PathBuf,
    work_files: Vec<(String, Vec<u8>)>,
    stdin: Input,
    terminal: Option<PathBuf>,
    inject: Option<(u64, i32, PathBuf)>,
    patience: Duration,
}

#[derive(Debug)]
enum Input {
    Null,
    Bytes(Vec<u8>),
    /// A pipe that stays open and silent.
    Silent,
    File(File),
}

impl Run {
    fn new(subcommand: &'static str) -> Self {
        Self {
            subcommand,
            boxed: true,
            report: true,
            options: Vec::new(),
            program: Vec::new(),
            user: if User::Root.available() { User::Root } else { User::Ordinary },
            machine: Machine::Full,
            env: Vec::new(),
            cwd: "@CWD".into(),
            work_files: Vec::new(),
            stdin: Input::Null,
            terminal: None,
            inject: None,
            patience: Duration::from_secs(120),
        }
    }

    /// An option without a value.
    pub fn flag(mut self, flag: &str) -> Self {
        self.options.push(flag.into());
        self
    }

    /// An option and its value.
    pub fn option(mut self, option: &str, value: impl AsRef<OsStr>) -> Self {
        self.options.extend([option.into(), value.as_ref().to_owned()]);
        self
    }

    /// `--profile`.
    pub fn profile(self, profile: impl AsRef<OsStr>) -> Self {
        self.option("--profile", profile)
    }

    /// `--cpu`.
    pub fn cpu(self, limit: &str) -> Self {
        self.option("--cpu", limit)
    }

    /// `--wall`.
    pub fn wall(self, limit: &str) -> Self {
        self.option("--wall", limit)
    }

    /// `--idle`.
    pub fn idle(self, limit: &str) -> Self {
        self.option("--idle", limit)
    }

    /// `--memory`.
    pub fn memory(self, limit: &str) -> Self {
        self.option("--memory", limit)
    }

    /// `--processes`.
    pub fn processes(self, limit: u32) -> Self {
        self.option("--processes", limit.to_string())
    }

    /// `--output`.
    pub fn output(self, limit: &str) -> Self {
        self.option("--output", limit)
    }

    /// `--file-size`.
    pub fn file_size(self, limit: &str) -> Self {
        self.option("--file-size", limit)
    }

    /// One more argument of the program.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.program.push(arg.as_ref().to_owned());
        self
    }

    /// The program of a `plain` or boxed run is executed by this user. Default: root where the
    /// suite is root.
    pub fn as_user(mut self, user: User) -> Self {
        self.user = user;
        self
    }

    /// On a machine that lacks this.
    pub fn without(self, feature: crate::Without) -> Self {
        self.on(feature.into())
    }

    /// Under these rules of somebody else.
    pub fn under(self, rules: crate::Under) -> Self {
        self.on(rules.into())
    }

    /// On this machine.
    pub fn on(mut self, machine: Machine) -> Self {
        self.machine = machine;
        self
    }

    /// A variable in the environment of the command itself.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The working directory of the command itself. Default: an empty one of its own, because
    /// presets show the box where they are called.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd = dir.as_ref().to_owned();
        self
    }

    /// A file in the run's own directory, which exists as long as the run, belongs to its user, and
    /// is written `@WORK` wherever an option or an argument names it. The file is on the disk when
    /// the run starts, so that its pages can be thrown out of the cache.
    pub fn work_file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.work_files.push((name.to_owned(), content.into()));
        self
    }

    /// Standard input: these bytes, then its end. Default: /dev/null.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes(bytes.into());
        self
    }

    /// Standard input: a pipe to which nobody writes and that nobody closes.
    pub fn silent_stdin(mut self) -> Self {
        self.stdin = Input::Silent;
        self
    }

    /// Standard input: this file.
    pub fn stdin_file(mut self, file: File) -> Self {
        self.stdin = Input::File(file);
        self
    }

    /// In a new session on this terminal, which is also its standard streams.
    pub fn on_pty(mut self, pty: &Pty) -> Self {
        self.terminal = Some(pty.path().to_owned());
        self
    }

    /// No `--report`.
    pub fn without_report(mut self) -> Self {
        self.report = false;
        self
    }

    /// The `n`-th system call of the command's own first thread fails with `errno`; what it was is
    /// written to `record`.
    pub fn inject(mut self, n: u64, errno: i32, record: impl AsRef<Path>) -> Self {
        self.inject = Some((n, errno, record.as_ref().to_owned()));
        self
    }

    /// How long the command may take before the test calls it a hang. Default: two minutes.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn go(self) -> Ran {
        self.start().finish()
    }

    /// Starts it.
    #[track_caller]
    pub fn start(self) -> Started {
        if let Some(why) = self.machine.unavailable(self.user) {
            panic!("{why}: the test must ask `Machine::unavailable` first");
        }
        let scratch = Scratch::new(self.user);
        let report = scratch.join("report.json");
        let work = scratch.dir("work");
        let cwd = if self.cwd == Path::new("@CWD") {
            scratch.dir("cwd")
        } else {
            PathBuf::from(replace_work(self.cwd.as_os_str(), &work))
        };
        for (name, content) in &self.work_files {
            let path = scratch.file(Path::new("work").join(name), content);
            File::open(path).and_then(|file| file.sync_all()).expect("on the disk");
        }
        let words: Vec<_> = self.words(&report).iter().map(|word| replace_work(word, &work)).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(cwd).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", scratch.dir("home")).env("LANG", "C.UTF-8").env("TERM", "dumb");
        command.envs(self.env).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut bytes = None;
        let mut silent = None;
        match self.stdin {
            Input::Null => command.stdin(Stdio::null()),
            Input::File(file) => command.stdin(file),
            Input::Bytes(input) => {
                bytes = Some(input);
                command.stdin(Stdio::piped())
            }
            Input::Silent => {
                silent = Some(());
                command.stdin(Stdio::piped())
            }
        };
        let line = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let begun = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("pidfd of a child that nobody has waited for");
        let mut held_stdin = None;
        if let Some(mut pipe) = child.stdin.take() {
            match bytes {
                // A program that does not read its input is a case that is tested: the writer may
                // be left with a broken pipe.
                Some(bytes) => drop(std::thread::spawn(move || pipe.write_all(&bytes))),
                None => held_stdin = silent.map(|()| pipe),
            }
        }
        let stdout = Stream::collect(child.stdout.take().expect("piped"));
        let stderr = Stream::collect(child.stderr.take().expect("piped"));
        Started { line, begun, child, pidfd, stdout, stderr, held_stdin, scratch, report, patience: self.patience }
    }

    /// The whole command line, `@WORK` not yet replaced, from the outermost tool to the program's
    /// last argument.
    fn words(&self, report: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(terminal) = &self.terminal {
            words.extend([guest("onpty").into(), terminal.into()]);
        }
        if self.user.other().is_some() || self.machine.word().is_some() {
            words.push(guest("without").into());
            if let Some(uid) = self.user.other() {
                words.extend(["--uid".into(), uid.to_string().into()]);
            }
            words.extend(self.machine.word().map(OsString::from));
            words.push("--".into());
        }
        if let Some((n, errno, record)) = &self.inject {
            words.extend([guest("inject").into(), n.to_string().into(), errno.to_string().into(), record.into()]);
        }
        if !self.boxed {
            words.extend(self.program.iter().cloned());
            return words;
        }
        words.push(tipstaff().into());
        if !self.subcommand.is_empty() {
            words.push(self.subcommand.into());
        }
        words.extend(self.options.iter().cloned());
        if let Some(engine) = self.machine.engine() {
            words.extend(["--engine".into(), engine.into()]);
        }
        if self.report {
            words.extend(["--report".into(), report.into()]);
        }
        if !self.subcommand.is_empty() {
            words.push("--".into());
        }
        words.extend(self.program.iter().cloned());
        words
    }
}

/// Every `@WORK` becomes `work`; bytes that are not UTF-8 stay as they are.
fn replace_work(word: &OsStr, work: &Path) -> OsString {
    match word.to_str() {
        Some(text) => text.replace("@WORK", work.to_str().expect("a path of the kit")).into(),
        None => word.to_owned(),
    }
}

/// Output that arrives while somebody may wait for it.
#[derive(Debug, Clone)]
struct Stream(Arc<(Mutex<Collected>, Condvar)>);

#[derive(Debug, Default)]
struct Collected {
    bytes: Vec<u8>,
    total: u64,
    ended: bool,
}

impl Stream {
    fn collect(mut from: impl Read + Send + 'static) -> Self {
        let stream = Self(Arc::default());
        let shared = stream.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let n = match from.read(&mut buffer) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    other => other.unwrap_or(0),
                };
                let (lock, changed) = &*shared.0;
                let mut collected = lock.lock().expect("no reader panics");
                let room = KEPT - collected.bytes.len();
                collected.bytes.extend_from_slice(&buffer[..n.min(room)]);
                collected.total += n as u64;
                collected.ended = n == 0;
                changed.notify_all();
                if n == 0 {
                    return;
                }
            }
        });
        stream
    }

    /// Waits until `enough` of what was collected, or the end, or `within` is over: then false.
    fn wait(&self, within: Duration, enough: impl Fn(&Collected) -> bool) -> bool {
        let (lock, changed) = &*self.0;
        let collected = lock.lock().expect("no reader panics");
        let waited = changed.wait_timeout_while(collected, within, |now| !now.ended && !enough(now));
        enough(&waited.expect("no reader panics").0)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().expect("no reader panics").bytes).into_owned()
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Started {
    line: String,
    begun: Instant,
    child: Child,
    pidfd: OwnedFd,
    stdout: Stream,
    stderr: Stream,
    held_stdin: Option<std::process::ChildStdin>,
    scratch: Scratch,
    report: PathBuf,
    patience: Duration,
}

impl Started {
    /// Its process id: of the command itself, since the tools before it exec (`inject` alone stays
    /// in between).
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child that nobody has waited for");
    }

    /// Waits until standard output holds `text` at least `times` times.
    #[track_caller]
    pub fn await_output(&self, text: &str, times: usize) {
        let seen = |now: &Collected| String::from_utf8_lossy(&now.bytes).matches(text).count() >= times;
        let arrived = self.stdout.wait(self.patience, seen);
        assert!(
            arrived,
            "{}\n{text:?} did not appear {times} times in the output:\n{}\nstderr:\n{}",
            self.line,
            self.stdout.text(),
            self.stderr.text()
        );
    }

    /// Does standard output hold `text` now?
    pub fn said(&self, text: &str) -> bool {
        self.stdout.text().contains(text)
    }

    /// Has it ended? Waits up to `within` for it.
    pub fn ends(&self, within: Duration) -> bool {
        let begun = Instant::now();
        loop {
            let left = within.saturating_sub(begun.elapsed());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let mut fds = [PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&left)) {
                Ok(ready) => return ready > 0,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("poll: {error}"),
            }
        }
    }

    /// Waits for its end. A command that takes longer than its patience is killed, and the test
    /// fails; so it does when something that the command left behind still holds its output.
    #[track_caller]
    pub fn finish(self) -> Ran {
        let patience = self.patience;
        let ran = self.finish_anyhow();
        ran.check(ran.in_time, format_args!("still running after {patience:?}"));
        ran.check(ran.closed, "the command has ended, but something holds its output open");
        ran
    }

    /// As [`Started::finish`], for tests that judge these two themselves: [`Ran::in_time`],
    /// [`Ran::closed`].
    pub fn finish_anyhow(mut self) -> Ran {
        let in_time = self.ends(self.patience);
        if !in_time {
            self.abandon();
        }
        let status = self.child.wait().expect("own child");
        let elapsed = self.begun.elapsed();
        drop(self.held_stdin.take());
        // Whoever holds our streams after the command's end is something that it left behind.
        let mut closed = true;
        for stream in [&self.stdout, &self.stderr] {
            stream.wait(Duration::from_secs(5), |now| now.ended);
            closed &= stream.0.0.lock().expect("no reader panics").ended;
        }
        let stdout = self.stdout.0.0.lock().expect("no reader panics");
        let stderr = self.stderr.0.0.lock().expect("no reader panics");
        let report =
            fs::read(&self.report).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or(Value::Null);
        Ran {
            command: self.line.clone(),
            status,
            stdout: stdout.bytes.clone(),
            stdout_bytes: stdout.total,
            stderr: stderr.bytes.clone(),
            report,
            elapsed,
            in_time,
            closed,
        }
    }

    /// Kills it and whatever is below it: a test that fails leaves nothing running. Not for tests
    /// of what a kill leaves behind.
    fn abandon(&mut self) {
        let below = crate::descendants(self.pid());
        // Does nothing once the child has been waited for.
        let _ = self.child.kill();
        below.iter().for_each(crate::Process::end);
    }

    /// The directory that the command line calls `@WORK`.
    pub fn work(&self) -> PathBuf {
        self.scratch.join("work")
    }
}

/// A test that fails between start and end leaves no command behind.
impl Drop for Started {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        self.abandon();
        let _ = self.child.wait();
    }
}
