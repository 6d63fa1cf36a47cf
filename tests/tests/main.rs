//! The `tipstaff` command as a black box: one binary, one file per topic.
#![forbid(unsafe_code)]

mod account;
mod bad_input;
mod containers;
mod control;
mod env;
mod exits;
mod fault_drill;
mod fs;
mod fuzz_drill;
mod guest_around;
mod guest_native;
mod guest_ptrace;
mod hook;
mod in_our_name;
mod isolation;
mod kill_drill;
mod kit;
mod leak_drill;
mod leftovers;
mod limits;
mod listener;
mod matrix;
mod nested;
mod net;
mod network;
mod network_drill;
mod network_names;
mod network_send;
mod network_unix;
mod notify;
mod profile_tools;
mod programs;
mod record;
mod report;
mod resources;
mod review;
mod runtimes;
mod signals;
mod stdio;
mod syscalls;
mod trace;
mod trace_drill;
mod trace_strace;
mod trace_tracers;
mod tty;

use tipstaff_testkit::User;

/// A test as root and as an ordinary user: `both!(name, |user| …)`.
macro_rules! both {
    ($(#[$about:meta])* $name:ident, $test:expr) => {
        $(#[$about])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            #[test]
            fn root() {
                if let Some(why) = tipstaff_testkit::Machine::Full.unavailable(tipstaff_testkit::User::Root) {
                    tipstaff_testkit::skip!("{why}");
                }
                let test: fn(tipstaff_testkit::User) = $test;
                test(tipstaff_testkit::User::Root);
            }

            #[test]
            fn ordinary() {
                let test: fn(tipstaff_testkit::User) = $test;
                test(tipstaff_testkit::User::Ordinary);
            }
        }
    };
}
pub(crate) use both;

/// The users that this suite can run as.
fn users() -> impl Iterator<Item = User> {
    [User::Root, User::Ordinary].into_iter().filter(|user| user.available())
}

pub(crate) use tipstaff_testkit::full_drill;

/// strace is attached to a program and killed: it says "<detached ...>" only where it has begun to print a call, and writes that at once.
pub(crate) const STRACE_LETS_GO: &str = "said=$(mktemp); sleep 1000 & p=$!; strace -o $said -p $p 2>/dev/null & s=$!; \
     until grep -qE 'nanosleep|restart_syscall' $said; do kill -0 $s || break; sleep 0.05; done; \
     kill $s; wait $s; kill -0 $p && echo lives; kill $p; wait $p; echo ended $?; cat $said; rm $said";

/// strace tells that a process has stopped, and it is continued only then: before, a SIGCONT would be one too early, and nobody would send another.
pub(crate) const STRACE_TELLS_A_STOP: &str = "said=$(mktemp); strace -f -o $said -e trace=none sh -c \"\
     (kill -STOP \\$(exec sh -c 'echo \\$PPID'); echo on) & p=\\$!; \
     until grep -q 'stopped by SIGSTOP' $said; do sleep 0.05; done; kill -CONT \\$p; wait \\$p\"; cat $said; rm $said";

#[test]
fn no_file_is_forgotten() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let this = std::fs::read_to_string(dir.join("main.rs")).expect("this file");
    for entry in std::fs::read_dir(dir).expect("tests") {
        let name = entry.expect("entry").file_name().into_string().expect("name");
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || this.contains(&format!("mod {module};")), "{name} is not a module of main.rs");
    }
}
