//! The verdict matrix: every program, as root and as an ordinary user, on this machine and on every
//! poorer one. The answer is right, or on a poorer machine the run is refused with the reason; a
//! limit that was crossed is never `ok`.
use tipstaff_testkit::{Machine, Right, Run, Under, User, Without, run, skip};

const OK: Right = Right::new("ok", 0);
const MEMORY: Right = Right::new("memory_limit", 122);
const OUTPUT: Right = Right::new("output_limit", 123);
const PROCESSES: Right = Right::new("process_limit", 123);
const CPU: Right = Right::time("cpu");
const WALL: Right = Right::time("wall");
const IDLE: Right = Right::time("idle");

/// The limits of the matrix: enough wall time that a busy machine is no cause.
fn limited<const N: usize>(program: [&str; N]) -> Run {
    run(program).profile("judge").cpu("500ms").wall("20s").memory("64MiB").output("16MiB")
}

/// A program in a directory of its own that it may write.
fn writing<const N: usize>(program: [&str; N]) -> Run {
    limited(program).option("--write", "@WORK")
}

/// A test on every machine, or on those that are named.
macro_rules! everywhere {
    ($name:ident, $try:expr) => {
        everywhere!($name, $try, [
            root: Root, Machine::Full;
            ordinary: Ordinary, Machine::Full;
            root_without_cgroup: Root, Without::Cgroup;
            ordinary_without_cgroup: Ordinary, Without::Cgroup;
            root_without_user_namespace: Root, Without::UserNamespace;
            ordinary_without_user_namespace: Ordinary, Without::UserNamespace;
            root_without_namespaces: Root, Without::Namespaces;
            root_without_landlock: Root, Without::Landlock;
            ordinary_without_landlock: Ordinary, Without::Landlock;
            root_without_listener: Root, Without::Listener;
            ordinary_without_listener: Ordinary, Without::Listener;
            root_without_clone3: Root, Without::Clone3;
            ordinary_without_clone3: Ordinary, Without::Clone3;
            root_under_docker: Root, Under::DockerSeccomp;
            ordinary_under_docker: Ordinary, Under::DockerSeccomp;
            root_traced: Root, Machine::Traced(None);
            ordinary_traced: Ordinary, Machine::Traced(None);
            root_traced_without_cgroup: Root, Machine::Traced(Some(Without::Cgroup));
            root_traced_without_namespaces: Root, Machine::Traced(Some(Without::Namespaces));
            ordinary_traced_without_listener: Ordinary, Machine::Traced(Some(Without::Listener));
            root_notified: Root, Machine::Notified(None);
            ordinary_notified: Ordinary, Machine::Notified(None);
            root_notified_without_cgroup: Root, Machine::Notified(Some(Without::Cgroup));
            root_notified_without_namespaces: Root, Machine::Notified(Some(Without::Namespaces));
            ordinary_notified_without_landlock: Ordinary, Machine::Notified(Some(Without::Landlock));
            ordinary_notified_without_listener: Ordinary, Machine::Notified(Some(Without::Listener));
        ]);
    };
    ($name:ident, $try:expr, [$($test:ident: $user:ident, $machine:expr;)*]) => {
        mod $name {
            use super::*;
            $(
                #[test]
                fn $test() {
                    let machine = Machine::from($machine);
                    if let Some(why) = machine.unavailable(User::$user) {
                        skip!("{why}");
                    }
                    let judge: fn(User, Machine) = $try;
                    judge(User::$user, machine);
                }
            )*
        }
    };
}

macro_rules! program {
    ($name:ident, $run:expr, $right:expr $(, [$($machines:tt)*])?) => {
        everywhere!($name, |user, machine| {
            $run.as_user(user).on(machine).go().expect_right_or_refused($right, machine);
        } $(, [$($machines)*])?);
    };
}

// The matrix of judges.
program!(spin, limited(["spin"]), CPU);
program!(sleep, limited(["sleeper"]).wall("700ms"), WALL);
program!(memory_until_refused, limited(["hog"]), MEMORY);
program!(forked_spinners, limited(["forkspin", "4"]), CPU);
program!(forked_memory, limited(["forkhog", "4", "40"]), MEMORY);
program!(flood, limited(["flood", "400000000"]), OUTPUT);
program!(segv, limited(["segv"]), Right::new("signaled", 139));
program!(self_kill, limited(["raise", "9"]), Right::new("signaled", 137));
program!(handled_signals, limited(["handled"]), OK);
program!(daemon_left_behind, limited(["daemonize", "close"]), OK);
program!(daemon_holds_stdout, limited(["daemonize", "hold"]), OK);
program!(int80, limited(["int80"]), Right::new("policy_violation", 121));

