//! `tipstaff profile`, `verify` and `heal` as a black box: every form, every wrong input, and what a program is refused.
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use tipstaff_testkit::{Ran, Scratch, User, guest, skip, tipstaff_command};

use crate::both;

/// A document in containers-common's form, with everything that forms differ in.
const ENGINE: &str = r#"{
  "defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOSYS",
  "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}, {"architecture": "SCMP_ARCH_S390X"}],
  "syscalls": [
    {"names": ["read", "write", "call_of_tomorrow"], "action": "SCMP_ACT_ALLOW", "comment": "always"},
    {"name": "ptrace", "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_PTRACE"]}},
    {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errno": "EPERM"},
    {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}
  ]
}"#;

fn go(user: User, place: &Scratch, words: &[&str]) -> Ran {
    tipstaff_command(words).as_user(user).cwd(place.path()).go()
}

fn text(place: &Scratch, name: &str) -> String {
    fs::read_to_string(place.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

both!(a_profile_is_written_in_every_form, |user| {
    let place = Scratch::new(user);
    place.file("p.json", ENGINE);
    let convert = |to: &[&str]| {
        let all = [&["profile", "convert", "p.json", "--arch", "x86_64"], to].concat();
        go(user, &place, &all).expect_exit(0).out()
    };
    // Its own form, when none is asked for: the same document.
    let own = convert(&[]);
    assert!(
        own.contains("archMap") && own.contains("\"comment\": \"always\"") && own.contains("CAP_SYS_PTRACE"),
        "{own}"
    );
    let strict = "\
{
  \"defaultAction\": \"SCMP_ACT_ERRNO\",
  \"defaultErrnoRet\": 38,
  \"architectures\": [
    \"SCMP_ARCH_X86_64\",
    \"SCMP_ARCH_X86\"
  ],
  \"syscalls\": [
    {
      \"names\": [
        \"read\",
        \"write\",
        \"call_of_tomorrow\"
      ],
      \"action\": \"SCMP_ACT_ALLOW\"
    },
    {
      \"names\": [
        \"mount\"
      ],
      \"action\": \"SCMP_ACT_ERRNO\",
      \"errnoRet\": 1
    },
    {
      \"names\": [
        \"clone\"
      ],
      \"action\": \"SCMP_ACT_ALLOW\",
      \"args\": [
        {
          \"index\": 0,
          \"value\": 2114060288,
          \"valueTwo\": 0,
          \"op\": \"SCMP_CMP_MASKED_EQ\"
        }
      ]
    }
  ]
}
";
    convert(&["-o", "strict.json"]);
    assert_eq!(text(&place, "strict.json"), strict);
    let docker = convert(&["--format", "docker"]);
    assert!(
        docker.contains("\"defaultErrnoRet\": 38") && docker.contains("archMap") && !docker.contains("\"errno\""),
        "{docker}"
    );
    convert(&["-o", "unit.conf"]);
    assert_eq!(
        text(&place, "unit.conf"),
        "[Service]\nSystemCallFilter=clone read write\nSystemCallErrorNumber=ENOSYS\nSystemCallArchitectures=x86-64 x86\n"
    );
    convert(&["-o", "p.toml"]);
    let toml = text(&place, "p.toml");
    assert!(toml.contains("base = \"nothing\"") && toml.contains("mask = 0x7e020000"), "{toml}");
    convert(&["-o", "p.bpf"]);
    let bpf = fs::read(place.join("p.bpf")).expect("written");
    assert!(bpf.len() > 100 && bpf.len().is_multiple_of(8), "{}", bpf.len());
    let base64 = convert(&["--format", "bpf-base64"]);
    assert_eq!(base64.trim().len(), bpf.len().div_ceil(3) * 4);
    let mode = fs::metadata(place.join("p.bpf")).expect("there").mode();
    assert_eq!(mode & 0o7777, 0o600);
    // Forms that say the same differ in nothing; a Tipstaff profile has the native architecture only, and lets every program end.
    go(user, &place, &["profile", "diff", "p.json", "strict.json"]).expect_exit(0).expect_stdout("");
    let ran = go(user, &place, &["profile", "diff", "strict.json", "p.toml"]);
    ran.expect_exit(1).expect_stdout(
        "- i386: an architecture that only the first has rules for\n+ exit, exit_group, restart_syscall, rt_sigreturn: errno ENOSYS -> allow\n",
    );
    // Another capability is another profile.
    let ran = go(user, &place, &["profile", "explain", "ptrace", "p.json"]);
    ran.check(ran.out().contains("does not count here: needs CAP_SYS_PTRACE"), "the capability is named");
    let ran = go(user, &place, &["profile", "explain", "ptrace", "p.json", "--caps", "sys_ptrace"]);
    ran.check(ran.out().starts_with("ptrace on x86_64: allow\n"), "it counts with it");
});

