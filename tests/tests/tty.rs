//! `run -- bash` on a terminal has job control, and no box can type on its caller's terminal.
use std::time::Duration;

use tipstaff_testkit::{Pty, Started, User, plain, run, skip};

use crate::both;

const SOON: Duration = Duration::from_secs(60);

fn there_is_bash() -> bool {
    std::path::Path::new("/bin/bash").exists()
}

both!(a_shell_has_job_control, |user| {
    if !there_is_bash() {
        skip!("bash is not installed");
    }
    let pty = Pty::new(user);
    let shell =
        run(["/bin/bash", "--norc", "--noprofile", "-i"]).option("--env", "PS1=prompt> ").on_pty(&pty).as_user(user);
    job_control(&pty, shell.start());
});

/// The session below is one that a shell outside a box passes.
#[test]
fn a_shell_outside_a_box_has_job_control() {
    if !there_is_bash() {
        skip!("bash is not installed");
    }
    let pty = Pty::new(User::Ordinary);
    let shell =
        plain(["/bin/bash", "--norc", "--noprofile", "-i"]).env("PS1", "prompt> ").on_pty(&pty).as_user(User::Ordinary);
    job_control(&pty, shell.start());
}

/// A session at the keyboard: a job is stopped, listed, brought back, interrupted.
fn job_control(pty: &Pty, shell: Started) {
    pty.expect("prompt> ", SOON);
    pty.send("tty && echo is-a-$((1+1))-tty\n");
    pty.expect("is-a-2-tty", SOON);
    pty.send("sleep 1000\n");
    await_foreground(pty, &shell);
    pty.send("\x1a");
    pty.expect("Stopped", SOON);
    pty.expect("prompt> ", SOON);
    pty.send("jobs; echo listed-$((2+2))\n");
    pty.expect("listed-4", SOON);
    pty.send("fg\n");
    await_foreground(pty, &shell);
    pty.send("\x03");
    pty.expect("prompt> ", SOON);
    pty.send("echo after-$((3+3)); exit 9\n");
    pty.expect("after-6", SOON);
    shell.finish().expect_exit(9);
    assert!(!pty.screen().contains("no job control"), "{}", pty.screen());
}

/// Waits until a `sleep` runs below the command: the shell has started its job.
fn await_foreground(pty: &Pty, shell: &Started) {
    let deadline = std::time::Instant::now() + SOON;
    loop {
        let below = tipstaff_testkit::descendants(shell.pid());
        if below.iter().any(|process| process.command.starts_with("sleep 1000") && process.state == 'S') {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "no job in the foreground:\n{}", pty.screen());
        std::thread::yield_now();
    }
}

both!(the_interrupt_key_reaches_the_guest, |user| {
    let pty = Pty::new(user);
    let started = run(["sigwait"]).on_pty(&pty).as_user(user).start();
    pty.expect("ready", SOON);
    pty.send("\x03");
    pty.expect("INT", SOON);
    started.finish().expect_exit(40 + 2);
});

/// A program that handles its interrupts gets each of them, as it does without a box; it is not ours to end.
fn interrupted_again_and_again(pty: &Pty, started: Started) {
    for time in 1..=3 {
        pty.expect(if time == 1 { "ready" } else { "again" }, SOON);
        pty.send("\x03");
        pty.expect(&format!("interrupt-{time}"), SOON);
    }
    started.finish().expect_exit(7);
}

const COUNTS: [&str; 3] = [
    "/bin/sh",
    "-c",
    "n=0; trap 'n=$((n+1)); echo interrupt-$n; echo again' INT; echo ready; while [ $n -lt 3 ]; do sleep 0.02; done; exit 7",
];

both!(each_interrupt_key_is_the_guests, |user| {
    let pty = Pty::new(user);
    interrupted_again_and_again(&pty, run(COUNTS).on_pty(&pty).as_user(user).start());
});

#[test]
fn each_interrupt_key_is_a_programs_outside() {
    let pty = Pty::new(User::Ordinary);
    interrupted_again_and_again(&pty, plain(COUNTS).on_pty(&pty).as_user(User::Ordinary).start());
}

both!(the_size_of_the_window_is_the_terminals, |user| {
    let pty = Pty::new(user);
    let script = "stty size; echo ready; while [ \"$(stty size)\" = '24 80' ]; do sleep 0.05; done; stty size";
    let started = run(["/bin/bash", "-c", script]).on_pty(&pty).as_user(user).start();
    pty.expect("24 80", SOON);
    pty.expect("ready", SOON);
    pty.resize(30, 100);
    pty.expect("30 100", SOON);
    started.finish();
});

both!(output_of_a_pipe_run_is_no_terminal_and_a_tty_run_is, |user| {
    let ran = run(["/usr/bin/tty"]).as_user(user).go();
    ran.expect_exit(1).expect_stdout("not a tty\n");
    let ran = run(["/bin/sh", "-c", "test -t 1 && stty -a > /dev/null < /dev/stdin && echo terminal"])
        .flag("--tty")
        .as_user(user)
        .go();
    ran.expect_exit(0);
    ran.check(ran.out().contains("terminal"), "--tty gives a terminal where the caller has none");
});

both!(nothing_is_typed_on_the_callers_terminal, |user| {
    // TIOCSTI (0x5412) and TIOCLINUX (0x541C), and both with bit 32 set: refused on the terminal
    // itself.
    let number = if cfg!(target_arch = "x86_64") { "16" } else { "29" };
    for request in ["0x5412", "0x100005412", "0x541C", "0x10000541C"] {
        let pty = Pty::new(user);
        let started = run(["sysprobe", number, "0", request, "@x"]).on_pty(&pty).as_user(user).start();
        let ran = started.finish();
        pty.expect("\n", SOON);
        let screen = pty.screen();
        ran.check(screen.contains("-1 E"), format_args!("ioctl {request} was not refused: {screen:?}"));
    }
    // Positive control: an ioctl that a terminal may have (TCGETS).
    let pty = Pty::new(user);
    run(["sysprobe", number, "0", "0x5401", "@"]).on_pty(&pty).as_user(user).start().finish();
    pty.expect("0 OK", SOON);
});
