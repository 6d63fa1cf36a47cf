//! Paths, addresses, capabilities.

use std::net::TcpListener;
use std::path::Path;

use tipstaff_observe::{Address, File, Observed};

use crate::kit::{Waiting, all, complete, recorded};
use crate::observer;

fn file<'a>(observed: &'a Observed, path: &str) -> Option<&'a File> {
    observed.files.iter().find(|file| file.path == Path::new(path))
}

#[test]
fn paths_are_seen_with_their_use_and_their_end() {
    let observer = observer!();
    let (_, observed) = recorded(&observer, "open=/dev/null open=/dev/null open=/does/not/exist", &all());
    let found = file(&observed, "/dev/null").expect("seen");
    assert_eq!((found.count, found.errno, found.usage.read, found.usage.write), (2, 0, true, false));
    assert_eq!(file(&observed, "/does/not/exist").map(|file| file.errno), Some(2));
    complete(&observed);
}

#[test]
fn a_path_that_was_not_in_memory_is_read_when_the_call_returns() {
    let observer = observer!();
    let (_, observed) = recorded(&observer, "unread", &all());
    assert_eq!(file(&observed, "/observed/never/touched").map(|file| file.errno), Some(2));
    assert_eq!(observed.completeness.files_unread, 0);
}

#[test]
fn relative_paths_are_told_from_where() {
    let observer = observer!();
    let dir = tempfile::tempdir().expect("directory");
    let dir = dir.path().canonicalize().expect("directory");
    std::fs::write(dir.join("here"), "").expect("file");
    let mut command = std::process::Command::new(tipstaff_testkit::guest("observed"));
    command.args(["wait", "open=here", "open=./here", "open=../gone"]).current_dir(&dir);
    let mut waiting = Waiting::start(command);
    let recording = observer.record(&waiting.tree(), &all()).expect("recording");
    assert_eq!(waiting.end(), 0);
    let observed = recording.stop().expect("observed");
    let here = dir.join("here");
    let found: u64 =
        observed.files.iter().filter(|file| file.path == here && file.errno == 0).map(|file| file.count).sum();
    assert_eq!(found, 2, "{:?}", observed.files);
    assert!(observed.files.iter().any(|file| file.path == dir.join("../gone") && file.errno == 2 && !file.relative));
}

#[test]
fn what_was_executed_is_seen() {
    let observer = observer!();
    let mut waiting = Waiting::to_execute(&["/bin/true"]);
    let recording = observer.record(&waiting.tree(), &all()).expect("recording");
    assert_eq!(waiting.end(), 0);
    let observed = recording.stop().expect("observed");
    assert!(
        file(&observed, "/bin/true").is_some_and(|file| file.usage.execute && file.errno == 0),
        "{:?}",
        observed.files
    );
    complete(&observed);
}

#[test]
fn addresses_are_seen() {
    let observer = observer!();
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let address = listener.local_addr().expect("address");
    let words = format!("connect={} unix=/no/such/socket", address.port());
    let (_, observed) = recorded(&observer, &words, &all());
    let found = observed.sockets.iter().find(|socket| socket.address == Address::Inet(address)).expect("seen");
    // SOCK_STREAM, IPPROTO_TCP.
    assert_eq!((found.kind, found.protocol, found.errno, found.count), (1, 6, 0, 1));
    let unix =
        observed.sockets.iter().find(|socket| socket.address == Address::Unix("/no/such/socket".into())).expect("seen");
    assert_eq!((unix.kind, unix.errno), (2, 2));
    complete(&observed);
}

#[test]
fn capabilities_are_seen() {
    const SYS_CHROOT: u8 = 18;
    let observer = observer!();
    if !observer.sees_capabilities() {
        tipstaff_testkit::skip!("the kernel has no tracepoint for capabilities (Linux 6.14)");
    }
    let (status, observed) = recorded(&observer, "chroot", &all());
    let found = observed.capabilities.iter().find(|capability| capability.number == SYS_CHROOT).expect("asked for");
    assert_eq!((found.granted, found.count), (status == 0, 1));
    let (_, observed) = recorded(&observer, "ppid=1", &all());
    assert!(observed.capabilities.iter().all(|capability| capability.number != SYS_CHROOT));
}
