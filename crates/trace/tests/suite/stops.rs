//! One test for each kind of stop. The guest's own exit status says that it saw what it would see untraced.

use tipstaff_trace::{Config, End, ForkKind, Observer, Reason, Resume, SigInfo, Stop, Task};

use crate::kit::{Ran, What, guest, run, run_with};

const SIGTRAP: i32 = 5;
const SIGKILL: i32 = 9;
const SIGUSR1: i32 = 10;
const SIGCHLD: i32 = 17;
const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;
const SIGURG: i32 = 23;
const SI_QUEUE: i32 = -1;
const SI_TKILL: i32 = -6;

fn way(name: &str) -> Ran {
    let ran = run(Config::default(), guest("lifecycle").arg(name));
    ran.seen.expect_whole();
    assert_eq!(ran.end(), Some(End::Exited(0)), "{:#?}", ran.seen);
    ran
}

/// The one child that was made.
fn child(ran: &Ran, kind: ForkKind) -> i32 {
    let made: Vec<_> = ran
        .seen
        .0
        .iter()
        .filter_map(|seen| match seen.what {
            What::Forked(k, child) if k == kind => Some((seen.tid, child)),
            _ => None,
        })
        .collect();
    assert_eq!(made.len(), 1, "{:#?}", ran.seen);
    assert_eq!(made[0].0, ran.pid);
    made[0].1
}

#[test]
fn the_first_event_is_the_exec_itself() {
    let ran = way("fork");
    let first: Vec<_> = ran.seen.0.iter().take(3).map(|seen| seen.what.clone()).collect();
    assert_eq!(first, [What::Entered("execve"), What::Executed(ran.pid), What::Left("execve", 0)]);
}

#[test]
fn fork_and_the_child_after_it() {
    let ran = way("fork");
    let child = child(&ran, ForkKind::Fork);
    let forked = ran.seen.position(ran.pid, |what| matches!(what, What::Forked(..)));
    let first = ran.seen.0.iter().position(|seen| seen.tid == child);
    assert!(forked < first, "the child comes after the fork");
    assert_eq!(ran.seen.0[first.expect("a child")].what, What::Interrupted(Reason::New));
    assert_eq!(ran.seen.end(child), Some(End::Exited(3)));
    // fork's return in the child has no entry there, and is not shown.
    let own = ran.seen.0.iter().filter(|seen| seen.tid == child).nth(1).expect("its first call");
    assert!(matches!(own.what, What::Entered(_)), "{own:?}");
    // SIGCHLD is shown although nobody handles it.
    assert!(ran.seen.position(ran.pid, |what| matches!(what, What::Signal(SIGCHLD, _))).is_some());
}

#[test]
fn vfork_and_its_end() {
    let ran = way("vfork");
    let child = child(&ran, ForkKind::Vfork);
    let executed = ran.seen.position(child, |what| *what == What::Executed(child)).expect("the child executes");
    let done = ran.seen.position(ran.pid, |what| *what == What::VforkDone(child)).expect("vfork's end");
    assert!(executed < ran.seen.0.len() && done < ran.seen.0.len());
    assert_eq!(ran.seen.end(child), Some(End::Exited(0)));
}

#[test]
fn a_thread_belongs_to_its_process() {
    let ran = way("thread");
    let thread = child(&ran, ForkKind::Clone);
    let seen: Vec<_> = ran.seen.0.iter().filter(|seen| seen.tid == thread).collect();
    assert!(seen.iter().all(|seen| seen.process == ran.pid), "{seen:?}");
    assert!(seen.iter().any(|seen| seen.what == What::Entered("getppid")));
    assert_eq!(ran.seen.end(thread), Some(End::Exited(0)));
}

#[test]
fn signals_arrive_with_their_siginfo_and_ignored_ones_are_shown() {
    // The handler checks value, code and sender.
    let ran = way("signal");
    assert!(ran.seen.position(ran.pid, |what| *what == What::Signal(SIGUSR1, SI_QUEUE)).is_some());
    assert!(ran.seen.position(ran.pid, |what| *what == What::Signal(SIGURG, SI_TKILL)).is_some());
}

#[test]
fn a_genuine_trap_is_no_stop_of_ours() {
    let ran = way("trap");
    assert_eq!(ran.seen.count(|what| *what == What::Signal(SIGTRAP, SI_TKILL)), 1);
}

#[test]
fn a_group_stop_stops_and_its_parent_sees_it() {
    let ran = way("stop");
    let child = child(&ran, ForkKind::Fork);
    let at = |what: What| ran.seen.position(child, |seen| *seen == what).unwrap_or_else(|| panic!("{what:?}"));
    let signal = at(What::Signal(SIGSTOP, SI_TKILL));
    let group = at(What::Group(SIGSTOP));
    let continued = at(What::Interrupted(Reason::Continued));
    let cont = at(What::Signal(SIGCONT, 0));
    assert!(signal < group && group < continued && continued < cont, "{:#?}", ran.seen);
    assert_eq!(ran.seen.end(child), Some(End::Exited(5)));
}

#[test]
fn a_kill_is_told_with_the_call_that_never_returned() {
    let ran = way("killed");
    let child = child(&ran, ForkKind::Fork);
    assert_eq!(ran.seen.end(child), Some(End::Killed { signal: SIGKILL, core: false }));
}

#[test]
fn a_leader_that_ends_first_does_not_end_its_process() {
    let ran = run(Config::default(), guest("leaderexit").arg("7"));
    ran.seen.expect_whole();
    assert_eq!(ran.end(), Some(End::Exited(7)));
    assert_eq!(ran.output, "done\n");
    // The kernel tells of the leader last.
    assert!(matches!(ran.seen.0.last(), Some(last) if last.tid == ran.pid));
}

/// What becomes of SIGUSR1.
enum Change {
    Drop,
    Replace(i32),
    Value(i32),
}

struct Signals {
    change: Change,
    end: Option<End>,
}

impl Observer for Signals {
    fn on_stop(&mut self, _: &Task, stop: &mut Stop) -> Resume {
        if let Stop::Signal(s) = stop
            && s.signal() == SIGUSR1
        {
            assert_eq!(s.delivers(), Some(SIGUSR1));
            match self.change {
                Change::Drop => s.deliver(None).expect("nothing"),
                Change::Replace(signal) => {
                    assert!(s.deliver(Some(65)).is_err() && s.deliver(Some(0)).is_err());
                    s.deliver(Some(signal)).expect("a signal");
                }
                Change::Value(value) => {
                    let info = s.info().expect("siginfo");
                    assert_eq!((info.value() as i32, info.signal()), (41, SIGUSR1));
                    let mut bytes = *info.bytes();
                    bytes[24..28].copy_from_slice(&value.to_ne_bytes());
                    s.set_info(&SigInfo::from_bytes(bytes)).expect("set");
                }
            }
        }
        Resume::AsBefore
    }

    fn on_end(&mut self, _: &Task, end: End) {
        self.end = Some(end);
    }
}

#[test]
fn a_signal_can_be_dropped_replaced_and_changed() {
    let end = |change| {
        let mut signals = Signals { change, end: None };
        run_with(Config::default(), guest("lifecycle").arg("signal"), &mut signals);
        signals.end
    };
    // The guest adds one to the value for the right sender, and wants 42.
    assert_eq!(end(Change::Value(41)), Some(End::Exited(0)));
    assert_eq!(end(Change::Value(40)), Some(End::Exited(1)));
    assert_eq!(end(Change::Drop), Some(End::Exited(1)));
    assert_eq!(end(Change::Replace(15)), Some(End::Killed { signal: 15, core: false }));
}
