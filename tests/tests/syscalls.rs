//! What the filter answers, from inside.
use tipstaff_testkit::{Run, plain, run};

use crate::both;

/// Calls that no box needs: name, number (x86_64), arguments.
const DENIED: &[(&str, &str, &[&str])] = &[
    ("bpf", "321", &["0", "@", "8"]),
    ("perf_event_open", "298", &["@", "0", "-1", "-1", "0"]),
    ("io_uring_setup", "425", &["4", "@"]),
    ("keyctl", "250", &["0", "-3", "0"]),
    ("add_key", "248", &["@user", "@name", "@x", "1", "-2"]),
    ("userfaultfd", "323", &["1"]),
    ("open_by_handle_at", "304", &["-100", "@", "0"]),
    ("kexec_load", "246", &["0", "0", "0", "0"]),
    ("init_module", "175", &["@", "0", "@"]),
    ("mount", "165", &["@none", "@/tmp", "@tmpfs", "0", "0"]),
    ("umount2", "166", &["@/proc", "2"]),
    ("pivot_root", "155", &["@/", "@/"]),
    ("unshare_user", "272", &["0x10000000"]),
    ("unshare_user_wide", "272", &["0x110000000"]),
    ("unshare_time", "272", &["0x80"]),
    ("setns", "308", &["0", "0"]),
    ("fsopen", "430", &["@tmpfs", "0"]),
    ("move_mount", "429", &["-100", "@/tmp", "-100", "@/tmp", "0"]),
    ("mount_setattr", "442", &["-100", "@/", "0", "@", "32"]),
    ("swapon", "167", &["@/tmp/x", "0"]),
    ("reboot", "169", &["0", "0", "0", "0"]),
    ("settimeofday", "164", &["0", "0"]),
    ("syslog", "103", &["3", "@", "16"]),
    ("acct", "163", &["0"]),
    ("iopl", "172", &["3"]),
    ("fanotify_init", "300", &["0", "0"]),
    ("statmount", "457", &["@", "@", "64", "0"]),
];

/// Calls that every program may make: the other half of each check.
const ALLOWED: &[(&str, &str, &[&str])] = &[
    ("getpid", "39", &[]),
    ("personality_query", "135", &["0xffffffff"]),
    // Debuggers start what they debug so; only where ptrace is denied is this denied too.
    ("personality_no_random", "135", &["0x0040000"]),
    ("uname", "63", &["@"]),
    ("getrandom", "318", &["@", "16", "0"]),
    ("memfd_create", "319", &["@name", "1"]),
    ("sched_yield", "24", &[]),
    ("unshare_files", "272", &["0x400"]),
    ("futex_wake", "202", &["@", "1", "1"]),
];

fn calls(program: &str, call: &(&str, &str, &[&str])) -> Run {
    run([program, call.1]).on_every(call.2)
}

trait OnEvery {
    fn on_every(self, args: &[&str]) -> Self;
}

impl OnEvery for Run {
    fn on_every(self, args: &[&str]) -> Self {
        args.iter().fold(self, |run, arg| run.arg(arg))
    }
}

both!(denied_and_allowed, |user| {
    if !cfg!(target_arch = "x86_64") {
        tipstaff_testkit::skip!("the numbers are those of x86_64");
    }
    for call in DENIED {
        let ran = calls("sysprobe", call).as_user(user).go();
        ran.expect_ok();
        let answer = ran.out();
        let errno =
            answer.trim().strip_prefix("-1 ").unwrap_or_else(|| panic!("{} is answered {answer}\n{ran}", call.0));
        ran.check(["EPERM", "ENOSYS", "EACCES"].contains(&errno), format_args!("{}: {errno} is not a refusal", call.0));
    }
    for call in ALLOWED {
        let ran = calls("sysprobe", call).as_user(user).go();
        ran.expect_ok();
        ran.check(ran.out().trim().ends_with(" OK"), format_args!("{} is denied: {}", call.0, ran.out()));
    }
});

/// The numbers above are the right ones: outside a box they answer otherwise.
#[test]
fn outside_a_box_they_are_answered() {
    if !cfg!(target_arch = "x86_64") {
        tipstaff_testkit::skip!("the numbers are those of x86_64");
    }
    let user = tipstaff_testkit::User::Ordinary;
    for (number, args) in [("272", "0x10000000"), ("135", "0x0040000"), ("323", "1"), ("250", "0")] {
        let ran = plain(["sysprobe", number, args]).as_user(user).go();
        ran.expect_exit(0);
        ran.check(!ran.out().contains("ENOSYS"), "there is such a call");
    }
}

both!(unknown_numbers_do_not_exist, |user| {
    for number in ["547", "999", "1100", "100000"] {
        let ran = run(["sysprobe", number]).as_user(user).go();
        ran.expect_ok().expect_stdout("-1 ENOSYS\n");
    }
});

both!(the_x32_table_is_closed, |user| {
    let ran = run(["x32"]).as_user(user).go();
    ran.check(ran.code() == 7 || ran.verdict() == "policy_violation", "an x32 number was answered");
});

both!(the_foreign_table_is_closed_under_every_preset, |user| {
    let outside = plain(["int80"]).as_user(user).go();
    if outside.code() != 0 {
        tipstaff_testkit::skip!("this kernel has no 32-bit entry");
    }
    for preset in ["default", "judge", "python", "node", "build", "agent"] {
        let ran = run(["int80"]).profile(preset).as_user(user).go();
        ran.expect_verdict("policy_violation").expect_exit(121);
    }
});

both!(clone3_falls_back, |user| {
    // Answered ENOSYS or performed safely: either way a thread can be made.
    let ran = run(["threadexec", "/bin/true"]).as_user(user).go();
    ran.expect_ok();
});
