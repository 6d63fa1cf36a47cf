//! Running boxes: names, ps, inspect, kill, pause, resume, hold, release; shares of a CPU.
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tipstaff_testkit::{
    Machine, Ran, Run, Scratch, Signal, Started, User, Without, await_no_survivor, marker, run, tipstaff_command,
};

use crate::both;

/// A runtime directory of one test's own, so that tests do not meet.
struct Desk {
    user: User,
    scratch: Scratch,
}

impl Desk {
    fn new(user: User) -> Self {
        let scratch = Scratch::new(user);
        let dir = scratch.dir("runtime");
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).expect("own directory");
        Self { user, scratch }
    }

    fn runtime(&self) -> PathBuf {
        self.scratch.join("runtime")
    }

    fn sockets(&self) -> PathBuf {
        self.runtime().join("tipstaff")
    }

    fn here(&self, run: Run) -> Run {
        run.as_user(self.user).env("XDG_RUNTIME_DIR", self.runtime())
    }

    fn run(&self, name: &str, words: &[&str]) -> Run {
        self.here(run(words)).option("--name", name)
    }

    fn ask(&self, words: &[&str]) -> Ran {
        self.here(tipstaff_command(words)).go()
    }

    fn fine(&self, words: &[&str]) -> Ran {
        let ran = self.ask(words);
        ran.expect_exit(0);
        ran
    }

    fn boxes(&self) -> Vec<Value> {
        self.fine(&["ps", "--json"]).json().as_array().expect("an array").clone()
    }

    fn status(&self, name: &str) -> Value {
        let found = self.boxes().into_iter().find(|status| status["name"] == name);
        found.unwrap_or_else(|| panic!("no box {name}"))
    }

    fn inspect(&self, name: &str) -> Value {
        self.fine(&["inspect", name]).json()
    }

    fn cpu_ns(&self, name: &str) -> u64 {
        self.status(name)["cpu_ns"].as_u64().expect("a number")
    }
}

/// Starts it and waits until the guest says that it is there.
fn ready(run: Run) -> Started {
    let started = run.start();
    started.await_output("ready", 1);
    started
}

