//! Recorder, as a program uses it.

use std::process::{Command as Std, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tipstaff_record::{Backend, Command, Error, Event, Options, Recorder, Target};
use tipstaff_recording::{Exit, Reason};
use tipstaff_sys::signal::SigSet;
use tipstaff_testkit::skip;

fn only(backend: Backend) -> Options {
    Options { backend: Some(backend), ..Options::default() }
}

fn command(program: &str, args: &[&str]) -> Target {
    let args = args.iter().map(Into::into).collect();
    Target::Command(Command { program: program.into(), args, mask: SigSet::default() })
}

/// Starts, or says why not here.
fn start(target: &Target, options: Options) -> Option<(Recorder, mpsc::Receiver<Event>)> {
    let (events, told) = mpsc::channel();
    match Recorder::start(target, options, &events) {
        Ok(recorder) => Some((recorder, told)),
        Err(Error::NoBackend(passed)) if options.backend == Some(Backend::Ebpf) => {
            tipstaff_testkit::note_skip(&passed[0].why);
            None
        }
        Err(e) => panic!("{e}"),
    }
}

#[test]
fn a_command_tells_its_end_and_then_that_nothing_is_left() {
    for backend in Backend::ALL {
        let Some((recorder, told)) = start(&command("sh", &["-c", "exit 3"]), only(backend)) else { continue };
        let wait = Duration::from_secs(60);
        assert_eq!(told.recv_timeout(wait), Ok(Event::Ended(Some(Exit::Code(3)))), "{backend:?}");
        assert_eq!(told.recv_timeout(wait), Ok(Event::Empty), "{backend:?}");
        let run = recorder.stop();
        assert_eq!(run.exit, Some(Exit::Code(3)), "{backend:?}");
        assert!(
            run.completeness.is_complete()
                || run.completeness.shortfalls().all(|s| s.reason == Reason::AlreadyFiltered)
        );
        assert!(run.calls.iter().any(|call| call.name == "exit_group"), "{backend:?}");
    }
}

#[test]
fn snapshots_grow_and_a_stop_leaves_the_target_running() {
    for backend in [Backend::Ebpf, Backend::Ptrace] {
        let mut child =
            Std::new("sh").args(["-c", "while :; do sleep 0.02; done"]).stdout(Stdio::null()).spawn().expect("a child");
        let target = Target::Processes(vec![child.id().cast_signed()]);
        let Some((recorder, _told)) = start(&target, only(backend)) else {
            child.kill().expect("kill");
            child.wait().expect("wait");
            continue;
        };
        let count = |run: &tipstaff_recording::Run| run.calls.iter().map(|call| call.count()).sum::<u64>();
        let later_than = |seen: u64| {
            let begun = Instant::now();
            loop {
                let run = recorder.snapshot();
                if count(&run) > seen {
                    return run;
                }
                assert!(begun.elapsed() < Duration::from_secs(60), "{backend:?}: no more than {seen}");
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        let first = later_than(0);
        let second = later_than(count(&first));
        let run = recorder.stop();
        assert!(count(&run) >= count(&second), "{backend:?}: {} then {}", count(&second), count(&run));
        assert_eq!(first.id, run.id);
        let has = |reason| run.completeness.shortfalls().any(|s| s.reason == reason);
        assert!(has(Reason::AttachedRunning) && has(Reason::StillRunning), "{backend:?}: {:?}", run.completeness);
        assert_eq!(child.try_wait().expect("wait"), None, "{backend:?}: the target goes on");
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
}

#[test]
fn a_dropped_recorder_leaves_nobody_of_a_command() {
    for backend in [Backend::Ptrace, Backend::Notify] {
        let mark = tipstaff_testkit::marker();
        let target = command("sh", &["-c", &format!("sh -c ': {mark}; sleep 1000; :' & : {mark}; wait")]);
        let Some((recorder, _told)) = start(&target, only(backend)) else { continue };
        let begun = Instant::now();
        while tipstaff_testkit::survivors(&mark).len() < 2 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{backend:?}: it runs");
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(recorder);
        let left = tipstaff_testkit::await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
        assert!(left.is_empty(), "{backend:?}: {left:?}");
    }
}

#[test]
fn who_is_not_there_is_told_once_and_by_nobody_else() {
    let (events, _told) = mpsc::channel();
    let gone = Recorder::start(&Target::Processes(vec![i32::MAX - 1]), Options::default(), &events);
    assert!(matches!(gone, Err(Error::Target(_))), "{gone:?}");
    let missing = Recorder::start(&command("no-such-program", &[]), Options::default(), &events);
    assert!(matches!(missing, Err(Error::Exec { .. })), "{missing:?}");
    // What only the kernel can say is told by whoever asks it, now or a moment later.
    for backend in Backend::ALL {
        let (events, told) = mpsc::channel();
        match Recorder::start(&command("/nowhere/at-all", &[]), only(backend), &events) {
            Err(Error::Exec { .. }) => {}
            Err(Error::NoBackend(_)) if backend == Backend::Ebpf => {}
            Ok(_recorder) => {
                let event = told.recv_timeout(Duration::from_secs(60)).expect("an event");
                assert!(matches!(event, Event::NotExecuted(_)), "{backend:?}: {event:?}");
            }
            Err(e) => panic!("{backend:?}: {e}"),
        }
    }
    let running = Recorder::start(&Target::Processes(vec![std::process::id() as i32]), only(Backend::Notify), &events);
    let Err(Error::NoBackend(passed)) = running else { panic!("{running:?}") };
    assert_eq!(passed.len(), 1);
}

#[test]
fn recordings_of_one_process_side_by_side_keep_apart() {
    let first = start(&command("sh", &["-c", "sleep 0.1; mkdir /nowhere/x 2>/dev/null; true"]), Options::default());
    let second = start(&command("sh", &["-c", "sleep 0.1; rmdir /nowhere/x 2>/dev/null; true"]), Options::default());
    let (Some((first, told_first)), Some((second, told_second))) = (first, second) else { skip!("no backend") };
    for told in [told_first, told_second] {
        while told.recv_timeout(Duration::from_secs(60)).expect("an end") != Event::Empty {}
    }
    let (first, second) = (first.stop(), second.stop());
    let has = |run: &tipstaff_recording::Run, name: &str| run.calls.iter().any(|call| call.name == name);
    assert!(has(&first, "mkdir") && !has(&first, "rmdir") && has(&second, "rmdir") && !has(&second, "mkdir"));
    assert_ne!(first.id, second.id);
}
