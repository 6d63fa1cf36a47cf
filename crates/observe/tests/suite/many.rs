//! Many recordings at once.

use tipstaff_observe::{Error, Options, Target};

use crate::kit::{Waiting, complete, count};
use crate::observer;

#[test]
fn twenty_recordings_each_see_their_own() {
    let observer = observer!();
    let mut guests: Vec<Waiting> = (0..20).map(|n| Waiting::new(&format!("ppid={} threads=2", 100 + n))).collect();
    let recordings: Vec<_> =
        guests.iter().map(|guest| observer.record(&guest.tree(), &Options::default()).expect("recording")).collect();
    guests.iter_mut().for_each(Waiting::go);
    guests.iter_mut().for_each(|guest| assert_eq!(guest.end(), 0));
    for (n, recording) in recordings.into_iter().enumerate() {
        let observed = recording.stop().expect("observed");
        assert_eq!(count(&observed, "getppid"), 120 + n as u64);
        complete(&observed);
    }
}

#[test]
fn recordings_begin_and_end_in_any_thread() {
    fn any_thread<T: Send + Sync>(_: &T) {}
    let observer = observer!();
    any_thread(&observer);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let observer = observer.clone();
            scope.spawn(move || {
                for n in 0..10 {
                    let expected = 100 * (thread + 1) + n;
                    let words = format!("ppid={expected} threads=2");
                    let (status, observed) = crate::kit::recorded(&observer, &words, &crate::kit::all());
                    assert_eq!((status, count(&observed, "getppid")), (0, expected + 20));
                    complete(&observed);
                }
            });
        }
    });
}

#[test]
fn slots_and_pages_are_given_back() {
    let observer = observer!(&crate::kit::small());
    for n in 1..=200 {
        let (_, observed) = crate::kit::recorded(&observer, &format!("ppid={n} exec ppid=1"), &Options::default());
        assert_eq!(count(&observed, "getppid"), n + 1);
        complete(&observed);
    }
}

#[test]
fn a_task_belongs_to_one_recording() {
    let observer = observer!();
    let waiting = Waiting::new("ppid=1");
    let first = observer.record(&waiting.tree(), &Options::default()).expect("recording");
    let second = observer.record(&waiting.tree(), &Options::default()).expect_err("taken");
    assert!(matches!(second, Error::Taken(pid) if pid == waiting.pid()), "{second}");
    drop(first);
    observer.record(&waiting.tree(), &Options::default()).expect("free again");
}

#[test]
fn a_process_that_is_not_there_is_told() {
    let observer = observer!();
    let error = observer.record(&Target::Tree(0x3fff_fff0), &Options::default()).expect_err("nobody");
    assert!(matches!(error, Error::NoProcess(_)), "{error}");
}

#[test]
fn the_most_recordings_are_told() {
    let observer = observer!(&crate::kit::small());
    let guests: Vec<Waiting> = (0..22).map(|_| Waiting::new("pause")).collect();
    let mut recordings = Vec::new();
    let refused = guests.iter().find_map(|guest| match observer.record(&guest.tree(), &Options::default()) {
        Ok(recording) => {
            recordings.push(recording);
            None
        }
        Err(error) => Some(error),
    });
    assert!(matches!(refused, Some(Error::Full(_))), "{refused:?}");
    assert!(recordings.len() >= 15, "{}", recordings.len());
}