// The additions.
// With memory for what the kernel frees late after so many forks.
program!(fork_bomb, limited(["forkbomb"]).memory("512MiB").processes(32), CPU);
program!(thread_bomb, limited(["threadbomb"]).processes(32), PROCESSES);
program!(fork_to_the_limit_ends_well, limited(["forklimit", "0"]).processes(16), OK);
program!(fork_to_the_limit_ends_badly, limited(["forklimit", "1"]).processes(16), PROCESSES);
program!(memfd_hog, limited(["memfd"]), MEMORY);
program!(xcpu_ignored, limited(["xcpu"]), CPU);
program!(file_size_ignored, writing(["xfsz", "ignore", "@WORK"]).file_size("1MiB"), Right::new("nonzero_exit", 6));
program!(file_size_default, writing(["xfsz", "default", "@WORK"]).file_size("1MiB"), OUTPUT);
program!(sparse_file, writing(["sparse", "@WORK"]).file_size("1MiB"), OUTPUT);
program!(sleep_past_cpu, limited(["sleeper", "2"]), OK);
program!(stopped, limited(["stopself"]).wall("700ms"), WALL);
program!(
    exec_from_second_thread,
    limited(["threadexec"]).arg(tipstaff_testkit::guest("exit")).arg("3"),
    Right::new("nonzero_exit", 3)
);
// The first process's parent is the box's init, which is no debugger.
program!(asks_to_be_traced, run(["traceme"]).profile("default"), Right::new("nonzero_exit", 7), [
    root: Root, Machine::Full;
    ordinary: Ordinary, Machine::Full;
    root_without_namespaces: Root, Without::Namespaces;
]);
program!(
    asks_to_be_traced_and_executes,
    run(["traceme"]).profile("default").arg(tipstaff_testkit::guest("exit")).arg("3"),
    Right::new("nonzero_exit", 3),
    [
        root: Root, Machine::Full;
        ordinary: Ordinary, Machine::Full;
        root_without_namespaces: Root, Without::Namespaces;
    ]
);
program!(leader_exits_first, limited(["leaderexit", "4"]), Right::new("nonzero_exit", 4));
program!(one_byte_flood, limited(["flood", "200000", "1"]).output("64KiB"), OUTPUT);
program!(stderr_flood, limited(["flood", "400000000", "65536", "2"]), OUTPUT);
program!(stdin_never_read, limited(["exit", "0"]).stdin(vec![b'x'; 1 << 20]), OK);
program!(stdin_never_closed, limited(["exit", "0"]).silent_stdin(), OK);
program!(idle, limited(["sleeper"]).idle("400ms"), IDLE);
// It works for longer than it may be idle. On a busy machine it may have to wait for as long: then both are longer.
everywhere!(now_and_then, |user, machine| {
    for (rounds, idle) in [("40", "400ms"), ("130", "2s"), ("500", "10s")] {
        let run = limited(["tick", rounds]).cpu("20s").wall("100s").idle(idle);
        let ran = run.patience(std::time::Duration::from_secs(120)).as_user(user).on(machine).go();
        if idle == "10s" || ran.verdict() != "time_limit" {
            ran.expect_right_or_refused(OK, machine);
            return;
        }
    }
});

// Where CPU hides.
program!(system_time, limited(["sysspin"]), CPU);
program!(children_killed, limited(["burners", "killed"]), CPU);
program!(children_orphaned, limited(["burners", "orphan"]), CPU);
program!(children_unreaped, limited(["burners", "unreaped"]), CPU);

// Endings that look like limits and are none; memory that looks used and is not.
program!(self_xcpu, limited(["raise", "24"]), Right::new("signaled", 152));
program!(self_sigsys, limited(["raise", "31"]), Right::new("signaled", 159), [
    // Without a listener the filter kills by itself, and its SIGSYS cannot be told from the program's own.
    root: Root, Machine::Full;
    ordinary: Ordinary, Machine::Full;
    root_without_namespaces: Root, Without::Namespaces;
    ordinary_without_landlock: Ordinary, Without::Landlock;
]);
program!(stack_overflow, limited(["recurse"]), Right::new("signaled", 139));
program!(exit_137, limited(["exit", "137"]), Right::new("nonzero_exit", 137));
program!(exit_124, limited(["exit", "124"]), Right::new("nonzero_exit", 124));
program!(memory_below, limited(["hog", "30"]), OK);
program!(memory_reserved, limited(["bighole"]), OK);
program!(forked_memory_below, limited(["forkhog", "4", "8"]), OK);
program!(
    cold_page_cache,
    limited(["pagecache", "@WORK/cold"]).memory("16MiB").option("--read", "@WORK").work_file("cold", vec![1; 35 << 20]),
    OK
);

mod children_ignored {
    //! With SIGCHLD ignored nobody receives the wait status: without a control group what was seen of a child stays counted. The
    //! figure is a lower bound, and the limit still ends the run.
    use super::*;

    fn on(user: User, machine: Machine) {
        if let Some(why) = machine.unavailable(user) {
            skip!("{why}");
        }
        for (how, ms) in [("ignored", "20"), ("nocldwait", "3")] {
            let ran = limited(["burners", how, ms]).wall("90s").patience(std::time::Duration::from_secs(100));
            let ran = ran.as_user(user).on(machine).go();
            if ran.refused() {
                ran.expect_refused(machine);
                return;
            }
            ran.expect_right(CPU);
        }
    }

    #[test]
    fn root() {
        on(User::Root, Machine::Full);
    }

    #[test]
    fn ordinary() {
        on(User::Ordinary, Machine::Full);
    }

    #[test]
    fn root_without_cgroup() {
        on(User::Root, Without::Cgroup.into());
    }

    #[test]
    fn root_under_docker() {
        on(User::Root, Under::DockerSeccomp.into());
    }
}