both!(wrong_documents_name_the_member, |user| {
    let place = Scratch::new(user);
    let entry = |fields: &str| {
        format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["read"], {fields}}}]}}"#)
    };
    let arg = |arg: &str| entry(&format!(r#""action": "SCMP_ACT_ALLOW", "args": [{arg}]"#));
    for (text, words) in [
        ("{\"defaultAction\": 1}".to_owned(), &["wrong.json", "line 1", "defaultAction", "expected a string"][..]),
        ("{".to_owned(), &["wrong.json", "line 1"]),
        (arg(r#"{"index": 0, "op": "SCMP_CMP_EQ", "value": "x"}"#), &["syscalls[0].args[0].value"]),
        (arg(r#"{"index": 0, "op": "SCMP_CMP_IS", "value": 1}"#), &["syscalls[0].args[0].op", "SCMP_CMP_EQ"]),
        (arg(r#"{"index": 9, "op": "SCMP_CMP_EQ", "value": 1}"#), &["syscalls[0].args[0].index", "0 to 5"]),
        (entry(r#""action": "SCMP_ACT_ALOW""#), &["syscalls[0].action", "SCMP_ACT_ALLOW"]),
        (entry(r#""action": "SCMP_ACT_ERRNO", "errno": "ENOSYSS""#), &["syscalls[0].errno", "ENOSYS"]),
        (r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_65"]}"#.to_owned(), &["architectures[0]", "SCMP_ARCH_X86_64"]),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]}"#.to_owned(),
            &["archMap", "remove one"],
        ),
        ("{}".to_owned(), &["defaultAction", "is missing"]),
    ] {
        place.file("wrong.json", &text);
        go(user, &place, &["profile", "convert", "wrong.json"]).expect_error_line(125, words);
        go(user, &place, &["profile", "diff", "wrong.json", "docker-default"]).expect_error_line(125, words);
        // A check says that it is no profile: that is what it was asked.
        go(user, &place, &["profile", "check", "wrong.json"]).expect_error_line(1, words);
        go(user, &place, &["verify", "wrong.json", "--", "true"]).expect_error_line(125, words);
    }
    go(user, &place, &["profile", "check", "none.json"]).expect_error_line(125, &["none.json", "no such file"]);
    go(user, &place, &["profile", "diff", "nonesuch", "default"]).expect_error_line(125, &["nonesuch"]);
    go(user, &place, &["profile", "convert", "docker-default", "--caps", "sys_admn"])
        .expect_error_line(125, &["CAP_SYS_ADMIN"]);
    go(user, &place, &["profile", "explain", "opennat", "docker-default"])
        .expect_error_line(125, &["opennat", "openat"]);
});

both!(a_result_that_cannot_be_written_leaves_what_was_there, |user| {
    let place = Scratch::new(user);
    place.file("p.json", ENGINE);
    let precious = place.file("precious.json", "old");
    symlink(&precious, place.join("link.json")).expect("linked");
    let convert = |to: &str| go(user, &place, &["profile", "convert", "p.json", "-o", to]);
    convert("link.json").expect_error_line(125, &["link.json", "symbolic link"]);
    convert("none/x.json").expect_error_line(125, &["none/x.json", "make the directory"]);
    convert("x.yaml").expect_error_line(125, &["x.yaml", ".json", "--format"]);
    convert("./").expect_error_line(125, &["./"]);
    assert_eq!(text(&place, "precious.json"), "old");
    // What cannot be made is not written either: a deny list is no list of allowed calls.
    place.file("open.json", r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#);
    place.file("out.toml", "old");
    let ran = go(user, &place, &["profile", "convert", "open.json", "-o", "out.toml"]);
    ran.expect_error_line(125, &["open.json", "syscalls.base"]);
    assert_eq!(text(&place, "out.toml"), "old");
    // The control: what can be made is.
    convert("precious.json").expect_exit(0);
    assert!(text(&place, "precious.json").starts_with('{'));
    assert!(!Path::new(&place.join("none")).exists());
});

both!(check_says_what_is_suspicious, |user| {
    let place = Scratch::new(user);
    let findings = |text: &str, options: &[&str]| {
        place.file("p.json", text);
        let ran = go(user, &place, &[&["profile", "check", "p.json"], options].concat());
        (ran.code(), ran.out())
    };
    let allow = |names: &str| {
        format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [{{"names": [{names}], "action": "SCMP_ACT_ALLOW"}}]}}"#
        )
    };
    assert_eq!(findings(&allow("\"read\", \"mseal\""), &[]), (0, "p.json: ok\n".to_owned()));
    for (text, options, words) in [
        (allow("\"read\", \"mseal\""), &["--libseccomp", "2.5.4"][..], "libseccomp 2.5.4 does not know mseal"),
        (allow("\"read\", \"bpf\""), &[], "bpf: allowed with any arguments"),
        (allow("\"opennat\""), &[], "no table knows opennat; did you mean openat?"),
        (allow("\"clone\""), &[], "clone: allowed with any flags"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#.to_owned(), &[], "what no rule names is allowed"),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}, {"names": ["read"], "action": "SCMP_ACT_LOG"}]}"#.to_owned(),
            &[],
            "syscalls[1]: read is never reached: syscalls[0] decides first",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}"#.to_owned(),
            &[],
            "clone3: refused with errno EACCES",
        ),
        (r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_AARCH64"]}"#.to_owned(), &["--arch", "x86_64"], "does not list SCMP_ARCH_X86_64"),
    ] {
        let (code, said) = findings(&text, options);
        assert!(code == 1 && said.contains(words), "{code} {words}\n{said}");
    }
});

both!(merged_profiles_allow_what_either_does, |user| {
    let place = Scratch::new(user);
    let document = |entries: &str| {
        format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [{entries}]}}"#
        )
    };
    let socket = |family: u32| {
        format!(
            r#"{{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{{"index": 0, "value": {family}, "op": "SCMP_CMP_EQ"}}]}}"#
        )
    };
    place.file(
        "a.json",
        document(&format!("{}, {}", socket(1), r#"{"names": ["read", "of_tomorrow"], "action": "SCMP_ACT_ALLOW"}"#)),
    );
    place.file(
        "b.json",
        document(&format!("{}, {}, {}", socket(1), socket(2), r#"{"names": ["read"], "action": "SCMP_ACT_LOG"}"#)),
    );
    go(user, &place, &["profile", "merge", "a.json", "b.json", "-o", "both.json", "--arch", "x86_64"]).expect_exit(0);
    let merged = text(&place, "both.json");
    // The argument that both have stands there once, the more permissive action wins, and a call that only a newer table knows is kept.
    assert_eq!((merged.matches("SCMP_CMP_EQ").count(), merged.matches("SCMP_ACT_LOG").count()), (2, 0), "{merged}");
    assert!(merged.contains("of_tomorrow"), "{merged}");
    let ran = go(user, &place, &["profile", "diff", "a.json", "both.json", "--arch", "x86_64"]);
    ran.expect_exit(1).expect_stdout(
        "~ socket: allow if arg0 == 0x1, else errno ENOSYS -> allow if arg0 == 0x1 or arg0 == 0x2, else errno ENOSYS\n",
    );
    go(user, &place, &["profile", "merge", "b.json", "a.json", "-o", "turned.json", "--arch", "x86_64"]).expect_exit(0);
    assert_eq!(text(&place, "turned.json"), merged);
});

/// A profile of what `mkdir --version` does, by a backend that every user has.
#[track_caller]
fn of_mkdir(user: User, place: &Scratch) {
    let words =
        ["record", "-q", "--backend", "ptrace", "-o", "p.json", "--recording", "p.rec", "--", "mkdir", "--version"];
    go(user, place, &words).expect_exit(0);
}

both!(verify_tells_what_is_refused_and_heal_adds_it, |user| {
    let place = Scratch::new(user);
    of_mkdir(user, &place);
    let ran = go(user, &place, &["verify", "p.json", "--backend", "ptrace", "--", "mkdir", "--version"]);
    ran.expect_exit(0);
    // In complain mode it is made, and told with who made it first; in enforce mode it is refused.
    let ran =
        go(user, &place, &["verify", "--mode", "complain", "--backend", "ptrace", "p.json", "--", "mkdir", "made"]);
    ran.expect_exit(1);
    ran.check(ran.err().contains("would refuse x86_64 mkdir: errno ENOSYS; made once, first by"), "the call is told");
    assert!(place.join("made").exists());
    let ran = go(user, &place, &["verify", "--mode", "enforce", "p.json", "--", "mkdir", "refused"]);
    ran.expect_exit(1);
    ran.check(
        ran.err().contains("refused x86_64 mkdir(") && ran.err().contains("errno ENOSYS; once"),
        "the refusal is told",
    );
    assert!(!place.join("refused").exists());
    go(user, &place, &["record", "-q", "--backend", "ptrace", "--recording", "mkdir.rec", "--", "mkdir", "again"])
        .expect_exit(0);
    let ran = go(user, &place, &["verify", "p.json", "--recording", "mkdir.rec"]);
    ran.expect_exit(1);
    // A command has no set-up: what was not looked at agrees with every profile.
    let ran = go(user, &place, &["verify", "p.json", "--phases", "setup", "--recording", "mkdir.rec"]);
    ran.expect_error_line(125, &["nothing was recorded", "--phases"]);
    let ran = go(user, &place, &["heal", "p.json", "-o", "healed.json", "--recording", "mkdir.rec"]);
    ran.expect_exit(0);
    ran.check(ran.err().contains("added x86_64 mkdir"), "what was added is told");
    let ran = go(user, &place, &["profile", "diff", "p.json", "healed.json"]);
    ran.check(ran.out().contains("+ mkdir") && !ran.out().contains("- "), "nothing is taken away");
    go(user, &place, &["verify", "healed.json", "--recording", "mkdir.rec"]).expect_exit(0);
    go(user, &place, &["verify", "--mode", "enforce", "healed.json", "--", "mkdir", "healed"]).expect_exit(0);
    assert!(place.join("healed").exists());
    // A Tipstaff profile heals, too, and stays one.
    go(user, &place, &["profile", "convert", "p.json", "-o", "p.toml"]).expect_exit(0);
    go(user, &place, &["heal", "p.toml", "-o", "healed.toml", "--recording", "mkdir.rec"]).expect_exit(0);
    go(user, &place, &["verify", "healed.toml", "--recording", "mkdir.rec"]).expect_exit(0);
    go(user, &place, &["verify", "p.toml", "--recording", "mkdir.rec"]).expect_exit(1);
    let ran = go(user, &place, &["profile", "explain", "mkdir", "mkdir.rec"]);
    ran.check(ran.out().starts_with("run 1: mkdir on x86_64 by "), "who made it");
});

both!(complain_tells_what_enforce_refuses_word_by_word, |user| {
    let place = Scratch::new(user);
    let program = guest("recorded");
    let program = program.to_str().expect("text");
    go(
        user,
        &place,
        &["record", "-q", "--backend", "ptrace", "--args", "none", "-o", "all.json", "--", program, "words"],
    )
    .expect_exit(0);
    // The question of personality(2) as an int, which is what C libraries pass; and lseek(2), whose words nobody records else, from the start alone.
    let profile = |name: &str, question: u64, whence: u64| {
        let mut all: serde_json::Value = serde_json::from_str(&text(&place, "all.json")).expect("a profile is JSON");
        let entries = all["syscalls"].as_array_mut().expect("entries");
        for names in entries.iter_mut().filter_map(|entry| entry["names"].as_array_mut()) {
            names.retain(|name| name != "personality" && name != "lseek");
        }
        entries.retain(|entry| entry["names"].as_array().is_some_and(|names| !names.is_empty()));
        for (call, index, value) in [("personality", 0, question), ("lseek", 2, whence)] {
            let args = serde_json::json!([{"index": index, "value": value, "op": "SCMP_CMP_EQ"}]);
            entries.push(serde_json::json!({"names": [call], "action": "SCMP_ACT_ALLOW", "args": args}));
        }
        place.file(name, all.to_string());
    };
    profile("half.json", 0xffff_ffff, 0);
    profile("whole.json", u64::MAX, 2);
    let backends: &[&str] = if user == User::Root { &["ebpf", "ptrace", "notify"] } else { &["ptrace", "notify"] };
    for backend in backends {
        let ran =
            go(user, &place, &["verify", "--mode", "both", "--backend", backend, "half.json", "--", program, "words"]);
        ran.expect_exit(1);
        for name in ["personality", "lseek"] {
            ran.check(
                ran.err().contains(&format!("would refuse x86_64 {name}")),
                format_args!("complain, {backend}, {name}"),
            );
            ran.check(ran.err().contains(&format!("refused x86_64 {name}(")), format_args!("enforce, {name}"));
        }
        go(user, &place, &["verify", "--mode", "both", "--backend", backend, "whole.json", "--", program, "words"])
            .expect_exit(0);
    }
    // Of a recording only the half that the kernel reads is known.
    go(user, &place, &["record", "-q", "--backend", "ptrace", "--recording", "words.rec", "--", program, "words"])
        .expect_exit(0);
    let ran = go(user, &place, &["verify", "half.json", "--recording", "words.rec"]);
    ran.check(ran.err().contains("those that were made are not recorded: lseek, personality"), "neither is judged");
    // What is added is what was made.
    go(user, &place, &["heal", "half.json", "-o", "healed.json", "--backend", "ptrace", "--", program, "words"])
        .expect_exit(0);
    go(user, &place, &["verify", "--mode", "enforce", "healed.json", "--", program, "words"]).expect_exit(0);
});

both!(what_cannot_be_verified_or_healed_is_one_line, |user| {
    let place = Scratch::new(user);
    of_mkdir(user, &place);
    place.file("open.json", r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#);
    go(user, &place, &["heal", "open.json", "-o", "x.json", "--recording", "p.rec"])
        .expect_error_line(125, &["open.json", "defaultAction", "lets everything pass"]);
    assert!(!place.join("x.json").exists());
    go(user, &place, &["verify", "p.json"]).expect_error_line(125, &["--recording", "--container"]);
    go(user, &place, &["verify", "p.json", "--mode", "enforce", "--recording", "p.rec"])
        .expect_error_line(125, &["--mode enforce"]);
    go(user, &place, &["verify", "p.json", "--recording", "none.rec"]).expect_error_line(125, &["none.rec"]);
    go(user, &place, &["verify", "p.json", "--backend", "ptrace", "--", "/no/such"])
        .expect_error_line(125, &["/no/such"]);
    // A profile under which nothing can even be executed says so.
    place.file("none.json", r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#);
    let ran = go(user, &place, &["verify", "--mode", "enforce", "none.json", "--", "true"]);
    ran.expect_exit(1);
    ran.check(ran.err().contains("refused x86_64 execve("), "its execve is what was refused");
});

both!(a_killed_call_ends_the_program_and_is_told, |user| {
    let place = Scratch::new(user);
    of_mkdir(user, &place);
    let kill =
        text(&place, "p.json").replacen("SCMP_ACT_ERRNO\",\n  \"defaultErrnoRet\": 38", "SCMP_ACT_KILL_PROCESS\"", 1);
    place.file("kill.json", &kill);
    let ran = go(user, &place, &["verify", "--mode", "enforce", "kill.json", "--", "mkdir", "made"]);
    ran.expect_exit(1);
    ran.check(ran.err().contains(": killed; once") && ran.err().contains("died of signal 9"), "killed");
    assert!(!place.join("made").exists());
    go(user, &place, &["verify", "--mode", "enforce", "kill.json", "--", "mkdir", "--version"]).expect_exit(0);
});

both!(an_engines_shipped_profile_is_read, |user| {
    const SHIPPED: &str = "/usr/share/containers/seccomp.json";
    if !Path::new(SHIPPED).exists() {
        skip!("containers-common's default: {SHIPPED} (package golang-github-containers-common)");
    }
    let place = Scratch::new(user);
    let ran = go(user, &place, &["profile", "diff", SHIPPED, "containers-default", "--caps", "podman"]);
    ran.check(ran.out().lines().count() < 10, "few differences between releases");
    go(user, &place, &["profile", "convert", SHIPPED, "-o", "strict.json"]).expect_exit(0);
    go(user, &place, &["profile", "diff", SHIPPED, "strict.json"]).expect_exit(0).expect_stdout("");
});
