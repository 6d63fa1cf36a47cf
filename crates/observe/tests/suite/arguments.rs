//! Values of enumerable arguments.

use tipstaff_abi::Arch;
use tipstaff_observe::{Arguments, Options, Tuple};

use crate::kit::{calls, complete, recorded};
use crate::observer;

#[test]
fn tuples_are_kept_together_with_their_counts() {
    let observer = observer!();
    let (_, observed) = recorded(&observer, "connect=1 connect=1 unix=/nowhere", &Options::default());
    let socket = calls(&observed, "socket").next().expect("socket");
    let tuple = |values: &[u64], count| Tuple { values: values.to_vec(), count };
    // AF_UNIX, SOCK_DGRAM; AF_INET, SOCK_STREAM | SOCK_CLOEXEC.
    let expected = vec![tuple(&[1, 2, 0], 1), tuple(&[2, 0o2_000_001, 0], 2)];
    assert_eq!(socket.arguments, Some(Arguments::Tuples(expected)));
    complete(&observed);
}

#[test]
fn flags_behind_a_pointer_are_read() {
    let observer = observer!();
    let (status, observed) = recorded(&observer, "clone3 ppid=1", &Options::default());
    assert_eq!(status, 0);
    let clone3 = calls(&observed, "clone3").next().expect("clone3");
    assert_eq!(clone3.arguments, Some(Arguments::Tuples(vec![Tuple { values: vec![0], count: 1 }])));
}

#[test]
fn too_many_tuples_make_any() {
    let observer = observer!();
    for (prctls, any) in [(8, false), (9, true), (500, true)] {
        let options = Options { tuples_per_call: 8, ..Options::default() };
        let (_, observed) = recorded(&observer, &format!("prctls={prctls}"), &options);
        let prctl = calls(&observed, "prctl").next().expect("prctl");
        assert_eq!(prctl.count, prctls);
        match &prctl.arguments {
            Some(Arguments::Any) => assert!(any, "{prctls} of 8"),
            Some(Arguments::Tuples(tuples)) => assert!(!any && tuples.len() == 8, "{prctls}: {tuples:?}"),
            None => panic!("no arguments"),
        }
        complete(&observed);
    }
}

#[test]
fn without_them_there_are_none() {
    let observer = observer!();
    let options = Options { arguments: false, ..Options::default() };
    let (_, observed) = recorded(&observer, "prctls=3", &options);
    assert_eq!(calls(&observed, "prctl").map(|call| (call.count, call.arguments.clone())).next(), Some((3, None)));
    assert!(observed.calls.iter().all(|call| call.arguments.is_none() && call.key.arch == Arch::X86_64));
}
