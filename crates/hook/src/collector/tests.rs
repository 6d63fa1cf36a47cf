//! The collector without a kernel's help: what watches is made up, everything else is real.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tipstaff_abi::{Arch, Sysno};
use tipstaff_recording::{Backend, Call, Machine, Phase, Run, Target};

use super::job::{Records, Watches};
use super::serve::Server;
use crate::bundle::Bundle;
use crate::channel;
use crate::finish::finish;
use crate::log::Log;
use crate::place::{COLLECTOR, Claim, Found, Place};
use crate::publish::check;
use crate::wire::{Card, End, Hello, Request};

/// Has seen one call more each time that it is asked.
struct Made {
    names: Vec<&'static str>,
    seen: usize,
}

impl Made {
    fn run(&mut self) -> Run {
        self.seen = (self.seen + 1).min(self.names.len());
        let machine = Machine { kernel: "6.1".into(), arch: Arch::X86_64 };
        let target = Target::Process { pids: vec![1] };
        let mut run = Run::new(format!("{:032x}", 7), Backend::Ebpf, machine, target, 1);
        for name in &self.names[..self.seen] {
            let nr = Sysno::by_name(Arch::X86_64, name).expect("a call").0;
            let mut call = Call::new(Arch::X86_64, nr);
            call.made(Phase::Workload, &"/bin/x".into(), 1, 1);
            run.calls.insert(call);
        }
        run
    }
}

impl Watches for Made {
    fn snapshot(&mut self) -> Result<Run, String> {
        Ok(self.run())
    }

    fn stop(mut self) -> Result<Run, String> {
        Ok(self.run())
    }
}

/// Watches whoever is not called "refused".
struct Maker;

impl Records for Maker {
    type Watch = Made;

    fn start(&mut self, card: &Card) -> Result<(Made, Vec<String>), String> {
        if card.name == "refused" {
            return Err("no BPF here".into());
        }
        Ok((Made { names: vec!["read", "write", "mkdir"], seen: 0 }, vec!["as told".into()]))
    }
}

struct Setting {
    _dir: tempfile::TempDir,
    at: PathBuf,
    place: Place,
}

impl Setting {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path().to_path_buf();
        let place = Place::make(&at.join("up/hook")).expect("a place");
        Self { _dir: dir, at, place }
    }

    /// A collector in a thread; it ends by itself.
    fn collector(&self) -> std::thread::JoinHandle<Result<(), String>> {
        let path = self.at.join("up/hook");
        let place = Place::open(&path).expect("a place");
        let lock = place.claim(COLLECTOR).expect("a place").expect("nobody's card");
        let server = Server::listen(place, lock).expect("a socket");
        std::thread::spawn(move || server.run(Maker, &mut Log::open(&path.join("log"), "-")))
    }

    fn card(&self, id: &str, name: &str, pid: u32) -> Card {
        Card {
            id: id.into(),
            name: name.into(),
            pid: pid.cast_signed(),
            cgroups: Vec::new(),
            runtime: Some("crun".into()),
            bundle_dir: "/b".into(),
            bundle: Bundle { pid_namespace: true, no_new_privileges: true, ..Bundle::default() },
            input: None,
            output: self.at.join("out.json"),
            roots: vec![self.at.clone()],
            flush_ms: 3_600_000,
        }
    }

    /// As a hook does it, but for the start of a collector.
    fn ask(&self, card: &Card) -> Hello {
        let mut claim = self.place.claim(&card.id).expect("a place").expect("nobody's card");
        claim.write(card).expect("a card");
        let to = channel::connect(&self.place.socket()).expect("a collector");
        let lock = claim.share().expect("a descriptor");
        channel::send(&to, &Request::Record(Box::new(card.clone())), Some(std::os::fd::AsFd::as_fd(&lock)))
            .expect("sent");
        channel::receive(&to, Instant::now() + Duration::from_secs(10)).expect("an answer").0
    }

    fn finish(&self, id: &str) -> Option<End> {
        finish(&self.place, id, |card| End { failed: Some(format!("{} was killed", card.id)), ..End::default() })
            .expect("a place")
    }
}

/// Something that lives, and ends with this value.
struct Lives(Child);

impl Lives {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().expect("sleep"))
    }
}

