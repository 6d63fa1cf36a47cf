//! Threads that are made to make a call for us: the instruction, the memory and the descriptors are the guest's, who can exchange them meanwhile.
use std::fs;

use tipstaff_testkit::{Machine, Run, Scratch, Without, run};

use crate::both;

fn emulated(words: &[&str]) -> Run {
    run(words).option("--engine", "ptrace").option("--guest-ptrace", "emulate")
}

both!(an_exchanged_instruction_gets_nobody_past_the_handlers, |user| {
    for way in ["install", "script"] {
        let ran = |scope: &str| {
            let made = emulated(&["attackgate", way]).option("--guest-listener", "emulate");
            made.option("--ptrace-scope", scope)
                .wall("100s")
                .patience(std::time::Duration::from_secs(120))
                .as_user(user)
                .go()
        };
        ran("restricted").expect_ok().expect_stdout("turned OK\nread never\n");
        // The control: the call behind the jump is made where nobody refuses it.
        ran("classic").expect_ok().expect_stdout("turned OK\nread OK\n");
    }
});

both!(an_exchanged_descriptor_is_not_written_to, |user| {
    let scratch = Scratch::new(user);
    let victim = scratch.file("victim", "precious");
    let path = victim.to_string_lossy();
    // Without a mount namespace the file has a name there, and Landlock lets everybody name it. A text that is ours may not get there by somebody who has more rights.
    let ran =
        |words: &[&str]| emulated(words).on(Machine::Traced(Some(Without::Namespaces))).wall("100s").as_user(user).go();
    ran(&["attackgate", "exchange", &path]).expect_ok().expect_stdout("path OK\nwrite EACCES\ndone\n");
    assert_eq!(fs::read_to_string(&victim).expect("own file"), "precious");
    // The control: the descriptor is exchanged in time, and the text gets where the guest itself could write it.
    ran(&["attackgate", "exchange"]).expect_ok().expect_stdout("text OK\ndone\n");
});

both!(a_pipe_that_is_called_as_a_file_of_proc_holds_up_nobody, |user| {
    let ran = emulated(&["attackgate", "fifo"]).wall("50s").as_user(user).go();
    ran.expect_ok().expect_stdout("opens\nopen OK\n");
});

both!(what_is_refused_is_refused_at_the_place_where_calls_are_held, |user| {
    let scratch = Scratch::new(user);
    for list in ["deny", "kill"] {
        let toml = format!("extends = \"default\"\n[syscalls]\n{list} = [\"keyctl\"]\n");
        let profile = scratch.file("p.toml", toml);
        let ran = |way: &str| {
            let made = emulated(&["attackgate", "place", way]).option("--guest-listener", "emulate").profile(&profile);
            made.wall("50s").as_user(user).go()
        };
        for ran in [ran("there"), ran("here")] {
            ran.check(ran.out().starts_with("found OK\n"), "the place is found");
            let told =
                ran.report["denials"].as_array().is_some_and(|all| all.iter().any(|one| one["syscall"] == "keyctl"));
            ran.check(told, "it is told");
            match list {
                "kill" => ran.expect_verdict("policy_violation"),
                _ => ran.expect_ok().expect_stdout("found OK\nkeyctl EPERM\n"),
            };
        }
    }
});