fn await_that(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

both!(a_box_is_listed_with_all_that_is_said_of_it, |user| {
    let desk = Desk::new(user);
    assert_eq!(desk.boxes(), Vec::<Value>::new());
    let started = ready(desk.run("one.1", &["custody", "busy", "1"]).wall("60s"));
    let status = desk.status("one.1");
    let keys = [
        "command",
        "cpu_ns",
        "held",
        "memory_bytes",
        "name",
        "pid",
        "processes",
        "since_ms",
        "state",
        "supervisor_pid",
        "wall_ns",
    ];
    let found: Vec<&String> = status.as_object().expect("an object").keys().collect();
    assert_eq!(found, keys);
    assert_eq!((&status["state"], &status["held"]), (&"running".into(), &false.into()));
    assert_eq!(status["supervisor_pid"], started.pid());
    assert!(
        status["command"][0].as_str().is_some_and(|word| word.ends_with("custody")) && status["command"][1] == "busy"
    );
    assert_eq!(status["processes"], 2);
    let table = desk.fine(&["ps"]).out();
    assert!(table.starts_with("NAME") && table.contains("one.1") && table.contains("running"), "{table}");
    let inspect = desk.inspect("one.1");
    assert_eq!((&inspect["profile"], &inspect["limits"]["wall_ns"]), (&"default".into(), &60_000_000_000_u64.into()));
    let wall = inspect["rules"].as_array().expect("rules").iter().find(|rule| rule["rule"] == "limits.wall");
    assert_eq!(wall.expect("a rule")["level"], "full");
    let tasks = inspect["tasks"].as_array().expect("tasks");
    assert_eq!(tasks.iter().filter(|task| task["comm"] == "custody").count(), 2);
    assert!(tasks.iter().any(|task| task["pid"] == inspect["pid"]));
    desk.fine(&["kill", "one.1"]);
    started.finish().expect_verdict("signaled").expect_exit(137);
    assert_eq!(desk.boxes(), Vec::<Value>::new());
    let left: Vec<_> = std::fs::read_dir(desk.sockets()).expect("the directory stays").collect();
    assert!(left.is_empty(), "{left:?}");
});

both!(a_name_that_cannot_be_had_names_place_and_cure, |user| {
    // XDG_RUNTIME_DIR that is none of ours is passed over; this one is ours, and its `tipstaff` cannot be made.
    let desk = Desk::new(user);
    std::fs::write(desk.sockets(), "in the way").expect("own directory");
    desk.run("job", &["exit", "0"]).without_report().go().expect_error_line(125, &["runtime/tipstaff", "remove it"]);
    // In a box that makes no sockets there is no place at all.
    let command = tipstaff_testkit::tipstaff();
    let inside =
        run([command.as_os_str(), "run".as_ref(), "--name".as_ref(), "x".as_ref(), "--".as_ref(), "true".as_ref()]);
    let inside = inside.option("--exec", command).flag("--quiet").without_report().as_user(user).go();
    inside.expect_error_line(125, &["leave `--name` out"]);
});

both!(a_name_is_in_use_once, |user| {
    let desk = Desk::new(user);
    let started = ready(desk.run("job", &["custody", "busy", "1"]));
    let second = desk.run("job", &["exit", "0"]).without_report().go();
    second.expect_error_line(
        125,
        &["box \"job\" is running already", &format!("(supervisor pid {})", started.pid()), "choose another name"],
    );
    desk.ask(&["pause", "jib"]).expect_error_line(125, &["no box is called \"jib\"", "is it \"job\"?"]);
    desk.ask(&["pause", "nothing-like-it"]).expect_error_line(125, &["no box is called", "tipstaff ps"]);
    for wrong in ["", ".hidden", "-x", "a/b", "ä", &"x".repeat(65)] {
        let option = format!("--name={wrong}");
        desk.here(run(["exit", "0"]))
            .flag(&option)
            .without_report()
            .go()
            .expect_error_line(125, &["no name for a box"]);
    }
    desk.fine(&["kill", "job"]);
    started.finish().expect_verdict("signaled");
    desk.run("job", &["exit", "0"]).go().expect_ok();
});

both!(of_many_that_want_a_name_one_gets_it, |user| {
    let desk = Desk::new(user);
    let all: Vec<_> = (0..6).map(|_| desk.run("race", &["custody", "busy", "0"]).start()).collect();
    await_that("one box runs and the others have given up", || {
        all.iter().filter(|started| !started.ends(Duration::ZERO)).count() == 1 && desk.boxes().len() == 1
    });
    desk.fine(&["kill", "race"]);
    let codes: Vec<i32> = all.into_iter().map(|started| started.finish().code()).collect();
    assert_eq!(
        (codes.iter().filter(|code| **code == 125).count(), codes.iter().filter(|code| **code == 137).count()),
        (5, 1)
    );
});

both!(what_a_killed_supervisor_left_is_replaced, |user| {
    let desk = Desk::new(user);
    let mark = marker();
    let started = ready(desk.run("gone", &["custody", "busy", "1", &mark]));
    desk.fine(&["pause", "gone"]);
    started.signal(Signal::KILL);
    started.finish_anyhow();
    let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
    assert!(left.is_empty(), "a paused box dies with its supervisor: {left:?}");
    assert!(desk.sockets().join("gone").exists(), "the positive control: it did leave its socket");
    desk.run("gone", &["exit", "0"]).go().expect_ok();
    assert!(!desk.sockets().join("gone").exists());
});

both!(a_pause_stops_every_task_and_a_resume_lets_them_go_on, |user| {
    for machine in [Machine::Full, Without::Cgroup.into(), Without::Namespaces.into(), Machine::Traced(None)] {
        if machine.unavailable(user).is_some() {
            continue;
        }
        let desk = Desk::new(user);
        let mut run = desk.run("p", &["custody", "busy", "3"]).on(machine);
        if machine == Without::Namespaces.into() {
            run = run.flag("--best-effort");
        }
        let started = ready(run);
        let before = desk.cpu_ns("p");
        await_that("CPU is used while it runs", || desk.cpu_ns("p") > before + 20_000_000);
        desk.fine(&["pause", "p"]);
        assert_eq!(desk.status("p")["state"], "paused");
        let stopped = desk.cpu_ns("p");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(desk.cpu_ns("p"), stopped, "{machine:?}: no task uses CPU while it is paused");
        let tasks = desk.inspect("p")["tasks"].clone();
        let states: Vec<_> = tasks.as_array().expect("tasks").iter().map(|task| task["state"].clone()).collect();
        assert!(
            states.len() == 4 && states.iter().all(|state| state == "T" || state == "t"),
            "{machine:?}: {states:?}"
        );
        desk.ask(&["kill", "--signal", "CONT", "p"]).expect_error_line(125, &["resume"]);
        desk.fine(&["resume", "p"]);
        assert_eq!(desk.status("p")["state"], "running");
        await_that("CPU is used after a resume", || desk.cpu_ns("p") > stopped + 20_000_000);
        desk.fine(&["pause", "p"]);
        desk.fine(&["kill", "p"]);
        started.finish().expect_verdict("signaled");
    }
});

both!(a_wall_limit_ends_a_paused_box_and_an_idle_limit_waits, |user| {
    let desk = Desk::new(user);
    // Paused long before the one, and longer than the other, on a busy machine as well.
    let started = ready(desk.run("wall", &["custody", "busy", "1"]).idle("1s").wall("8s"));
    desk.fine(&["pause", "wall"]);
    let ran = started.finish();
    ran.expect_verdict("time_limit").expect_exit(124);
    assert_eq!(ran.report["clock"], "wall");
});

both!(what_job_control_had_stopped_stays_stopped, |user| {
    let desk = Desk::new(user);
    let started = ready(desk.run("s", &["custody", "stopped"]));
    for _ in 0..3 {
        desk.fine(&["pause", "s"]);
        desk.fine(&["resume", "s"]);
    }
    started.await_output("alone", 3);
    desk.fine(&["kill", "s"]);
    let ran = started.finish();
    ran.check(!ran.out().contains("went on"), "the child was stopped by itself");
});

both!(a_parent_does_not_see_its_child_stop, |user| {
    let desk = Desk::new(user);
    let started = ready(desk.run("j", &["custody", "jobs"]));
    for _ in 0..10 {
        desk.fine(&["pause", "j"]);
        desk.fine(&["resume", "j"]);
    }
    started.await_output("tick", 3);
    desk.fine(&["kill", "j"]);
    let ran = started.finish();
    ran.check(!ran.out().contains("saw") && !ran.out().contains("ended"), "no child stopped or died of a pause");
});

both!(a_task_in_vfork_is_told_and_does_not_hold_a_pause_up, |user| {
    let desk = Desk::new(user);
    let started = ready(desk.run("v", &["custody", "vfork"]));
    await_that("the child is there", || desk.status("v")["processes"] == 2);
    let ran = desk.fine(&["pause", "v"]);
    ran.check(ran.err().contains("vfork"), "the pause says what is in the kernel");
    assert_eq!(desk.status("v")["state"], "paused");
    desk.fine(&["kill", "v"]);
    started.finish().expect_verdict("signaled");
});

both!(processes_that_only_make_the_next_are_stopped_too, |user| {
    let desk = Desk::new(user);
    let started = ready(desk.run("hops", &["custody", "hops", "3"]).processes(40));
    let ids = |tasks: &Value| -> Vec<i64> {
        let mut ids: Vec<i64> =
            tasks.as_array().expect("tasks").iter().filter_map(|task| task["pid"].as_i64()).collect();
        ids.sort_unstable();
        ids
    };
    let mut before = Value::Null;
    for _ in 0..10 {
        desk.fine(&["pause", "hops"]);
        before = desk.inspect("hops")["tasks"].clone();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(ids(&before), ids(&desk.inspect("hops")["tasks"]), "no new process while it is paused");
        desk.fine(&["resume", "hops"]);
    }
    await_that("they hop on", || ids(&before) != ids(&desk.inspect("hops")["tasks"]));
    desk.fine(&["kill", "hops"]);
    started.finish().expect_verdict("signaled");
});

both!(a_held_box_makes_no_new_processes, |user| {
    let desk = Desk::new(user);
    let started = desk.run("h", &["custody", "forks"]).processes(20).start();
    started.await_output("made", 1);
    desk.fine(&["hold", "h"]);
    started.await_output("refused", 1);
    assert_eq!(desk.status("h")["held"], true);
    desk.fine(&["hold", "h"]);
    desk.fine(&["release", "h"]);
    started.await_output("made", 2);
    assert_eq!(desk.status("h")["held"], false);
    desk.fine(&["hold", "h"]);
    started.await_output("refused", 2);
    desk.fine(&["release", "h"]);
    started.await_output("made", 3);
    desk.fine(&["kill", "--signal", "TERM", "h"]);
    let ran = started.finish();
    ran.expect_verdict("signaled").expect_exit(143);
    ran.check(!ran.hit("processes"), "a hold is no limit of the profile's");
});

#[test]
fn what_cannot_be_held_is_refused() {
    if !User::Root.available() {
        tipstaff_testkit::skip!("uid 0 without a pids control group needs root");
    }
    let desk = Desk::new(User::Root);
    let started = desk.run("r", &["custody", "forks"]).start();
    started.await_output("made", 1);
    desk.ask(&["hold", "r"]).expect_error_line(125, &["cannot hold", "uid 0", "--processes"]);
    desk.fine(&["kill", "r"]);
    started.finish();
}

both!(a_guest_does_not_get_at_the_sockets, |user| {
    let desk = Desk::new(user);
    let sockets = desk.sockets();
    let started = ready(desk.run("target", &["custody", "busy", "0"]));
    let runtime = desk.runtime();
    for machine in [Machine::Full, Without::Namespaces.into()] {
        if machine.unavailable(user).is_some() {
            continue;
        }
        // Even where the profile shows the directory above, writable.
        let knock = desk.run("knock", &["custody", "knock", sockets.to_str().expect("UTF-8"), "target"]);
        let knock = knock.on(machine).option("--write", &runtime);
        let knock = if machine == Machine::Full { knock } else { knock.flag("--best-effort") };
        let ran = knock.go();
        ran.expect_exit(0);
        let saw = ran.json();
        ran.check(saw["read"] != "OK" && saw["answer"] == 0, "the guest gets neither key nor answer");
        ran.check(
            machine != Machine::Full || saw["connect"] != "OK",
            "with a view of its own it does not even see the socket",
        );
    }
    assert_eq!(desk.status("target")["state"], "running");
    let outside = tipstaff_testkit::plain(["custody", "knock", sockets.to_str().expect("UTF-8"), "target"]);
    let saw = outside.as_user(user).go().json();
    assert_eq!(
        (&saw["read"], &saw["connect"], &saw["answer"]),
        (&"OK".into(), &"OK".into(), &0.into()),
        "the positive control"
    );
    desk.fine(&["kill", "target"]);
    started.finish();
});

both!(a_mount_that_shows_the_sockets_is_refused, |user| {
    let desk = Desk::new(user);
    let profile = desk.scratch.file(
        "p.toml",
        format!(
            "extends = \"default\"\n[[filesystem.mounts]]\nsource = {:?}\ntarget = \"/x\"\nread_only = true\n",
            desk.runtime()
        ),
    );
    let ran = desk.run("m", &["exit", "0"]).profile(&profile).without_report().go();
    ran.expect_error_line(125, &["holds control sockets"]);
    std::fs::write(&profile, "extends = \"default\"\n").expect("own file");
    desk.run("m", &["exit", "0"]).profile(&profile).go().expect_ok();
});

both!(a_directory_that_is_not_ours_is_refused, |user| {
    let desk = Desk::new(user);
    let refused = |word: &str| {
        desk.run("d", &["exit", "0"]).without_report().go().expect_error_line(125, &["tipstaff\"", word]);
        desk.ask(&["ps"]).expect_error_line(125, &[word]);
    };
    let elsewhere = desk.scratch.dir("elsewhere");
    symlink(elsewhere, desk.sockets()).expect("symlink");
    refused("symbolic link");
    std::fs::remove_file(desk.sockets()).expect("own link");
    let made = desk.scratch.dir("runtime/tipstaff");
    std::fs::set_permissions(&made, PermissionsExt::from_mode(0o755)).expect("own directory");
    refused("mode 0755");
    std::fs::set_permissions(&made, PermissionsExt::from_mode(0o700)).expect("own directory");
    desk.run("d", &["exit", "0"]).go().expect_ok();
});

#[test]
fn another_user_is_not_answered() {
    if !User::Root.available() {
        tipstaff_testkit::skip!("a second user needs root");
    }
    // Root's box, whose directory and key another user has somehow got at.
    let desk = Desk::new(User::Root);
    let started = ready(desk.run("mine", &["custody", "busy", "0"]));
    let open =
        |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("own directory");
    let sockets = desk.sockets();
    for (path, mode) in [
        (desk.runtime(), 0o755),
        (sockets.clone(), 0o755),
        (sockets.join("mine"), 0o777),
        (sockets.join(".mine"), 0o644),
    ] {
        open(&path, mode);
    }
    let script = "import json,socket,sys\n\
        d=sys.argv[1]; key=json.load(open(d+'/.mine'))['key']\n\
        s=socket.socket(socket.AF_UNIX); s.connect(d+'/mine')\n\
        try:\n s.sendall((json.dumps({'key':key,'request':'status'})+'\\n').encode()); print(len(s.recv(65536))>0)\n\
        except OSError: print(False)\n";
    let knock = |user| {
        let ran =
            tipstaff_testkit::plain(["python3", "-c", script, sockets.to_str().expect("UTF-8")]).as_user(user).go();
        ran.expect_exit(0);
        ran.out()
    };
    assert_eq!(knock(User::Ordinary), "False\n");
    assert_eq!(knock(User::Root), "True\n", "the positive control");
    for (path, mode) in [(sockets, 0o700), (desk.runtime(), 0o700)] {
        open(&path, mode);
    }
    desk.fine(&["kill", "mine"]);
    started.finish();
}

both!(clients_that_say_nothing_hold_nobody_up, |user| {
    let desk = Desk::new(user);
    let started = ready(desk.run("busy", &["custody", "busy", "1"]));
    let socket = desk.sockets().join("busy");
    // A path that fits into a sockaddr_un, wherever the scratch directory lies.
    let dir = std::fs::File::open(desk.sockets()).expect("the directory");
    let short = format!("/proc/self/fd/{}/busy", std::os::fd::AsRawFd::as_raw_fd(&dir));
    assert!(socket.exists());
    let mut silent: Vec<UnixStream> = (0..100).filter_map(|_| UnixStream::connect(&short).ok()).collect();
    for stream in &mut silent {
        // Half a request, or far too much of one: its box hangs up, and does not read on.
        let _ = std::io::Write::write_all(stream, &[b'['; 3000]);
    }
    let begun = Instant::now();
    assert_eq!(desk.status("busy")["state"], "running");
    desk.fine(&["kill", "busy"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    started.finish().expect_verdict("signaled");
});

both!(a_box_gets_the_share_of_a_cpu_that_was_asked_for, |user| {
    for machine in [Machine::Full, Without::Cgroup.into()] {
        if machine.unavailable(user).is_some() {
            continue;
        }
        for burners in ["0", "4"] {
            let start = || run(["custody", "busy", burners]).as_user(user).on(machine).wall("2s");
            let used = |ran: &Ran| ran.report["cpu_ns"]["total"].as_u64().expect("a number") as f64 / 1e9;
            // A machine that others use may give less, though never nearly nothing, and may wake late who looks after the share: several times in a row it does not.
            let mut shares = Vec::new();
            let held = (0..4).any(|_| {
                if used(&start().go()) < 1.0 {
                    return false;
                }
                let ran = start().option("--cpu-percent", "20").go();
                ran.expect_exit(124);
                shares.push(used(&ran));
                (0.4 * 0.4..=0.4 * 1.25).contains(&used(&ran))
            });
            if shares.is_empty() {
                tipstaff_testkit::note_skip("the machine is too busy to show what a share of a CPU is");
                continue;
            }
            assert!(held, "{machine:?}, {burners}: {shares:?} s of 0.4");
        }
        // A program that sleeps is not slowed.
        let slept = (0..4).any(|_| {
            let ran = run(["/bin/sleep", "1"]).as_user(user).on(machine).option("--cpu-percent", "5").go();
            ran.expect_ok();
            ran.report["wall_ns"].as_u64().expect("a number") < 2_000_000_000
        });
        assert!(slept, "{machine:?}: it slept a second");
    }
});

#[test]
fn a_share_beyond_the_machine_is_refused() {
    let ran = tipstaff_command(["run", "--cpu-percent", "1000000", "--", "/bin/true"]).go();
    ran.expect_error_line(125, &["limits.cpu_percent", "CPUs"]);
    let ran = tipstaff_command(["run", "--cpu-percent", "0", "--", "/bin/true"]).go();
    ran.expect_error_line(125, &["cpu-percent"]);
}

#[test]
fn root_reaches_the_boxes_of_a_user_and_nobody_else_does() {
    if let Some(why) = Machine::Full.unavailable(User::Root) {
        tipstaff_testkit::skip!("{why}");
    }
    let uid = User::Ordinary.uid().to_string();
    let name = format!("for-root-{}", std::process::id());
    // Without XDG_RUNTIME_DIR of its own, so that it is where root looks.
    let started =
        ready(run(["custody", "busy", "1"]).as_user(User::Ordinary).option("--name", &name).env("XDG_RUNTIME_DIR", ""));
    let own = tipstaff_command(["inspect", &name]).go();
    own.expect_error_line(125, &["no box is called"]);
    let of = |words: &[&str], whose: &str, user| {
        let words = [words, &["--user", whose]].concat();
        tipstaff_command(words).as_user(user).env("XDG_RUNTIME_DIR", "").go()
    };
    let listed = of(&["ps", "--json"], &uid, User::Root);
    listed.check(listed.out().contains(&name), "root sees it");
    for word in ["pause", "resume", "inspect"] {
        of(&[word, &name], &uid, User::Root).expect_exit(0);
    }
    of(&["ps"], "0", User::Ordinary).expect_error_line(125, &["uid 0", "`--user`"]);
    of(&["ps"], &uid, User::Ordinary).expect_exit(0);
    // A link to a socket that is not the user's: root says nothing to it.
    let place = PathBuf::from(format!("/tmp/tipstaff-{uid}"));
    let socket = place.join(&name);
    let aside = place.join(format!("{name}.aside"));
    std::fs::rename(&socket, &aside).expect("root may");
    let scratch = Scratch::new(User::Root);
    let bait = scratch.join("bait");
    let _listener = std::os::unix::net::UnixListener::bind(&bait).expect("a socket of root's");
    symlink(&bait, &socket).expect("root may");
    of(&["pause", &name], &uid, User::Root).expect_error_line(125, &["its socket is not uid"]);
    std::fs::rename(&aside, &socket).expect("root may");
    of(&["kill", &name], &uid, User::Root).expect_exit(0);
    started.finish().expect_exit(137);
}
