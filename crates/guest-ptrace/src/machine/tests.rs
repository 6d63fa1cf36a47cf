use super::*;

const TRACER: i32 = 10;
const TID: i32 = 20;

fn machine(seized: bool, options: u32) -> Machine {
    let mut machine = Machine::default();
    machine.attach(TID, tracee(seized, options));
    machine
}

fn tracee(seized: bool, options: u32) -> Tracee {
    Tracee {
        process: TID,
        tracer: TRACER,
        tracer_process: TRACER,
        seized,
        options,
        mode: Go::Free,
        stop: None,
        listening: false,
        code: None,
        trap: 0,
        interrupted: false,
        stopping: false,
        leads: false,
        grouped: false,
        known: false,
        fresh: false,
        child: true,
        number: 2,
        other: 0,
        since: 0,
        uid: 0,
        usage: [0; 18],
    }
}

fn any() -> Select {
    Select { who: Who::Any, process: TRACER, thread: None, exits: true }
}

fn nobody(_: i32, _: i32) -> bool {
    false
}

fn status(machine: &mut Machine) -> Option<i32> {
    machine.report(&any(), false, &nobody).map(|report| report.status)
}

#[test]
fn a_stop_is_told_once_and_requests_need_it() {
    let mut m = machine(false, 0);
    assert_eq!(m.request(TRACER, 12, Some(TID), 0, 0), failed(ESRCH), "it runs");
    assert_eq!(m.stopped(TID, Stop::Signal(10), false), Fate::Show);
    assert_eq!(m.request(11, 12, Some(TID), 0, 0), failed(ESRCH), "another thread than the tracer");
    assert_eq!(
        m.request(TRACER, 12, Some(TID), 0, 0),
        Step::Move(Request::Fetch(tipstaff_sys::ptrace_copy::Fetch::Registers))
    );
    assert!(m.report(&any(), true, &nobody).is_some(), "WNOWAIT");
    assert_eq!(status(&mut m), Some(10 << 8 | 0x7f));
    assert_eq!(status(&mut m), None);
    assert_eq!(m.request(TRACER, 7, Some(TID), 0, 65), failed(EIO), "no such signal");
    let resume = Step::Resume { go: Go::Free, signal: 12, from: Stop::Signal(10) };
    assert_eq!(m.request(TRACER, 7, Some(TID), 0, 12), resume);
    assert_eq!(m.request(TRACER, 7, Some(TID), 0, 0), failed(ESRCH), "it runs again");
    assert_eq!(m.request(TRACER, 9999, Some(TID), 0, 0), failed(ESRCH), "before the number is looked at");
    m.stopped(TID, Stop::Signal(10), false);
    assert_eq!(m.request(TRACER, 9999, Some(TID), 0, 0), failed(EIO));
    assert_eq!(m.request(TRACER, 7, None, 0, 0), failed(ESRCH));
}

#[test]
fn which_stops_are_shown_is_for_mode_and_options() {
    let mut m = machine(false, option::TRACECLONE);
    for hidden in [Stop::Entry, Stop::Exit, Stop::Seccomp, Stop::Event(event::FORK), Stop::Trap] {
        assert_eq!(m.stopped(TID, hidden, false), Fate::Pass, "{hidden:?}");
    }
    assert_eq!(m.stopped(TID, Stop::Event(event::CLONE), false), Fate::Show);
    assert_eq!(status(&mut m), Some(0x3057f));
    m.request(TRACER, 24, Some(TID), 0, 0);
    assert_eq!(m.stopped(TID, Stop::Entry, false), Fate::Show);
    assert_eq!(status(&mut m), Some(0x057f));
    m.request(TRACER, 0x4200, Some(TID), 0, 1);
    m.request(TRACER, 24, Some(TID), 0, 0);
    assert_eq!(m.stopped(TID, Stop::Exit, false), Fate::Show);
    assert_eq!(status(&mut m), Some(0x857f), "TRACESYSGOOD");
    m.request(TRACER, 31, Some(TID), 0, 0);
    assert_eq!(m.stopped(TID, Stop::Exit, false), Fate::Pass, "SYSEMU has no exit");
    assert_eq!(m.stopped(TID, Stop::Entry, false), Fate::Show);
}