impl Drop for Lives {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn names(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a profile");
    let document = tipstaff_oci_seccomp::parse(&text).expect("a profile");
    document.syscalls.into_iter().flatten().flat_map(|entry| entry.names.unwrap_or_default()).collect()
}

#[test]
fn from_the_start_to_the_end_that_a_hook_asks_for() {
    let setting = Setting::new();
    let collector = setting.collector();
    let init = Lives::new();
    let card = setting.card("c1", "web", init.0.id());
    assert_eq!(setting.ask(&card), Hello::Ready(vec!["as told".into()]));
    assert!(matches!(setting.place.look("c1"), Ok(Found::Live)));
    let end = setting.finish("c1").expect("recorded");
    assert_eq!((end.failed, end.names, end.output.as_path()), (None, 1, setting.at.join("out.json").as_path()));
    let names = names(&setting.at.join("out.json"));
    // What was seen, what crun needs, and nothing that was not.
    assert!(["read", "execve", "close"].iter().all(|name| names.iter().any(|known| known == name)), "{names:?}");
    assert!(!names.iter().any(|name| name == "mkdir"), "{names:?}");
    assert!(setting.at.join("out.json.rec").is_file());
    // With its last container the collector ends.
    collector.join().expect("no panic").expect("a good end");
    assert!(matches!(setting.place.look("c1"), Ok(Found::Nobody)));
    assert!(matches!(setting.place.look(COLLECTOR), Ok(Found::Dead(_))));
}

#[test]
fn an_end_that_is_seen_before_a_hook_asks_is_kept_for_it() {
    let setting = Setting::new();
    let collector = setting.collector();
    let init = Lives::new();
    assert!(matches!(setting.ask(&setting.card("c1", "web", init.0.id())), Hello::Ready(_)));
    drop(init);
    collector.join().expect("no panic").expect("a good end");
    assert!(setting.at.join("out.json").is_file());
    assert_eq!(setting.finish("c1").expect("recorded").names, 1);
    assert!(setting.finish("c1").is_none(), "told once");
}

#[test]
fn a_profile_that_takes_long_holds_nobody_up() {
    let setting = Setting::new();
    let collector = setting.collector();
    let (first, second) = (Lives::new(), Lives::new());
    assert!(matches!(setting.ask(&setting.card("c1", "web", first.0.id())), Hello::Ready(_)));
    // While somebody else writes profiles, ours waits, and whoever asked for it with it.
    let writes = setting.place.outputs().expect("the lock");
    std::thread::scope(|scope| {
        let end = scope.spawn(|| setting.finish("c1"));
        drop(first);
        assert!(matches!(setting.ask(&setting.card("c2", "web", second.0.id())), Hello::Ready(_)));
        assert!(!end.is_finished(), "nothing is written under another's lock");
        drop(writes);
        assert_eq!(end.join().expect("no panic").expect("recorded").failed, None);
    });
    assert!(setting.finish("c2").expect("recorded").failed.is_none());
    collector.join().expect("no panic").expect("a good end");
}

#[test]
fn what_cannot_be_watched_is_said_and_hurts_nobody_else() {
    let setting = Setting::new();
    let collector = setting.collector();
    let init = Lives::new();
    assert!(matches!(setting.ask(&setting.card("c1", "web", init.0.id())), Hello::Ready(_)));
    let refused = Lives::new();
    assert_eq!(setting.ask(&setting.card("c2", "refused", refused.0.id())), Hello::Failed("no BPF here".into()));
    let Hello::Failed(why) = setting.ask(&setting.card("c3", "gone", 0x3fff_fffe)) else { panic!("nobody is watched") };
    assert!(why.contains("no such process"), "{why}");
    assert!(setting.finish("c1").expect("recorded").failed.is_none());
    collector.join().expect("no panic").expect("a good end");
}

#[test]
fn two_with_one_output_add_to_it_and_another_s_file_is_left_alone() {
    let setting = Setting::new();
    std::fs::write(setting.at.join("out.json"), "mine").expect("a file");
    let collector = setting.collector();
    let init = Lives::new();
    let card = setting.card("c1", "web", init.0.id());
    assert!(matches!(setting.ask(&card), Hello::Ready(_)));
    let end = setting.finish("c1").expect("recorded");
    assert!(end.failed.expect("not written").contains("it is there and no profile"));
    assert_eq!(std::fs::read(setting.at.join("out.json")).expect("a file"), b"mine");
    collector.join().expect("no panic").expect("a good end");

    let before = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["chdir"],"action":"SCMP_ACT_ALLOW"}]}"#;
    std::fs::write(setting.at.join("out.json"), before).expect("a file");
    let collector = setting.collector();
    assert!(matches!(setting.ask(&card), Hello::Ready(_)));
    assert_eq!(setting.finish("c1").expect("recorded").failed, None);
    collector.join().expect("no panic").expect("a good end");
    let names = names(&setting.at.join("out.json"));
    assert!(["chdir", "read"].iter().all(|name| names.iter().any(|known| known == name)), "{names:?}");
}

#[test]
fn what_stands_in_a_profile_s_way_is_told_before_the_start() {
    let setting = Setting::new();
    let mut card = setting.card("c1", "web", 1);
    assert_eq!(check(&card), Ok(()));
    std::fs::write(setting.at.join("out.json"), "mine").expect("a file");
    assert!(check(&card).expect_err("another's file").contains("it is there and no profile"));
    card.output = setting.at.join("other.json");
    let input = setting.at.join("input.json");
    std::fs::write(&input, r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#).expect("a file");
    card.input = Some(input);
    assert!(check(&card).expect_err("nothing to add").contains("nothing to add"));
    card.output = setting.at.join("no/such/out.json");
    assert!(check(&card).expect_err("no directory").contains("make the directory first"));
    assert!(!setting.at.join("other.json").exists());
}

#[test]
fn a_card_that_is_too_long_is_told_at_once() {
    let setting = Setting::new();
    let mut card = setting.card("c1", "web", 1);
    card.bundle.program = Some("\u{1}".repeat(40_000));
    let task = crate::wire::Task { runtime_dir: setting.at.join("up/hook"), log: setting.at.join("log") };
    let begun = Instant::now();
    let limit = Duration::from_secs(60);
    let started = crate::start::start(&setting.place, &card, &task, limit, &Log::open(&task.log, "-"));
    assert!(started.expect_err("too long").to_string().contains("too long"));
    assert!(begun.elapsed() < limit);
    assert!(matches!(setting.place.look("c1"), Ok(Found::Nobody)), "nothing is left");
}

#[test]
fn a_lock_that_nobody_holds_is_a_collector_that_was_killed() {
    let setting = Setting::new();
    let mut claim: Claim = setting.place.claim("c1").expect("a place").expect("nobody's card");
    claim.write(&setting.card("c1", "web", 1)).expect("a card");
    drop(claim);
    assert_eq!(setting.finish("c1").expect("recorded").failed, Some("c1 was killed".into()));
    drop(setting.place.claim("c2").expect("a place"));
    let failed = setting.finish("c2").expect("recorded").failed.expect("nothing to write");
    assert!(failed.contains("before it knew"), "{failed}");
}
