//! The hook itself: who is recorded, where the profile may go, and what becomes of a container that cannot be recorded.
use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tipstaff_testkit::{Bundle, Podman, Runtime, Said};

use super::{Hook, KEY, PLAIN, allowed, has, needs, of};

/// Starts nothing that the profile of [`PLAIN`] does not have, and makes a directory.
const MORE: &str = "mkdir /x";

/// What is kept beside a profile.
fn recording(profile: &std::path::Path) -> Value {
    let path = format!("{}.rec", profile.display());
    serde_json::from_slice(&fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))).expect("JSON")
}

#[test]
fn what_is_executed_in_a_running_container_is_recorded() {
    needs!(Podman::unavailable(Runtime::Runc));
    let podman = Podman::new(Runtime::Runc);
    let hook = Hook::new();
    hook.install(&podman);
    for (name, command) in [("without", None), ("with", Some(["mkdir", "/x"]))] {
        let file = hook.output(&format!("{name}.json"));
        let annotation = format!("{KEY}={}", of(&file));
        let options = ["-d", "--security-opt", "seccomp=unconfined", "--annotation", &annotation, "--name", name];
        podman.start(&options, &["sh", "-c", "while :; do sleep 0.1; done"]).expect_ok();
        if let Some(command) = command {
            podman.call(&["exec", name]).arg(command[0]).arg(command[1]).said().expect_ok();
        }
        podman.call(&["rm", "--force", "--time", "0", name]).said().expect_ok();
        // poststop is over when Podman's removal is.
        let names = allowed(&file);
        assert_eq!(has(&names, "mkdir"), command.is_some(), "{names:?}");
    }
    hook.expect_nothing_left();
}

