//! k of n, and what is still unseen.

use tipstaff_abi::Arch;
use tipstaff_recording::{Backend, Call, Coverage, Machine, Phase, Recording, Run, Target};

fn run(at: u64, numbers: &[u32]) -> Run {
    let machine = Machine { kernel: "6.18.0".to_owned(), arch: Arch::X86_64 };
    let mut run = Run::new(
        format!("{at:032x}"),
        Backend::Ptrace,
        machine,
        Target::Command { argv: Vec::new(), directory: "/".into() },
        at,
    );
    for &number in numbers {
        let mut call = Call::new(Arch::X86_64, number);
        call.made(Phase::Workload, &"/bin/x".into(), 2, 0);
        run.calls.insert(call);
    }
    run
}

fn recording(runs: &[&[u32]]) -> Recording {
    let mut recording = Recording::default();
    for (at, numbers) in runs.iter().enumerate().rev() {
        recording.add(run(at as u64, numbers));
    }
    recording
}

#[test]
fn each_call_knows_its_runs_and_each_run_what_was_new() {
    let recording = recording(&[&[0, 1], &[0, 2], &[0, 1]]);
    let coverage = Coverage::of(&recording, &Phase::ALL);
    assert_eq!(coverage.runs(), 3);
    let calls: Vec<_> =
        coverage.calls().map(|(_, number, c)| (number, c.name.as_str(), c.runs.clone(), c.count)).collect();
    assert_eq!(calls, [(0, "read", vec![0, 1, 2], 6), (1, "write", vec![0, 2], 4), (2, "open", vec![1], 2)]);
    let new: Vec<_> = coverage.new_per_run().iter().map(Vec::len).collect();
    assert_eq!(new, [2, 1, 0]);
    assert_eq!(Coverage::of(&recording, &[Phase::Setup]).calls().len(), 0);
}

#[test]
fn the_estimate_follows_the_formulas() {
    // Q1 = 3 (2, 3, 4), Q2 = 1 (1), k = 3.
    let coverage = Coverage::of(&recording(&[&[0, 1, 2], &[0, 1, 3], &[0, 4]]), &Phase::ALL);
    let estimate = coverage.estimate().unwrap();
    assert!((estimate.next_run - 1.0).abs() < 1e-9, "{estimate:?}");
    assert!((estimate.unseen - 2.0 / 3.0 * 9.0 / 2.0).abs() < 1e-9, "{estimate:?}");
    // Nothing twice: Q1 = 2, k = 2.
    let estimate = Coverage::of(&recording(&[&[1], &[2]]), &Phase::ALL).estimate().unwrap();
    assert!((estimate.unseen - 0.5).abs() < 1e-9, "{estimate:?}");
    // All runs alike: nothing is missing.
    let estimate = Coverage::of(&recording(&[&[1, 2], &[1, 2], &[1, 2]]), &Phase::ALL).estimate().unwrap();
    assert_eq!((estimate.next_run, estimate.unseen), (0.0, 0.0));
    assert_eq!(Coverage::of(&recording(&[&[1]]), &Phase::ALL).estimate(), None);
}
