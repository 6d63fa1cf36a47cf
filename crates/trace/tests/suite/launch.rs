//! What a launch passes on, and how it fails.

use tipstaff_testkit::{Scratch, User};
use tipstaff_trace::{Config, End, Errno, Launch, LaunchError, SigSet, Tracer, Turn};

use crate::kit::{Recorder, What, guest, program, run};

fn error(launch: &Launch) -> (LaunchError, Recorder) {
    let mut tracer = Tracer::new(Config::default());
    let mut seen = Recorder::default();
    let error = tracer.launch(launch, &mut seen).expect_err("no such program");
    assert_eq!(tracer.run(&mut seen), Ok(Turn::Empty), "nobody is left");
    (error, seen)
}

#[test]
fn what_is_not_there_is_not_found() {
    let (error, seen) = error(&Launch::new("no-such-program-anywhere"));
    assert_eq!(error, LaunchError::Exec { program: "no-such-program-anywhere".into(), errno: Errno::NOENT });
    assert!(seen.0.is_empty());
    assert_eq!(error.to_string(), "exec \"no-such-program-anywhere\": No such file or directory");
}

#[test]
fn a_failed_exec_is_shown_and_told() {
    let scratch = Scratch::new(User::Root);
    let file = scratch.file("plain", "nothing");
    let (error, seen) = error(&program(&file));
    assert!(matches!(error, LaunchError::Exec { errno: Errno(13), .. }), "{error}");
    let what: Vec<_> = seen.0.into_iter().map(|seen| seen.what).collect();
    assert_eq!(what, [What::Entered("execve"), What::Left("execve", -13)]);
}

#[test]
fn path_is_searched_as_execvp_does() {
    let dir = tipstaff_testkit::guest("exit").parent().expect("a directory").to_owned();
    let ran = run(Config::default(), Launch::new("exit").arg("3").env("PATH", format!("/nosuch:{}", dir.display())));
    assert_eq!(ran.end(), Some(End::Exited(3)));
}

#[test]
fn environment_and_arguments_arrive() {
    let launch = Launch::new("/bin/sh").args(["-c", "echo $A-$B-$1", "sh", "x y"]).env("A", "1").env_remove("B");
    assert_eq!(run(Config::default(), launch).output, "1--x y\n");
}

#[test]
fn signals_start_as_the_caller_says_and_sigpipe_by_default() {
    let show = |launch: Launch| {
        let text = run(Config::default(), launch.args(["-E", "^Sig(Blk|Ign):", "/proc/self/status"])).output;
        text.lines()
            .map(|line| u64::from_str_radix(line.split_whitespace().nth(1).expect("a mask"), 16).expect("hex"))
            .collect::<Vec<_>>()
    };
    let plain = show(Launch::new("grep"));
    // Rust's runtime ignores SIGPIPE (13); the program must not notice.
    assert_eq!(plain[1] >> 12 & 1, 0);
    let blocked = show(Launch::new("grep").mask(SigSet::of(&[10, 12])));
    assert_eq!(blocked[0], 1 << 9 | 1 << 11);
}

#[test]
fn the_guest_has_no_descriptor_of_ours_and_is_scheduled_as_we_were() {
    let script = "ls /proc/self/fd | wc -l; grep -c . /dev/null; chrt -p $$ | head -1 | sed 's/.*: //'; nproc";
    let mut tracer = Tracer::new(Config::default());
    // The tracer is busy, so that it follows its tracee, when the next program starts.
    let mut seen = Recorder::default();
    tracer.launch(&guest("callcount").args(["1", "3000"]), &mut seen).expect("launch");
    for _ in 0..2000 {
        tracer.step(&mut seen).expect("step");
    }
    let traced = {
        let (writer, mut reader) = crate::kit::output();
        let launch = Launch::new("/bin/sh").args(["-c", script]).stdio(1, writer);
        tracer.launch(&launch, &mut seen).expect("launch");
        drop(launch);
        assert_eq!(tracer.run(&mut seen), Ok(Turn::Empty));
        std::io::read_to_string(&mut reader).expect("output")
    };
    let plain =
        std::process::Command::new("/bin/sh").args(["-c", script]).stdin(std::process::Stdio::inherit()).output();
    assert_eq!(traced, String::from_utf8_lossy(&plain.expect("sh").stdout));
}
