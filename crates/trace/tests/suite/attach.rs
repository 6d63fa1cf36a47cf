//! Programs that ran before, and run on afterwards.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tipstaff_testkit::Signal;
use tipstaff_trace::{AttachError, Config, Reason, Tracer, Turn};

use crate::kit::{Recorder, What};

/// A program whose parent is a shell: what a tracer reaps is then told to the parent, too, which would not be so for a process of ours.
struct Other {
    pid: i32,
    shell: Child,
    output: BufReader<ChildStdout>,
    text: String,
}

impl Other {
    /// Starts it and waits until it has said "ready".
    fn start(guest: &str, args: &[&str]) -> Self {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "\"$0\" \"$@\" & echo $!; wait $!"])
            .arg(tipstaff_testkit::guest(guest))
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        let mut output = BufReader::new(shell.stdout.take().expect("stdout"));
        let (mut pid, mut text) = (0, String::new());
        while pid == 0 || text.is_empty() {
            let mut line = String::new();
            assert!(output.read_line(&mut line).expect("a line") > 0);
            match line.trim().parse() {
                Ok(number) => pid = number,
                Err(_) => text.push_str(&line),
            }
        }
        Self { pid, shell, output, text }
    }

    /// Its status as the shell tells it (128 + N for signal N), and its output.
    fn end(mut self) -> (i32, String) {
        self.output.read_to_string(&mut self.text).expect("output");
        (self.shell.wait().expect("wait").code().expect("a code"), self.text)
    }

    fn kill(&self, signal: Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_raw(self.pid).expect("pid"), signal).expect("kill");
    }

    fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("stat");
        stat[stat.rfind(')').expect("a name") + 2..].chars().next().expect("a state")
    }

    /// Waits until /proc shows this state.
    fn await_state(&self, state: char) {
        for _ in 0..30_000 {
            if self.state() == state {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("{} is {}, not {state}", self.pid, self.state());
    }
}

/// Handles changes until something was seen; false if the last tracee has ended before.
fn until(tracer: &mut Tracer, seen: &mut Recorder, wanted: impl Fn(&What) -> bool) -> bool {
    while seen.count(&wanted) == 0 {
        match tracer.step(seen) {
            Ok(Turn::Handled) => {}
            other => {
                assert_eq!(other, Ok(Turn::Empty));
                return false;
            }
        }
    }
    true
}

/// Attaches, unless it has ended already.
fn attach(tracer: &mut Tracer, seen: &mut Recorder, pid: i32) -> bool {
    match tracer.attach(pid, seen) {
        Err(AttachError::Gone(_)) => false,
        other => {
            other.expect("attach");
            true
        }
    }
}

/// Plays with a nap of so many milliseconds, and with a longer one where the machine is slower than that: then the first is over too early.
fn amid_a_nap(ms: u64, play: impl Fn(&Other) -> bool) {
    let amid = [ms, 20 * ms, 200 * ms].into_iter().any(|ms| {
        let other = Other::start("napper", &[&ms.to_string()]);
        let amid = play(&other);
        let (status, output) = other.end();
        assert_eq!((status, output.as_str()), (0, "ready\nOK long\n"));
        amid
    });
    assert!(amid, "it is always over already");
}

#[test]
fn a_sleeping_program_sleeps_on_through_attach_and_detach() {
    amid_a_nap(300, |other| {
        (0..5).all(|_| {
            let mut tracer = Tracer::new(Config::default());
            let mut seen = Recorder::default();
            if !attach(&mut tracer, &mut seen, other.pid)
                || !until(&mut tracer, &mut seen, |what| *what == What::Interrupted(Reason::Attached))
            {
                return false;
            }
            assert_eq!(seen.0[0].what, What::Attached);
            tracer.detach(&mut seen).expect("detach");
            assert!(tracer.tasks().is_empty());
            seen.end(other.pid) == Some(tipstaff_trace::End::Detached)
        })
    });
}

#[test]
fn calls_are_seen_after_an_attach() {
    amid_a_nap(200, |other| {
        let mut tracer = Tracer::new(Config::default());
        let mut seen = Recorder::default();
        if !attach(&mut tracer, &mut seen, other.pid) {
            return false;
        }
        assert_eq!(tracer.run(&mut seen), Ok(Turn::Empty));
        assert_eq!(seen.end(other.pid), Some(tipstaff_trace::End::Exited(0)));
        // The rest of the sleep is a call of its own: nanosleep(2) on restarts.
        let naps = seen.count(|what| matches!(what, What::Entered("restart_syscall" | "nanosleep")));
        assert!(naps <= 1, "{seen:#?}");
        naps == 1
    });
}

#[test]
fn a_stopped_program_stays_stopped() {
    let other = Other::start("napper", &["3000"]);
    other.kill(Signal::STOP);
    other.await_state('T');
    let mut tracer = Tracer::new(Config::default());
    let mut seen = Recorder::default();
    tracer.attach(other.pid, &mut seen).expect("attach");
    assert!(until(&mut tracer, &mut seen, |what| matches!(what, What::Group(19))));
    tracer.detach(&mut seen).expect("detach");
    other.await_state('T');
    other.kill(Signal::CONT);
    assert_eq!(other.end().1, "ready\nOK long\n");
}

#[test]
fn every_thread_is_attached_and_let_go() {
    let other = Other::start("threads", &["8"]);
    let mut tracer = Tracer::new(Config::default());
    let mut seen = Recorder::default();
    tracer.attach(other.pid, &mut seen).expect("attach");
    assert_eq!(seen.count(|what| *what == What::Attached), 9);
    while seen.count(|what| *what == What::Interrupted(Reason::Attached)) < 9 {
        tracer.step(&mut seen).expect("step");
    }
    for task in std::fs::read_dir(format!("/proc/{}/task", other.pid)).expect("tasks").flatten() {
        let status = std::fs::read_to_string(task.path().join("status")).expect("status");
        assert!(!status.contains("TracerPid:\t0\n"), "{status}");
    }
    tracer.detach(&mut seen).expect("detach");
    assert_eq!(seen.count(|what| matches!(what, What::End(tipstaff_trace::End::Detached, _))), 9);
    other.kill(Signal::TERM);
    assert_eq!(other.end().0, 128 + 15);
}

#[test]
fn a_signal_on_its_way_is_not_lost() {
    for _ in 0..20 {
        let other = Other::start("napper", &["60000"]);
        let mut tracer = Tracer::new(Config::default());
        let mut seen = Recorder::default();
        tracer.attach(other.pid, &mut seen).expect("attach");
        other.kill(Signal::TERM);
        tracer.detach(&mut seen).expect("detach");
        assert_eq!(other.end().0, 128 + 15);
    }
}

#[test]
fn refusals_say_why() {
    let mut tracer = Tracer::new(Config::default());
    let mut seen = Recorder::default();
    let me = std::process::id() as i32;
    assert_eq!(tracer.attach(me, &mut seen), Err(AttachError::Itself(me)));
    let other = Other::start("napper", &["60000"]);
    {
        let (pid, (tell, told)) = (other.pid, mpsc::channel());
        let (go, wait) = mpsc::channel::<()>();
        let second = std::thread::spawn(move || {
            let mut tracer = Tracer::new(Config::default());
            let mut seen = Recorder::default();
            tracer.attach(pid, &mut seen).expect("attach");
            tell.send(rustix::thread::gettid().as_raw_nonzero().get()).expect("told");
            wait.recv().expect("go");
            tracer.detach(&mut seen).expect("detach");
        });
        let by = told.recv().expect("a tracer");
        match tracer.attach(pid, &mut seen) {
            Err(AttachError::Traced { pid: p, by: b, name: Some(_) }) => assert_eq!((p, b), (pid, by)),
            other => panic!("{other:?}"),
        }
        go.send(()).expect("go");
        second.join().expect("join");
    }
    let pid = other.pid;
    other.kill(Signal::TERM);
    other.end();
    assert_eq!(tracer.attach(pid, &mut seen), Err(AttachError::Gone(pid)));
    // An ordinary user may not trace the first process of the system; root may, unless it is outside.
    if rustix::process::geteuid().as_raw() != 0 {
        assert!(matches!(tracer.attach(1, &mut seen), Err(AttachError::OtherUser { pid: 1, .. })));
    }
    assert!(seen.0.is_empty() && tracer.tasks().is_empty());
}
