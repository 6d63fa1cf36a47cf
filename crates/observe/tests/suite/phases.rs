//! Set-up, runtime, workload; and which program it was.

use std::ffi::OsString;
use std::path::PathBuf;

use tipstaff_observe::{Options, Phase};
use tipstaff_testkit::guest;

use crate::kit::{Waiting, calls, complete, launch, program, recorded};
use crate::observer;

/// Counts of a call by phase.
fn by_phase(observed: &tipstaff_observe::Observed, name: &str) -> [u64; 3] {
    Phase::ALL.map(|phase| calls(observed, name).filter(|call| call.key.phase == phase).map(|call| call.count).sum())
}

#[test]
fn a_filter_ends_the_set_up_and_an_exec_the_runtime() {
    let observer = observer!();
    let (status, observed) = recorded(&observer, "ppid=3 filter ppid=5 exec ppid=7", &launch());
    assert_eq!(status, 0);
    assert_eq!(by_phase(&observed, "getppid"), [3, 5, 7]);
    assert_eq!(by_phase(&observed, "seccomp"), [1, 0, 0], "the call that installs it is before it");
    assert_eq!(by_phase(&observed, "execve"), [0, 1, 0], "the exec is the runtime's last call");
    complete(&observed);
}

#[test]
fn without_a_filter_the_set_up_lasts_until_the_exec() {
    let observer = observer!();
    let (_, observed) = recorded(&observer, "ppid=3 fork ppid=5 exec ppid=7", &launch());
    assert_eq!(by_phase(&observed, "getppid"), [8, 0, 7]);
    let (_, observed) = recorded(&observer, "ppid=3 exec ppid=7", &Options::default());
    assert_eq!(by_phase(&observed, "getppid"), [0, 0, 10], "what runs already is at work");
}

#[test]
fn each_program_has_its_own_calls() {
    let observer = observer!();
    let words =
        ["sh", "-c", "/bin/true; $0 ppid=5; /bin/true", guest("observed").to_str().expect("path")].map(str::to_owned);
    let mut waiting = Waiting::to_execute(&words);
    let recording = observer.record(&waiting.tree(), &launch()).expect("recording");
    assert_eq!(waiting.end(), 0);
    let observed = recording.stop().expect("observed");
    complete(&observed);
    let ppid: Vec<_> = calls(&observed, "getppid").filter(|call| call.count == 5).collect();
    assert_eq!(ppid.len(), 1);
    let guest = guest("observed").canonicalize().expect("guest");
    assert_eq!(observed.executables[ppid[0].key.executable.0 as usize].path.as_ref(), Some(&guest));
    let exits = calls(&observed, "exit_group").map(|call| (program(&observed, call), call.count));
    let mut exits: Vec<_> = exits.collect();
    exits.sort();
    let shell = std::path::Path::new("/bin/sh").canonicalize().expect("shell");
    let shell = shell.file_name().expect("name").to_string_lossy().into_owned();
    let mut expected = vec![(shell, 1), ("observed".to_owned(), 1), ("true".to_owned(), 2)];
    expected.sort();
    assert_eq!(exits, expected);
}

/// Paths of the programs that made a number of getppid.
fn programs_of(observed: &tipstaff_observe::Observed, times: u64) -> Vec<PathBuf> {
    let calls = calls(observed, "getppid").filter(|call| call.count == times);
    calls.filter_map(|call| observed.executables[call.key.executable.0 as usize].path.clone()).collect()
}

#[test]
fn a_path_goes_across_mounts() {
    let observer = observer!();
    // A mount of its own on every Linux.
    let dir = tempfile::tempdir_in("/dev/shm").expect("directory");
    let program = dir.path().join("deep/er");
    std::fs::create_dir_all(program.parent().expect("parent")).expect("directory");
    std::fs::copy(guest("observed"), &program).expect("copy");
    let words = [program.clone().into_os_string(), "ppid=17".into()];
    let mut waiting = Waiting::to_execute(&words);
    let recording = observer.record(&waiting.tree(), &launch()).expect("recording");
    if waiting.end() == 126 {
        tipstaff_testkit::skip!("/dev/shm is mounted noexec");
    }
    let observed = recording.stop().expect("observed");
    assert_eq!(programs_of(&observed, 17), [program]);
}

#[test]
fn a_path_ends_at_the_root_directory_of_its_task() {
    let observer = observer!();
    let dir = tempfile::tempdir().expect("directory");
    std::fs::copy(guest("observed"), dir.path().join("inside")).expect("copy");
    let words = ["chroot".into(), dir.path().into(), OsString::from("/inside"), "ppid=19".into()];
    let mut waiting = Waiting::to_execute(&words);
    let recording = observer.record(&waiting.tree(), &launch()).expect("recording");
    assert_eq!(waiting.end(), 0);
    let observed = recording.stop().expect("observed");
    assert_eq!(programs_of(&observed, 19), [PathBuf::from("/inside")]);
}

#[test]
fn a_program_in_memory_has_a_name_and_no_path() {
    let observer = observer!();
    let mut waiting = Waiting::to_execute(&[guest("memfd")]);
    let recording = observer.record(&waiting.tree(), &launch()).expect("recording");
    waiting.end();
    let observed = recording.stop().expect("observed");
    complete(&observed);
    assert!(observed.executables.iter().all(|exe| exe.path.is_some()), "{:?}", observed.executables);
}
