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