#[test]
fn another_container_with_the_same_id_is_refused() {
    needs!(Runtime::Runc.unavailable());
    let hook = Hook::new();
    let (file, other) = (hook.output("first.json"), hook.output("second.json"));
    let first = hook.on(Bundle::new(Runtime::Runc, "while [ ! -e /go ]; do sleep 0.1; done; ls /"), &of(&file));
    // A runtime knows its own containers only; this one has another root.
    let second = hook.on(Bundle::new(Runtime::Runc, PLAIN), &of(&other)).called(first.id());
    let running = first.command().stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut running = running.expect("runc");
    let begun = Instant::now();
    while !hook.log().contains("recorded") {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", hook.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    second.run().expect_failure(&format!("another container {} is recorded, process ", first.id()));
    assert!(!other.exists());
    // The first is recorded on, to its end.
    fs::write(first.root().join("go"), "").expect("a file");
    assert!(running.wait().expect("wait").success());
    assert!(has(&allowed(&file), "getdents64"));
    hook.expect_nothing_left();
    // One after the other they may be called alike.
    second.run().expect_ok();
    assert!(has(&allowed(&other), "getdents64"));
}

#[test]
fn an_annotation_that_cannot_be_followed_fails_the_start() {
    needs!(Runtime::Runc.unavailable());
    let hook = Hook::new();
    let outside = format!("of:{}", hook.scratch.join("elsewhere.json").display());
    for (annotation, words) in [
        ("of:relative.json", r#"invalid annotation: output file path must be absolute: \"relative.json\""#),
        ("of:/a;of:/b;", r#"invalid annotation: more than one semi-colon"#),
        ("/a", r#"invalid annotation: must start \"if:\" or \"of:\" prefix"#),
        (outside.as_str(), "outside the directories that results may be written to"),
    ] {
        let bundle = hook.on(Bundle::new(Runtime::Runc, PLAIN), annotation);
        let said = bundle.run();
        let told = said.err.replace("\\\\", "\\");
        let plain = words.replace("\\\"", "\"");
        let named = told.contains(words) || told.contains(&plain) || told.replace("\\\"", "\"").contains(&plain);
        assert!(said.code != 0 && said.out.is_empty() && named, "{annotation:?}: {said:#?}");
    }
    hook.expect_nothing_left();
    assert!(!hook.scratch.join("elsewhere.json").exists());
}

#[test]
fn or_runs_unrecorded_if_that_is_asked_for() {
    needs!(Runtime::Runc.unavailable());
    let hook = Hook::new().option("--on-error", "run");
    let said = hook.on(Bundle::new(Runtime::Runc, PLAIN), "of:relative.json").run();
    assert_eq!(said.expect_ok().out, "a\n");
    let log = hook.log();
    assert!(log.contains("runs unrecorded: invalid annotation: output file path must be absolute"), "{log}");
    hook.expect_nothing_left();
}

#[test]
fn a_link_in_the_place_of_the_output_is_not_followed() {
    needs!(Runtime::Runc.unavailable());
    let hook = Hook::new();
    let precious = hook.scratch.file("precious", "mine");
    symlink(&precious, hook.output("link.json")).expect("a link");
    symlink(hook.scratch.path(), hook.output("dir")).expect("a link");
    for output in [hook.output("link.json"), hook.output("dir/precious")] {
        let said = hook.on(Bundle::new(Runtime::Runc, PLAIN), &of(&output)).run();
        said.expect_failure("a symbolic link, which is not followed");
    }
    assert_eq!(fs::read(&precious).expect("a file"), b"mine");
    // Another kind of file is not replaced either, also where that shows only at the end.
    let late = hook.output("late.json");
    fs::write(&late, "no profile").expect("a file");
    hook.on(Bundle::new(Runtime::Runc, PLAIN), &of(&late)).run();
    assert_eq!(fs::read(&late).expect("a file"), b"no profile");
    assert!(hook.log().contains("it is there and no profile"), "{}", hook.log());
    hook.expect_nothing_left();
}

#[test]
fn two_containers_with_one_output_add_to_it() {
    needs!(Runtime::Runc.unavailable());
    let hook = Hook::new();
    let file = hook.output("both.json");
    let scripts = ["sleep 0.3; ls /", "sleep 0.3; mkdir /y"];
    let bundles = scripts.map(|script| hook.on(Bundle::new(Runtime::Runc, script), &of(&file)));
    let quiet = |mut command: Command| command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("runc");
    let mut running: Vec<_> = bundles.iter().map(|bundle| quiet(bundle.command())).collect();
    for child in &mut running {
        assert!(child.wait().expect("wait").success());
    }
    let names = allowed(&file);
    assert!(has(&names, "mkdir") && has(&names, "getdents64"), "{names:?}");
    assert_eq!(recording(&file)["runs"].as_array().expect("runs").len(), 2);
    for script in ["ls /", "mkdir /y"] {
        Bundle::new(Runtime::Runc, script).seccomp(&file).run().expect_ok();
    }
    hook.expect_nothing_left();
}

#[test]
fn an_input_profile_stays_and_is_added_to() {
    needs!(Runtime::Runc.unavailable());
    let hook = Hook::new();
    let file = hook.output("more.json");
    // mkdir is named, but for an argument that nobody gives: it is not there.
    let base = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"architectures":["SCMP_ARCH_X86_64"],"syscalls":[
        {"names":["mkdir"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":1234567,"op":"SCMP_CMP_EQ"}]},
        {"names":["sethostname"],"action":"SCMP_ACT_ALLOW"}]}"#;
    let base = hook.scratch.file("base.json", base);
    let annotation = format!("if:{};{}", base.display(), of(&file));
    hook.on(Bundle::new(Runtime::Runc, MORE), &annotation).run().expect_ok();
    let names = allowed(&file);
    assert!(has(&names, "sethostname") && has(&names, "mkdir"), "{names:?}");
    let profile: Value = serde_json::from_slice(&fs::read(&file).expect("a profile")).expect("JSON");
    assert_eq!(profile["defaultErrnoRet"], 1, "the base's own default stays");
    Bundle::new(Runtime::Runc, MORE).seccomp(&file).run().expect_ok();
    Bundle::new(Runtime::Runc, "rmdir /tmp").seccomp(&file).run().expect_failure("Operation not permitted");
}

#[test]
fn what_the_input_profile_refuses_by_name_stays_refused() {
    needs!(Runtime::Runc.unavailable());
    let hook = Hook::new();
    // Made beforehand by whoever wants it, and empty.
    let file = hook.output("p.json");
    fs::write(&file, "").expect("a file");
    hook.on(Bundle::new(Runtime::Runc, MORE), &of(&file)).run().expect_ok();
    Bundle::new(Runtime::Runc, MORE).seccomp(&file).run().expect_ok();
    // As its default action, which it names all the same; and for other machines, too.
    let base = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_ARM"],"syscalls":[
        {"names":["mkdir"],"action":"SCMP_ACT_ERRNO","args":[],"comment":"","includes":{},"excludes":{}}]}"#;
    let base = hook.scratch.file("base.json", base);
    let annotation = format!("if:{};{}", base.display(), of(&file));
    hook.on(Bundle::new(Runtime::Runc, MORE), &annotation).run().expect_ok();
    assert!(hook.log().contains("made, and refused by the input profile: mkdir"), "{}", hook.log());
    assert!(!has(&allowed(&file), "mkdir"));
    Bundle::new(Runtime::Runc, MORE).seccomp(&file).run().expect_failure("Operation not permitted");
    hook.expect_nothing_left();
}

#[test]
fn a_collector_that_is_killed_leaves_what_it_saved() {
    needs!(Runtime::Runc.unavailable());
    let hook = Hook::new().option("--flush", "50ms");
    let file = hook.output("killed.json");
    let bundle =
        hook.on(Bundle::new(Runtime::Runc, "ls / >/dev/null; while [ ! -e /go ]; do sleep 0.1; done"), &of(&file));
    let mut command = bundle.command();
    let running = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("runc");
    let saved = hook.run_dir().join(format!("{}.flush", bundle.id()));
    let begun = Instant::now();
    // What `ls` calls is in a flush.
    while !fs::read_to_string(&saved).is_ok_and(|text| text.contains("getdents64")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "no flush\n{}", hook.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    let collector = hook.collector().expect("a collector");
    Said::by(Command::new("kill").args(["-KILL", &collector.to_string()])).expect_ok();
    fs::write(bundle.root().join("go"), "").expect("a file");
    let output = running.wait_with_output().expect("runc");
    let told = String::from_utf8_lossy(&output.stderr);
    let log = hook.log();
    assert!(log.contains("the collector was killed"), "{log}\n{told}");
    assert!(has(&allowed(&file), "getdents64"));
    let run = &recording(&file)["runs"][0];
    assert_eq!(run["completeness"]["verdict"], "incomplete", "{run:#}");
    hook.expect_nothing_left();
    // The next one is recorded as if nothing had been.
    hook.on(Bundle::new(Runtime::Runc, PLAIN), &of(&hook.output("next.json"))).run().expect_ok();
    assert!(has(&allowed(&hook.output("next.json")), "execve"));
}

#[test]
fn a_full_disk_leaves_the_old_file_as_it_was() {
    needs!(Runtime::Runc.unavailable());
    let hook = Hook::new();
    let file = hook.output("p.json");
    let old = r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#;
    // A file system of 8 KiB in the place of the output's directory, for this container's runtime and its hooks alone.
    let bundle = hook.on(Bundle::new(Runtime::Runc, PLAIN), &of(&file));
    let run = bundle.command();
    let words: Vec<_> = std::iter::once(run.get_program()).chain(run.get_args()).collect();
    let script = "mount -t tmpfs -o size=8k,mode=755 none \"$0\" && printf %s \"$1\" > \"$0/p.json\" && shift && { \"$@\"; cat \"$0/p.json\"; ls -A \"$0\"; }";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(file.parent().expect("a directory")).arg(old).args(words);
    let said = Said::by(&mut command);
    assert_eq!(said.expect_ok().out, format!("a\n{old}p.json\n"), "{said:#?}\n{}", hook.log());
    assert!(hook.log().contains("no space left on device"), "{}", hook.log());
    hook.expect_nothing_left();
}

#[test]
fn a_recording_under_a_filter_says_that_it_is_biased() {
    needs!(Runtime::Runc.unavailable());
    let hook = Hook::new();
    let file = hook.output("first.json");
    hook.on(Bundle::new(Runtime::Runc, PLAIN), &of(&file)).run().expect_ok();
    assert_eq!(recording(&file)["runs"][0]["completeness"]["verdict"], "complete", "{}", hook.log());
    let again = hook.output("again.json");
    hook.on(Bundle::new(Runtime::Runc, PLAIN).seccomp(&file), &of(&again)).run().expect_ok();
    let run = &recording(&again)["runs"][0];
    assert_eq!(run["completeness"]["verdict"], "incomplete", "{run:#}");
    assert!(hook.log().contains("has a seccomp profile already"), "{}", hook.log());
}

#[test]
fn the_other_stages_are_taken_and_left_alone() {
    needs!(Runtime::Runc.unavailable());
    let hook = Hook::new();
    let file = hook.output("p.json");
    let all = ["createRuntime", "createContainer", "poststart"];
    let bundle = hook.on(Bundle::new(Runtime::Runc, PLAIN), &of(&file));
    let bundle =
        all.into_iter().fold(bundle, |bundle, stage| bundle.hook(stage, tipstaff_testkit::tipstaff(), &hook.args()));
    assert_eq!(bundle.run().expect_ok().out, "a\n");
    assert!(has(&allowed(&file), "execve"));
    assert_eq!(recording(&file)["runs"].as_array().expect("runs").len(), 1);
    hook.expect_nothing_left();
}

/// Without a PID namespace of its own: others may go on when its first process has ended, and nobody else's processes are recorded.
#[test]
fn a_container_in_the_host_s_pid_namespace_is_recorded_alone() {
    needs!(Runtime::Runc.unavailable());
    let hook = Hook::new();
    let file = hook.output("p.json");
    let bundle = hook.on(Bundle::new(Runtime::Runc, "sleep 0.5; ls / >/dev/null"), &of(&file)).with(|config| {
        let spaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        spaces.retain(|space| space["type"] != "pid");
    });
    let running = bundle.command().stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut running = running.expect("runc");
    // A bystander in the same PID namespace, who does what the container does not.
    while running.try_wait().expect("wait").is_none() {
        let scratch = tipstaff_testkit::Scratch::new(tipstaff_testkit::User::Root);
        Said::by(Command::new("chmod").arg("700").arg(scratch.path())).expect_ok();
        std::thread::sleep(Duration::from_millis(20));
    }
    let names = allowed(&file);
    assert!(has(&names, "getdents64") && !has(&names, "fchmodat") && !has(&names, "mkdir"), "{names:?}");
    hook.expect_nothing_left();
}

#[test]
fn without_bpf_it_is_recorded_by_ptrace() {
    needs!(Runtime::Runc.unavailable());
    let hook = Hook::new();
    let file = hook.output("p.json");
    let bundle = hook.on(Bundle::new(Runtime::Runc, PLAIN), &of(&file)).with(|config| {
        for stage in ["prestart", "poststop"] {
            config["hooks"][stage][0]["env"] = serde_json::json!(["TIPSTAFF_WITHOUT_BPF=1"]);
        }
    });
    assert_eq!(bundle.run().expect_ok().out, "a\n");
    let run = &recording(&file)["runs"][0];
    assert_eq!(run["backend"], "ptrace", "{}", hook.log());
    assert_eq!(run["completeness"]["verdict"], "complete", "{}", hook.log());
    assert!(hook.log().contains("not recorded by ebpf"), "{}", hook.log());
    hook.expect_nothing_left();
    assert_eq!(Bundle::new(Runtime::Runc, PLAIN).seccomp(&file).run().expect_ok().out, "a\n");
    Bundle::new(Runtime::Runc, MORE).seccomp(&file).run().expect_failure("Function not implemented");
}
