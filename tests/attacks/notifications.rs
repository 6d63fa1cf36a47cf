//! N: what a supervisor of calls can get wrong.
use crate::attacks;
use crate::case::{Case, answers, refused, works};

attacks! {
    N1 "an argument that changes after the look" => tried(notify ptrace: changing_address)
        + held("crates/tipstaff/tests/notify_engine/race.rs": open creat openat2 rename link chdir exec, "tests/tests/network_drill.rs":
            an_address_that_changes_meanwhile an_address_of_a_datagram_or_a_bind_that_changes_meanwhile, "crates/tipstaff/tests/handlers/exec.rs":
            a_swapped_path_never_runs a_swapped_argument_never_arrives);
    N2 "a writer in another process" => held("crates/tipstaff/tests/handlers/paths.rs": what_is_below_holds_when_memory_is_rewritten,
        "tests/tests/network_drill.rs": an_address_that_changes_meanwhile);
    N3 "an argument that is read twice" => held("crates/notify/tests/alone.rs": what_was_read_is_not_left_to_the_kernel);
    N4 "a descriptor that changes after the look" => held("tests/tests/network_drill.rs": a_socket_that_changes_meanwhile);
    N5 "a thread with descriptors of its own" => tried(notify ptrace: own_descriptors);
    N6 "a stale question, or a number that another has now" => held("crates/tipstaff/tests/handlers/deferral.rs":
        an_answer_does_not_meet_another_call_of_the_same_number a_waiting_thread_may_vanish);
    N7 "EINTR from calls that never give it" => tried(native notify ptrace: interrupted)
        + held("tests/tests/notify.rs": what_the_default_profile_does_not_notify_is_not_interrupted dash_pipelines_end,
            "crates/tipstaff/tests/notify_engine/waits.rs": what_is_not_notified_is_never_interrupted);
    N8 "a wait that no signal ends" => held("crates/tipstaff/tests/notify_engine/waits.rs": a_signal_interrupts_whom_it_is_for_and_nobody_else
        a_kill_ends_a_wait_at_once, "tests/tests/network_drill.rs": a_connect_that_blocks_stalls_nobody);
    N9 "a caller that is killed before the answer" => held("crates/notify/tests/alone.rs": a_killed_caller_is_ordinary_and_the_end_is_told);
    N10 "spurious errors of the listener" => held("tests/tests/fault_drill.rs": denied_eintr denied_enomem denied_emfile denied_esrch);
    N11 "a wait for calls of nobody" => held("crates/notify/tests/alone.rs": a_killed_caller_is_ordinary_and_the_end_is_told,
        "crates/tipstaff/tests/notify_engine/hot.rs": the_thread_ends_when_the_calls_do);
    N12 "every worker in a slow call" => held("crates/tipstaff/tests/handlers/deferral.rs": only_the_caller_waits,
        "crates/tipstaff/tests/policy/late.rs": a_function_that_hangs_holds_up_its_caller_alone);
    N13 "a path or socket that the box itself serves" => held("tests/tests/network_drill.rs": a_connect_that_blocks_stalls_nobody,
        "tests/tests/network_send.rs": what_waits_is_held_within_a_budget);
    N14 "a supervisor under its own filter" => held("crates/tipstaff/tests/notify_engine/inside.rs": supervisor_and_keeper_are_out_of_reach,
        "tests/tests/stdio.rs": no_other_descriptor_arrives);
    N15 "an argument that ends where memory does" => tried(notify ptrace: edges_of_memory)
        + held("crates/supervise/src/network/address.rs": short_and_strange_addresses_are_errors,
        "crates/supervise/src/network/unix.rs": names_end_where_the_kernel_ends_them);
    N16 "a caller whose memory cannot be read" => tried(notify ptrace: unreadable_caller);
    N17 "a descriptor that cannot be put in" => held("crates/notify/tests/alone.rs": a_descriptor_that_does_not_fit_is_a_refusal dropped_means_refused);
    N18 "a descriptor put where another is" => held("crates/notify/tests/alone.rs": a_descriptor_is_the_answer
        a_descriptor_has_the_number_of_nobody_and_the_flag_that_was_said);
    N19 "a descriptor that can more than was asked" => tried(notify: moved_socket);
    N20 "a call made with the supervisor's own rights" => held("crates/supervise/src/network/unix.rs": only_whoever_has_the_callers_ids_stands_for_it,
        "tests/tests/network_unix.rs": unix_sockets_beneath_what_may_be_written);
    N21 "a decision that comes too late" => held("crates/tipstaff/tests/policy/late.rs": a_late_decision_is_a_refusal_and_is_told,
        "crates/tipstaff/tests/handlers/deferral.rs": a_deadline_answers);
    N22 "a question of a vfork child" => held("crates/tipstaff/tests/policy/functions.rs": eighty_spawns_by_each_of_eight_threads_are_decided,
        "crates/tipstaff/tests/handlers/exec.rs": approved_execs_of_every_form_run);
    N23 "a storm of questions" => held("crates/tipstaff/tests/notify_engine/crowd.rs": a_storm_loses_and_misroutes_nothing_and_leaves_others_alone
        a_box_is_killed_in_the_middle_of_its_storm);
    N24 "the listener in the box's hands" => held("crates/tipstaff/tests/notify_engine/inside.rs": supervisor_and_keeper_are_out_of_reach
        without_a_box_the_listener_can_be_seen);
    N25 "a supervisor that is gone" => held("crates/tipstaff/tests/notify_engine/killed.rs": nothing_survives);
    N26 "a handler that panics" => held("crates/tipstaff/tests/handlers/basics.rs": a_panic_is_an_errno_and_an_internal_error,
        "crates/tipstaff/tests/notify_engine/hot.rs": a_panic_refuses_the_call_and_ends_as_in_the_loop);
    N27 "descriptors of one box in another" => held("crates/tipstaff/tests/ahead.rs": a_box_that_stands_holds_no_pipe_of_the_host_open,
        "tests/tests/stdio.rs": no_other_descriptor_arrives);
}