#[test]
fn an_interrupt_is_answered_by_one_stop() {
    let mut m = machine(false, 0);
    assert_eq!(m.request(TRACER, 0x4207, Some(TID), 0, 0), failed(EIO), "not seized");
    let mut m = machine(true, 0);
    assert_eq!(m.stopped(TID, Stop::Trap, true), Fate::Pass, "our own");
    assert_eq!(m.request(TRACER, 0x4207, Some(TID), 0, 0), Step::Interrupt);
    assert_eq!(m.stopped(TID, Stop::Event(event::FORK), false), Fate::Pass, "not shown");
    assert!(m.tracee(TID).is_some_and(|tracee| tracee.interrupted), "it is still owed");
    assert_eq!(m.stopped(TID, Stop::Trap, true), Fate::Show);
    assert_eq!(status(&mut m), Some(0x80057f));
    m.request(TRACER, 7, Some(TID), 0, 0);
    assert_eq!(m.stopped(TID, Stop::Trap, true), Fate::Pass);
}

#[test]
fn group_stops_and_listen() {
    let mut m = machine(false, 0);
    m.stopped(TID, Stop::Group(19), false);
    assert_eq!(status(&mut m), Some(0x137f), "attached");
    assert_eq!(m.request(TRACER, 0x4208, Some(TID), 0, 0), failed(EIO));
    let mut m = machine(true, 0);
    m.stopped(TID, Stop::Group(19), false);
    assert_eq!(status(&mut m), Some(0x80137f), "seized");
    assert_eq!(m.request(TRACER, 0x4208, Some(TID), 0, 0), Step::Listen);
    assert_eq!(m.request(TRACER, 12, Some(TID), 0, 0), failed(ESRCH), "listening is no stop for requests");
    assert_eq!(m.stopped(TID, Stop::Trap, false), Fate::Show, "SIGCONT");
    assert_eq!(status(&mut m), Some(0x80057f));
    m.stopped(TID, Stop::Signal(10), false);
    assert_eq!(m.request(TRACER, 0x4208, Some(TID), 0, 0), failed(EIO), "not in a signal stop");
}

#[test]
fn children_inherit_by_option_or_flag() {
    for (options, event, untraced, traced, expected) in [
        (option::TRACEFORK, event::FORK, false, false, (true, true)),
        (option::TRACEFORK, event::CLONE, false, false, (false, false)),
        (option::TRACEFORK, event::FORK, true, false, (false, false)),
        (0, event::CLONE, false, true, (true, false)),
        (0, event::CLONE, true, true, (true, false)),
        (option::TRACECLONE, event::CLONE, true, true, (true, false)),
    ] {
        let mut m = machine(true, options);
        assert_eq!(m.born(TID, 30, event, untraced, traced), expected);
        let child = m.tracee(30);
        assert_eq!(child.map(|c| (c.seized, c.options, c.tracer)), expected.0.then_some((true, options, TRACER)));
        if expected.0 {
            assert_eq!(m.stopped(30, Stop::Trap, true), Fate::Show, "seized: EVENT_STOP");
        }
    }
    let mut m = machine(false, option::TRACEFORK);
    m.born(TID, 30, event::FORK, false, false);
    assert_eq!(m.stopped(30, Stop::Trap, false), Fate::FirstStop);
    assert_eq!(m.stopped(30, Stop::Signal(19), false), Fate::Show);
}

#[test]
fn options_that_there_are_not() {
    let mut m = machine(false, 0);
    m.stopped(TID, Stop::Signal(5), false);
    assert_eq!(m.request(TRACER, 0x4200, Some(TID), 0, 1 << 8), failed(tipstaff_abi::errno::EINVAL));
    assert_eq!(m.request(TRACER, 0x4200, Some(TID), 0, 1 << 21), failed(tipstaff_abi::errno::EPERM));
    assert_eq!(m.request(TRACER, 0x4200, Some(TID), 0, 1 << 33), failed(tipstaff_abi::errno::EINVAL));
    assert_eq!(m.request(TRACER, 0x4200, Some(TID), 0, EXITKILL.into()), Step::Done(0));
    assert_eq!(m.request(TRACER, 0x420c, Some(TID), 0, 0), failed(tipstaff_abi::errno::EACCES));
}

