//! What finds no room is counted, and nothing else suffers.

use tipstaff_observe::{Options, Setup};

use crate::kit::{Waiting, all, count, launch, recorded};
use crate::observer;

#[test]
fn full_tables_are_told() {
    let observer = observer!(&Setup { pages: 64, entries: 2, paths: 2, ..Setup::default() });
    let (_, observed) = recorded(&observer, "ppid=9 odd=1 prctls=20 open=/a open=/b open=/c open=/d open=/e", &all());
    let lost = observed.completeness;
    assert!(!lost.complete());
    assert!(lost.calls_dropped > 0 && lost.arguments_dropped > 0 && lost.results_dropped > 0, "{lost:?}");
    assert!(lost.files_dropped >= 3, "{lost:?}");
    // What is not known of its arguments is not made up.
    let prctl = crate::kit::calls(&observed, "prctl").next().expect("seen");
    assert_eq!(prctl.arguments, Some(tipstaff_observe::Arguments::Any));
    // The counts themselves have their place.
    assert_eq!((count(&observed, "getppid"), count(&observed, "prctl")), (9, 20));
    // The next one finds room again.
    let (_, observed) = recorded(&observer, "ppid=2", &Options { arguments: false, ..Options::default() });
    assert_eq!(count(&observed, "getppid"), 2);
}

#[test]
fn more_programs_than_pages_are_merged_and_none_of_their_calls_is_lost() {
    let observer = observer!(&crate::kit::small());
    let dir = tempfile::tempdir().expect("directory");
    for n in 0..80 {
        std::fs::copy(tipstaff_testkit::guest("observed"), dir.path().join(format!("p{n}"))).expect("copy");
    }
    let script = format!("for p in {}/p*; do $p ppid=3; done", dir.path().display());
    let mut waiting = Waiting::to_execute(&["sh", "-c", &script]);
    let recording = observer.record(&waiting.tree(), &launch()).expect("recording");
    assert_eq!(waiting.end(), 0);
    let observed = recording.stop().expect("observed");
    let own = crate::kit::calls(&observed, "getppid").filter(|call| crate::kit::program(&observed, call) != "dash");
    assert!(own.map(|call| call.count).sum::<u64>() >= 240);
    assert!(observed.completeness.executables_merged > 0);
    assert!(observed.executables.iter().any(|exe| exe.path.is_none()));
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    for setup in [
        Setup { pages: 100, ..Setup::default() },
        Setup { pages: 4096, ..Setup::default() },
        Setup { entries: 0, ..Setup::default() },
    ] {
        let error = tipstaff_observe::Observer::load(&setup).expect_err("cannot be");
        assert!(error.to_string().contains("power of two"), "{error}");
    }
}