/// The ports of two servers of the test, which take every connection and end it.
pub(crate) fn ports() -> [String; 2] {
    [0, 0].map(|_| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port().to_string();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        port
    })
}

pub(crate) fn allowed(port: &str) -> String {
    format!("tcp://127.0.0.1:{port}")
}

fn changing_address(case: &Case) {
    let [good, bad] = ports();
    let free = case.free(["attackreach", "flip", &good, &bad, "300", "both"]).go();
    free.check(free.out().contains("wrong OK"), "the control reaches the other port");
    let ran = case.boxed(["attackreach", "flip", &good, &bad, "300"]).option("--net", allowed(&good)).go();
    ran.expect_ok().expect_stdout("right OK\nwrong EACCES\n");
}

fn own_descriptors(case: &Case) {
    let [good, bad] = ports();
    let run = |first: &str, second: &str| {
        case.boxed(["attackreach", "own", first, second]).option("--net", allowed(&good)).go()
    };
    let free = case.free(["attackreach", "own", &good, &bad]).go();
    works(&free, &["thread_allowed", "thread_denied"]);
    let ran = run(&good, &bad);
    ran.expect_ok();
    // The thread's descriptor is what counts, not that of the same number in the leader's table.
    ran.check(ran.out().contains("thread_allowed OK"), "the thread's own socket reaches what is allowed");
    ran.check(ran.out().contains("thread_denied E"), "the thread's own socket reaches what is denied");
}

fn interrupted(case: &Case) {
    for call in ["getppid", "openat", "close", "dup", "kill"] {
        let ran = case.boxed(["interrupted", call, "3000"]).go();
        ran.expect_exit(0);
        ran.check(ran.out().contains("EINTR 0 "), format_args!("{call} was interrupted"));
        ran.check(!ran.out().trim().ends_with("signals 0"), "the control: a timer that never fired");
    }
}

fn unreadable_caller(case: &Case) {
    // A program that may be executed and not read is one whose memory nobody of the same user may read.
    if case.is_root() {
        tipstaff_testkit::skip!("root may read every program");
    }
    let [good, bad] = ports();
    if !tipstaff_testkit::User::Root.available() {
        tipstaff_testkit::skip!("a program of somebody else needs root");
    }
    let scratch = tipstaff_testkit::Scratch::new(case.user);
    let path = scratch.file("reach", std::fs::read(tipstaff_testkit::guest("attackreach")).expect("a guest"));
    // Of somebody who has no number in the box's user namespace: of whoever has one the namespace's owner, the supervisor, may read it.
    std::os::unix::fs::chown(&path, Some(0), Some(0)).expect("root");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o111)).expect("own file");
    let dir = scratch.path();
    let words = [path.as_os_str(), "once".as_ref(), good.as_ref(), bad.as_ref()];
    works(&case.free(words).go(), &["right", "wrong"]);
    let run = || case.boxed(words).option("--exec", dir).option("--net", allowed(&good)).go();
    let ran = run();
    ran.expect_ok();
    refused(&ran, &["right", "wrong"]);
    // The control: the same program, which may be read.
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o555)).expect("own file");
    let ran = run();
    works(&ran, &["right"]);
    refused(&ran, &["wrong"]);
}

fn edges_of_memory(case: &Case) {
    let [good, bad] = ports();
    let words = ["attackreach", "edge", &good, &bad];
    let free = case.free(words).go();
    works(&free, &["address_whole", "header_whole"]);
    let udp = format!("udp://127.0.0.1:{good}");
    let ran = case.boxed(words).option("--net", allowed(&good)).option("--net", udp).go();
    ran.expect_ok();
    assert_eq!(answers(&free), answers(&ran), "{ran}");
    free.check(answers(&free).values().filter(|answer| *answer == "EFAULT").count() >= 8, "memory ends nowhere");
}

fn moved_socket(case: &Case) {
    // What asks the box's name server is replaced by a socket of that server's network.
    let [good, _] = ports();
    let other = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let bad = other.local_addr().expect("an address").port().to_string();
    let run = || case.boxed(["attackreach", "moved", &good, &bad]).option("--net", "tcp://localhost:1");
    let ran = run().go();
    ran.expect_ok();
    works(&ran, &["asked"]);
    if answers(&ran)["is_another"] != "OK" {
        tipstaff_testkit::skip!("the box's name server needs no network namespace, as root's, or can have none");
    }
    works(&ran, &["same_kind", "same_status", "same_flags", "one_descriptor"]);
    refused(&ran, &["to_other", "connect_other", "message_to_other", "bind", "fresh_to_other"]);
    other.set_nonblocking(true).expect("own socket");
    assert!(other.recv(&mut [0; 8]).is_err(), "the other port was reached: {ran}");
    // The control: the same program with a rule for that port.
    let ran = run().option("--net", format!("udp://127.0.0.1:{bad}")).go();
    works(&ran, &["is_another", "fresh_to_other"]);
    assert!(other.recv(&mut [0; 8]).is_ok(), "the control reaches it: {ran}");
}
