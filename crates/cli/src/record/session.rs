//! One recording, from its start to its end.

use std::ffi::OsString;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tipstaff_record::{Backend, Command, Error, Event, Options, Recorder, Target};
use tipstaff_recording::{Exit, Recording, Run};
use tipstaff_sys::Errno;
use tipstaff_sys::signal::{self, SigSet};

use super::args::Record;
use super::outputs::{Made, Output, Profiles};
use super::{recordings, summary};
use crate::say;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// Cannot be executed; not found.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// What was asked for, looked at before anything starts.
struct Plan<'a> {
    args: &'a Record,
    outputs: Vec<Output>,
    profiles: Profiles,
    /// Runs that were recorded before.
    before: Recording,
}

/// Records; the exit status, or what is wrong.
pub fn run(args: &Record) -> Result<u8, String> {
    let plan = Plan::new(args)?;
    // The terminal's signals are for the program that we start; it gets them from the terminal itself. Of what runs already, we let go on them.
    let all = SigSet::of(&[SIGHUP, SIGINT, SIGQUIT, SIGTERM]);
    let mask = signal::block(all);
    let target = target(args, mask)?;
    let launched = matches!(target, Target::Command(_));
    let (events, told) = mpsc::channel();
    watch_signals(all, events.clone())?;
    let options = Options {
        backend: args.backend.map(Into::into),
        results: args.results,
        files: args.files || plan.outputs.iter().any(Output::wants_files),
        ..Options::default()
    };
    let recorder = match Recorder::start(&target, options, &events) {
        Ok(recorder) => recorder,
        Err(Error::Exec { program, errno }) => return Ok(not_executed(&program.to_string_lossy(), errno)),
        Err(e) => return Err(e.to_string()),
    };
    if !args.quiet {
        for passed in recorder.passed_over() {
            say::note(format_args!(
                "{} cannot be had ({}); recording by {}",
                passed.backend.as_str(),
                passed.why,
                recorder.backend().as_str()
            ));
        }
    }
    if args.results && recorder.backend() == Backend::Notify {
        say::note("notifications do not show how calls return: results are not recorded");
    }
    let ended = follow(args.flush, &recorder, &told, launched, &|run| plan.flush(run))?;
    let run = recorder.stop();
    match ended {
        End::NotExecuted(errno) => {
            let program = args.argv.first().map(|program| program.to_string_lossy().into_owned());
            Ok(not_executed(&program.unwrap_or_default(), errno))
        }
        End::Broken(why) => {
            plan.finish(run)?;
            Err(format!("the recording was broken off: {why}"))
        }
        End::Over => {
            let exit = run.exit.clone();
            plan.finish(run)?;
            match exit {
                _ if !launched => Ok(0),
                Some(Exit::Code(code)) => Ok(code),
                Some(Exit::Signal(signal)) => Ok(128 + signal.number as u8),
                None => Err("nobody can say how the program ended".into()),
            }
        }
    }
}

/// One run of a program, or of a container until it ends or somebody asks to stop; for `verify` and `heal`.
pub fn once(argv: &[OsString], container: Option<&str>, options: Options) -> Result<Run, String> {
    let all = SigSet::of(&[SIGHUP, SIGINT, SIGQUIT, SIGTERM]);
    let mask = signal::block(all);
    let target = match (argv.split_first(), container) {
        (Some(_), Some(_)) => {
            return Err("--container: the container is what is looked at; leave the program out".into());
        }
        (Some((program, rest)), None) => {
            Target::Command(Command { program: program.clone(), args: rest.to_vec(), mask })
        }
        (None, Some(id)) => Target::Container(tipstaff_record::container(id).map_err(|e| format!("--container {e}"))?),
        (None, None) => {
            return Err(
                "nothing to look at: name a program after `--`, or use --recording FILE or --container ID".into()
            );
        }
    };
    let launched = container.is_none();
    let (events, told) = mpsc::channel();
    watch_signals(all, events.clone())?;
    let recorder = Recorder::start(&target, options, &events).map_err(|e| e.to_string())?;
    if let Some(id) = container {
        say::note(format_args!("looking at {id} by {}, until it ends or ^C", recorder.backend().as_str()));
    }
    let ended = follow(None, &recorder, &told, launched, &|_| ())?;
    let run = recorder.stop();
    signal::set_mask(mask);
    match ended {
        End::Over => Ok(run),
        End::NotExecuted(errno) => {
            let text = tipstaff_abi::errno::text(errno.0).unwrap_or("unknown error");
            Err(format!("{:?}: {text}", argv.first().map(|program| program.to_string_lossy()).unwrap_or_default()))
        }
        End::Broken(why) => Err(format!("the recording was broken off: {why}")),
    }
}

enum End {
    Over,
    NotExecuted(Errno),
    Broken(String),
}

