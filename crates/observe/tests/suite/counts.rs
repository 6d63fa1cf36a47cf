//! Every call is counted once, by whatever road its caller was born.

use tipstaff_abi::{Arch, Sysno};
use tipstaff_observe::{Options, Phase};
use tipstaff_testkit::guest;

use crate::kit::{self, Waiting, complete, count, launch, recorded};
use crate::observer;

#[test]
fn calls_of_one_thread_are_counted() {
    let observer = observer!();
    let (status, observed) = recorded(&observer, "ppid=12345", &Options::default());
    assert_eq!(status, 0);
    assert_eq!(count(&observed, "getppid"), 12345);
    assert_eq!(count(&observed, "exit_group"), 1);
    assert_eq!(count(&observed, "getuid"), 0, "nobody made it");
    complete(&observed);
    assert_eq!(observed.tasks, 0);
    let first = kit::calls(&observed, "getppid").next().expect("seen").first_ns;
    assert!(first > 0 && first < observed.elapsed_ns, "{first} of {}", observed.elapsed_ns);
}

#[test]
fn without_a_recording_nothing_is_counted_and_a_stopped_one_sees_no_more() {
    let observer = observer!();
    let mut waiting = Waiting::new("ppid=10 pause");
    let recording = observer.record(&waiting.tree(), &Options::default()).expect("recording");
    let observed = recording.stop().expect("observed");
    assert_eq!(count(&observed, "getppid"), 0);
    // The target goes on, and can be recorded again: its former membership is void.
    let again = observer.record(&waiting.tree(), &Options::default()).expect("recording");
    waiting.go();
    kit::wait_until("ten calls", || count(&again.snapshot().expect("observed"), "getppid") == 10);
    waiting.kill();
    let observed = again.stop().expect("observed");
    assert_eq!(count(&observed, "getppid"), 10);
    complete(&observed);
}

#[test]
fn every_road_of_birth_hands_membership_on() {
    let observer = observer!();
    for (words, expected) in [
        ("fork ppid=7", 7),
        ("clone3 ppid=8", 8),
        ("vfork=9", 9),
        ("threads=64", 640),
        ("fork fork fork threads=3 clone3 ppid=5", 35),
    ] {
        let (status, observed) = recorded(&observer, words, &Options::default());
        assert_eq!(status, 0, "{words}");
        assert_eq!(count(&observed, "getppid"), expected, "{words}");
        complete(&observed);
    }
}

#[test]
fn an_exec_from_a_thread_that_does_not_lead_keeps_membership() {
    let observer = observer!();
    let (status, observed) = recorded(&observer, "threadexec ppid=77", &Options::default());
    assert_eq!(status, 0);
    assert_eq!(count(&observed, "getppid"), 77);
    complete(&observed);
    assert_eq!(observed.tasks, 0);
}

#[test]
fn a_running_process_is_attached_with_all_threads_and_children() {
    let observer = observer!();
    let mut held = Waiting::new("hold=30");
    held.go();
    kit::wait_until("the threads", || {
        std::fs::read_dir(format!("/proc/{}/task", held.pid())).is_ok_and(|entries| entries.count() == 31)
    });
    let recording = observer.record(&held.tree(), &Options::default()).expect("recording");
    assert_eq!(recording.tasks(), 31);
    drop(recording);
    let mut tree = Waiting::new("fork fork wait ppid=4");
    tree.go_and_fork_twice();
    let recording = observer.record(&tree.tree(), &Options::default()).expect("recording");
    assert_eq!(recording.tasks(), 3);
    assert_eq!(tree.end(), 0);
    let observed = recording.stop().expect("observed");
    assert_eq!(count(&observed, "getppid"), 4);
    complete(&observed);
}

/// Threads come and go, and fork, while the recording begins: whoever is still there afterwards is a member.
#[test]
fn a_process_that_never_rests_is_attached_whole() {
    let observer = observer!();
    for _ in 0..4 {
        let mut child = std::process::Command::new(guest("manycalls")).args(["16", "100000"]).spawn().expect("guest");
        let pid = child.id().cast_signed();
        kit::wait_until("the threads", || {
            std::fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|entries| entries.count() == 17)
        });
        let recording = observer.record(&tipstaff_observe::Target::Tree(pid), &Options::default()).expect("recording");
        // Whoever is there now is a member: each thread but the first ends by exit(2), and the first writes a line.
        let there = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, |entries| entries.count() as u64);
        let status = child.wait().expect("wait");
        assert!(status.success());
        let observed = recording.stop().expect("observed");
        assert!(there > 1, "it has ended before it was recorded");
        assert!((there - 1..=16).contains(&count(&observed, "exit")), "{there}: {}", count(&observed, "exit"));
        assert_eq!(count(&observed, "write"), 1, "{:?}", observed.completeness);
        complete(&observed);
    }
}

#[test]
fn the_32_bit_gate_has_its_own_table() {
    let observer = observer!();
    let (status, observed) = recorded(&observer, "int80=6 ppid=2", &Options::default());
    if status == 77 {
        tipstaff_testkit::skip!("the kernel has no 32-bit gate");
    }
    let getpid = observed.calls.iter().find(|call| call.key.arch == Arch::I386 && call.key.number == Sysno(20));
    assert_eq!(getpid.map(|call| call.count), Some(6));
    assert_eq!(count(&observed, "writev"), 0, "20 of the other table");
    assert_eq!(count(&observed, "getppid"), 2);
}

#[test]
fn a_static_32_bit_program_is_recorded() {
    let observer = observer!();
    let Some(path) = tipstaff_testkit::guest_32("i386") else { tipstaff_testkit::skip!("no 32-bit compiler") };
    let mut waiting = Waiting::to_execute(&[path]);
    let recording = observer.record(&waiting.tree(), &launch()).expect("recording");
    assert_eq!(waiting.end(), 6);
    let observed = recording.stop().expect("observed");
    let of = |number| {
        let mut calls = observed.calls.iter().filter(|call| call.key.phase == Phase::Workload);
        calls.find(|call| call.key.arch == Arch::I386 && call.key.number == Sysno(number)).map_or(0, |call| call.count)
    };
    // write, close, exit.
    assert_eq!([of(4), of(6), of(1)], [1, 1, 1]);
    complete(&observed);
}

#[test]
fn numbers_that_no_table_knows_are_kept() {
    let observer = observer!();
    let (_, observed) = recorded(&observer, "odd=4 fork odd=3", &Options::default());
    let odd = observed.calls.iter().find(|call| call.key.number == Sysno(1000)).expect("seen");
    assert_eq!((odd.count, odd.key.arch), (7, Arch::X86_64));
    assert!(odd.first_ns > 0);
}

#[test]
fn a_target_that_dies_in_the_middle_leaves_what_it_did() {
    let observer = observer!();
    let mut waiting = Waiting::new("threads=32 ppid=10 pause");
    let recording = observer.record(&waiting.tree(), &Options::default()).expect("recording");
    waiting.go();
    kit::wait_until("all calls", || count(&recording.snapshot().expect("observed"), "getppid") == 330);
    waiting.kill();
    kit::wait_until("the end", || recording.tasks() == 0);
    let observed = recording.stop().expect("observed");
    assert_eq!(count(&observed, "getppid"), 330);
    complete(&observed);
}