#[test]
fn an_exec_moves_the_tracee_to_the_leaders_number() {
    let mut m = machine(false, option::TRACEEXEC);
    m.attach(21, Tracee { process: TID, number: 3, ..tracee(true, 0) });
    m.replaced(TID);
    m.executed(TID, 21);
    assert!(m.tracee(21).is_none());
    assert_eq!(m.tracee(TID).map(|t| (t.seized, t.process)), Some((true, TID)));
    m.attach(40, Tracee { tracer: 11, tracer_process: TRACER, ..tracee(false, 0) });
    m.executed(TRACER, 11);
    assert_eq!(m.tracee(40).map(|t| t.tracer), Some(TRACER), "a tracer that executes keeps its tracees");
}

#[test]
fn ends_are_told_to_the_tracer_but_not_of_its_own_children() {
    let mut m = machine(false, 0);
    assert!(m.ended(TID, 0x300, [0; 18], &|_| false).is_some_and(|ended| ended.by_kernel), "the kernel tells");
    assert_eq!(status(&mut m), None);
    assert_eq!(m.request(TRACER, 8, Some(TID), 0, 0), Step::Done(0), "a zombie");
    m.told(TRACER, 2, false);
    assert_eq!(m.request(TRACER, 8, Some(TID), 0, 0), failed(ESRCH), "reaped");
    m.attach(TID, Tracee { child: false, ..tracee(false, 0) });
    assert!(m.ended(TID, 0x300, [0; 18], &|_| false).is_some());
    assert!(m.traces(TRACER) && m.waits(&any(), &nobody));
    assert!(m.report(&Select { exits: false, ..any() }, false, &nobody).is_none(), "without WEXITED");
    assert!(m.report(&Select { thread: Some(11), ..any() }, false, &nobody).is_none(), "__WNOTHREAD");
    assert_eq!(status(&mut m), Some(0x300));
    assert!(!m.traces(TRACER));
    m.attach(21, Tracee { process: TID, ..tracee(false, 0) });
    assert!(m.ended(21, 0, [0; 18], &|_| false).is_some(), "a thread's end is told by nobody else");
}

#[test]
fn a_zombie_stays_until_its_tracer_has_been_told() {
    let mut m = machine(false, 0);
    assert!(!m.keeps(TID, &|_| false), "the tracer's own child is the kernel's to tell of");
    assert!(m.keeps(TID, &|process| process == TRACER), "but for a parent whose children leave no zombies");
    m.attach(21, Tracee { process: TID, ..tracee(false, 0) });
    m.attach(22, Tracee { process: TID, ..tracee(false, 0) });
    assert!(m.keeps(21, &|_| false), "a thread");
    for thread in [21, 22] {
        assert!(m.ended(thread, 0x300, [0; 18], &|_| false).is_some());
    }
    let one = Select { who: Who::Thread(21), ..any() };
    assert!(m.report(&one, true, &nobody).is_some(), "WNOWAIT");
    assert!(m.graves().is_empty());
    assert!(m.report(&one, false, &nobody).is_some());
    assert_eq!(m.graves(), [21]);
    m.gone(TRACER);
    assert_eq!(m.graves(), [22], "nobody is left to be told");
}

#[test]
fn a_tracer_that_ends_lets_go_or_kills() {
    let mut m = machine(false, 0);
    m.attach(21, tracee(true, EXITKILL));
    m.attach(22, tracee(false, 0));
    m.stopped(TID, Stop::Signal(10), false);
    m.stopped(22, Stop::Signal(12), false);
    let one = Select { who: Who::Thread(22), ..any() };
    assert!(m.report(&one, false, &nobody).is_some());
    let mut gone = m.gone(TRACER);
    gone.sort_by_key(|orphan| orphan.tid);
    let told = Some((Stop::Signal(12), 0));
    let orphan = |tid, killed, stop| Orphan { tid, killed, stop };
    let first = orphan(TID, false, Some((Stop::Signal(10), 10)));
    assert_eq!(gone, [first, orphan(21, true, None), orphan(22, false, told)]);
    assert!(!m.traces(TRACER));
}

#[test]
fn waits_choose() {
    let mut m = machine(false, 0);
    m.stopped(TID, Stop::Signal(10), false);
    let select = |who| Select { who, ..any() };
    assert!(m.report(&select(Who::One(3)), false, &nobody).is_none());
    assert!(m.report(&select(Who::Group(7)), false, &nobody).is_none());
    assert!(m.report(&select(Who::Group(7)), true, &|tid, group| (tid, group) == (TID, 7)).is_some());
    assert!(m.report(&Select { process: 11, ..any() }, false, &nobody).is_none(), "another process");
    assert!(m.report(&select(Who::One(2)), false, &nobody).is_some());
}
