//! Ending the wait from outside.

use std::time::Duration;

use tipstaff_trace::{Config, End, Tracer, Turn};

use crate::kit::{Recorder, guest};

#[test]
fn another_thread_ends_the_wait() {
    let mut tracer = Tracer::new(Config::default());
    let mut seen = Recorder::default();
    let pid = tracer.launch(&guest("sleeper").arg("0"), &mut seen).expect("launch").pid;
    let stopper = tracer.stopper().expect("stopper");
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        stopper.stop();
        stopper.stop();
    });
    assert_eq!(tracer.run(&mut seen), Ok(Turn::Asked));
    other.join().expect("join");
    assert_eq!(seen.end(pid), None, "nothing was done to it");
    tracer.kill();
    assert_eq!(tracer.run(&mut seen), Ok(Turn::Empty));
    assert_eq!(seen.end(pid), Some(End::Killed { signal: 9, core: false }));
}

#[test]
fn a_wake_up_before_the_wait_is_not_lost() {
    for _ in 0..50 {
        let mut tracer = Tracer::new(Config::default());
        let mut seen = Recorder::default();
        tracer.launch(&guest("sleeper").arg("0"), &mut seen).expect("launch");
        tracer.stopper().expect("stopper").stop();
        assert_eq!(tracer.run(&mut seen), Ok(Turn::Asked));
        // And again.
        tracer.stopper().expect("stopper").stop();
        assert_eq!(tracer.run(&mut seen), Ok(Turn::Asked));
    }
}

#[test]
fn a_stopper_that_nobody_used_keeps_nobody_waiting() {
    let mut tracer = Tracer::new(Config::default());
    let mut seen = Recorder::default();
    let stopper = tracer.stopper().expect("stopper");
    let pid = tracer.launch(&guest("exit").arg("4"), &mut seen).expect("launch").pid;
    assert_eq!(tracer.run(&mut seen), Ok(Turn::Empty));
    assert_eq!(seen.end(pid), Some(End::Exited(4)));
    drop(tracer);
    stopper.stop();
}
