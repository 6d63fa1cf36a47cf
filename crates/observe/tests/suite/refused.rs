//! Calls that were not made: seen without the audit system.

use tipstaff_observe::{Options, Refusal, Returns};

use crate::kit::{Waiting, complete, count, recorded, refused};
use crate::observer;

const EXDEV: i32 = 18;
const EACCES: i64 = 13;

fn always() -> Options {
    Options { returns: Returns::Always, ..Options::default() }
}

#[test]
fn a_filter_that_answers_with_an_errno_is_seen() {
    let observer = observer!();
    let (status, observed) = recorded(&observer, "errno=5 ppid=3", &always());
    assert_eq!(status, 0);
    let found = refused(&observed, "getuid");
    assert_eq!(found.iter().map(|r| (r.how, r.count)).collect::<Vec<_>>(), [(Refusal::Errno(EXDEV), 5)]);
    assert_eq!(count(&observed, "getuid"), 0, "a refused call is not entered");
    assert_eq!(observed.refused.len(), 1, "{:?}", observed.refused);
    assert!(observed.completeness.filtered);
    complete(&observed);
}

#[test]
fn signals_tell_of_traps_and_kills_also_without_the_returns() {
    let observer = observer!();
    for returns in [Returns::Never, Returns::Always] {
        let options = Options { returns, ..Options::default() };
        let how = |words: &str| {
            let (status, observed) = recorded(&observer, words, &options);
            let found: Vec<_> = refused(&observed, "getuid").iter().map(|r| (r.how, r.count)).collect();
            assert_eq!(observed.refused.len(), found.len(), "{words}: {:?}", observed.refused);
            (status, found)
        };
        assert_eq!(how("trap=4"), (0, vec![(Refusal::Trap, 4)]), "{returns:?}");
        assert_eq!(how("kill").1, vec![(Refusal::Kill, 1)], "{returns:?}");
        // Beside other threads it dies without a signal.
        assert_eq!(how("killthread").1, vec![(Refusal::Kill, 1)], "{returns:?}");
    }
}

#[test]
fn what_only_looks_like_a_refusal_is_none() {
    let observer = observer!();
    // First returns of new tasks, the read that was in flight, rt_sigreturn, an exec, a filter that lets all pass.
    for words in
        ["fork ppid=1", "clone3 ppid=1", "vfork=3", "threads=20", "filter ppid=4", "exec ppid=2", "threadexec ppid=1"]
    {
        let (status, observed) = recorded(&observer, words, &always());
        assert_eq!((status, &observed.refused), (0, &Vec::new()), "{words}");
    }
    let (_, observed) = recorded(&observer, "ppid=1", &always());
    assert_eq!(observed.completeness.set_aside, 1, "the read that was in flight");
}

#[test]
fn what_a_supervisor_answers_is_told_apart() {
    let observer = observer!();
    let (status, observed) = recorded(&observer, "fork notify=6", &always());
    assert_eq!(status, 0);
    let found = refused(&observed, "getuid");
    assert_eq!(found.iter().map(|r| (r.how, r.count)).collect::<Vec<_>>(), [(Refusal::Answered(-EACCES), 6)]);
}

#[test]
fn where_a_filter_is_there_already_returns_are_looked_at() {
    let observer = observer!();
    let options = Options { returns: Returns::WhenFiltered, ..Options::default() };
    let mut waiting = Waiting::new("errno=1 wait errno=2");
    // The first word puts the filter there; then it waits again.
    waiting.go_and_stay();
    let recording = observer.record(&waiting.tree(), &options).expect("recording");
    assert_eq!(waiting.end(), 0);
    let observed = recording.stop().expect("observed");
    assert_eq!(refused(&observed, "getuid").iter().map(|r| r.count).sum::<u64>(), 2);
    assert!(observed.calls.iter().all(|call| call.results.is_none()));
    // Without a filter they are not.
    let (_, observed) = recorded(&observer, "errno=2", &options);
    assert!(observed.refused.is_empty() && observed.completeness.filtered);
}

#[test]
fn results_are_counted_by_errno() {
    let observer = observer!();
    let (_, observed) = recorded(&observer, "ppid=5 open=/does/not/exist open=/dev/null prctls=3", &always());
    let results = |name: &str| {
        let call = crate::kit::calls(&observed, name).next().expect("seen");
        call.results.clone().expect("results")
    };
    assert_eq!(results("getppid").succeeded, 5);
    assert_eq!((results("openat").succeeded, results("openat").failed), (1, vec![(2, 1)]));
    assert_eq!(results("prctl").failed, vec![(22, 3)]);
    complete(&observed);
}
