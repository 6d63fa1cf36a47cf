//! N: what a supervisor of calls can get wrong.
use crate::attacks;
use crate::case::Case;

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
    N15 "an argument that ends where memory does" => held("crates/supervise/src/network/address.rs": short_and_strange_addresses_are_errors,
        "crates/supervise/src/network/unix.rs": names_end_where_the_kernel_ends_them);
    N16 "a caller whose memory cannot be read" => tried(notify ptrace: unreadable_caller);
    N17 "a descriptor that cannot be put in" => held("crates/notify/tests/alone.rs": dropped_means_refused a_descriptor_is_the_answer);
    N18 "a descriptor put where another is" => held("crates/notify/tests/alone.rs": a_descriptor_is_the_answer);
    N19 "a descriptor that can more than was asked" => design("No handler of the command puts descriptors into a box; a program that embeds the library says itself what it gives.");
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
fn ports() -> [String; 2] {
    [0, 0].map(|_| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port().to_string();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        port
    })
}

fn allowed(port: &str) -> String {
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
    }
}

fn unreadable_caller(case: &Case) {
    // A program that may be executed and not read is one whose memory nobody of the same user may read.
    if case.is_root() {
        tipstaff_testkit::skip!("root may read every program");
    }
    let [good, bad] = ports();
    let scratch = tipstaff_testkit::Scratch::new(case.user);
    let path = scratch.file("reach", std::fs::read(tipstaff_testkit::guest("attackreach")).expect("a guest"));
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o111)).expect("own file");
    let dir = scratch.path();
    let ran = case
        .boxed([path.as_os_str(), "once".as_ref(), good.as_ref(), bad.as_ref()])
        .option("--exec", dir)
        .option("--net", allowed(&good))
        .go();
    ran.check(!ran.out().contains("wrong OK"), "a call that could not be read was let through");
}