/// Until there is nothing left to record, or somebody asks to stop.
fn follow(
    every: Option<Duration>,
    recorder: &Recorder,
    told: &Receiver<Event>,
    launched: bool,
    keep: &dyn Fn(Run),
) -> Result<End, String> {
    let mut flush = every.map(|every| Instant::now() + every);
    let (mut asked, mut ended) = (false, false);
    loop {
        let event = match flush {
            Some(at) => told.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
            Ok(Event::Empty) => return Ok(End::Over),
            Ok(Event::NotExecuted(errno)) => return Ok(End::NotExecuted(errno)),
            Ok(Event::Broken(why)) => return Ok(End::Broken(why)),
            Ok(Event::Ended(_)) => ended = true,
            // What runs already goes on without us, and so does what a command has left behind.
            Ok(Event::Signal(_)) if !launched || ended => return Ok(End::Over),
            // The terminal has told the command itself.
            Ok(Event::Signal(SIGINT | SIGQUIT)) => {}
            // Handed on; whoever asks twice means it.
            Ok(Event::Signal(signal)) => {
                recorder.signal(if std::mem::replace(&mut asked, true) { SIGKILL } else { signal })
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => {
                keep(recorder.snapshot());
                flush = every.map(|every| Instant::now() + every);
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(End::Over),
        }
    }
}

impl<'a> Plan<'a> {
    fn new(args: &'a Record) -> Result<Self, String> {
        super::outputs::apart(args.output.iter().chain(&args.recording))?;
        let mut outputs = Output::open_all(&args.output, args.format)?;
        if let Some(path) = &args.recording {
            outputs.push(Output::open(path, Some(super::args::Format::Recording))?);
        }
        let before = match &args.store {
            Some(store) => recordings::read_store(store)?,
            None => Recording::default(),
        };
        Ok(Self { args, outputs, profiles: Profiles::new(&args.profile)?, before })
    }

    /// Writes what there is so far. What cannot be written is said, and the recording goes on.
    fn flush(&self, run: Run) {
        let recording = self.with(run.clone());
        let mut made = Made::default();
        let files = self.outputs.iter().filter(|output| output.is_file());
        let written = files.map(|output| output.write(&recording, &self.profiles, &mut made));
        let stored = self.args.store.as_deref().map(|store| recordings::keep(store, run));
        for wrong in written.chain(stored).filter_map(Result::err) {
            say::note(wrong);
        }
    }

    fn with(&self, run: Run) -> Recording {
        self.before.clone().merge(run.into())
    }

    /// Writes everything. All that can be written is; then the first fault is told.
    fn finish(&self, run: Run) -> Result<(), String> {
        let recording = self.with(run.clone());
        let mut made = Made::default();
        let mut wrong = Vec::new();
        if let Some(store) = &self.args.store {
            wrong.extend(recordings::keep(store, run.clone()).err());
        }
        for output in &self.outputs {
            wrong.extend(output.write(&recording, &self.profiles, &mut made).err());
        }
        if !self.args.quiet {
            summary::run(&run, &recording, &self.profiles, &made);
        }
        wrong.into_iter().next().map_or(Ok(()), Err)
    }
}

fn target(args: &Record, mask: SigSet) -> Result<Target, String> {
    let others = [!args.attach.is_empty(), args.cgroup.is_some(), args.container.is_some()];
    let running = others.into_iter().any(|there| there);
    match args.argv.split_first() {
        Some(_) if running => {
            Err("what runs already is recorded as it is: leave the program out, or the other target".into())
        }
        Some((program, rest)) => Ok(Target::Command(Command { program: program.clone(), args: rest.to_vec(), mask })),
        None if !running => {
            Err("nothing to record: name a program after `--`, or use -p PID, --cgroup PATH or --container ID".into())
        }
        None => {
            if let Some(path) = &args.cgroup {
                return Ok(Target::Cgroup(path.clone()));
            }
            if let Some(id) = &args.container {
                return tipstaff_record::container(id).map(Target::Container).map_err(|e| format!("--container {e}"));
            }
            Ok(Target::Processes(pids(&args.attach)?))
        }
    }
}

fn pids(lists: &[String]) -> Result<Vec<i32>, String> {
    let mut pids = Vec::new();
    for word in lists.iter().flat_map(|list| list.split([',', ' '])).filter(|word| !word.is_empty()) {
        let pid = word.parse().ok().filter(|&pid: &i32| pid > 0);
        let pid = pid.ok_or_else(|| format!("-p {word}: no process id; write a number, or several with commas"))?;
        if !pids.contains(&pid) {
            pids.push(pid);
        }
    }
    if pids.is_empty() { Err("-p: no process id".into()) } else { Ok(pids) }
}

fn not_executed(program: &str, errno: Errno) -> u8 {
    say::error(format_args!("{program:?}: {}", tipstaff_abi::errno::text(errno.0).unwrap_or("unknown error")));
    if errno == Errno::NOENT { NOT_FOUND } else { NOT_EXECUTABLE }
}

/// Tells of signals, which are blocked.
fn watch_signals(signals: SigSet, events: Sender<Event>) -> Result<(), String> {
    let fd = signal::fd(signals).map_err(|e| format!("signalfd: {e}"))?;
    std::thread::spawn(move || {
        loop {
            // EINTR, at most: then it is asked again.
            let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], None);
            while let Some(signal) = signal::next(std::os::fd::AsFd::as_fd(&fd)) {
                if events.send(Event::Signal(signal)).is_err() {
                    return;
                }
            }
        }
    });
    Ok(())
}
