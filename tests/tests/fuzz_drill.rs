//! System calls of every kind, with arguments that look right, in a box of every preset under every engine: the supervisor neither breaks nor stalls, the report
//! says what the schema says, nothing is left alive, and what the host shows is what it showed before. These tests run alone.
//!
//! The calls are `guests/callfuzz.c`'s, the look at the host is `guests/hostlook.c`'s and the kit's `Traces`. CI makes 100,000 calls with the same seeds each
//! time; `TIPSTAFF_DRILL=full` (or `tipstaff-bench drill calls --full`) takes others, `TIPSTAFF_DRILL_CALLS` says how many.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tipstaff_testkit::{
    Ran, Run, Scratch, Signal, Traces, User, await_no_survivor, find, guest, marker, plain, run, skip,
};

use crate::both;

const PRESETS: [&str; 7] = ["default", "judge", "strict", "python", "node", "build", "agent"];

/// How calls are decided on: options of the command.
type Way = &'static [(&'static str, &'static str)];

const NATIVE: Way = &[("--engine", "native")];
const NOTIFY: Way = &[("--engine", "notify")];
/// Addresses and memory are asked about.
const HANDLED: Way =
    &[("--engine", "notify"), ("--net", "tcp://127.0.0.1:9"), ("--bind", "8000-8010"), ("--memory-account", "exact")];
const PTRACE: Way = &[("--engine", "ptrace"), ("--guest-ptrace", "native")];
const EMULATED: Way = &[("--engine", "ptrace"), ("--guest-ptrace", "emulate")];

/// One of them, its share of the calls, and how many a box is to make.
struct Share {
    name: &'static str,
    way: Way,
    /// Nothing is asked about refused calls, so that the kernel alone decides.
    silent: bool,
    /// Of what is beyond the smallest size, in hundredths: a call that only the kernel sees costs a tenth of a notified one, and less of a traced one. Of the smallest
    /// size all have as much.
    hundredths: u64,
    /// Fewer where they are slow, so that a box ends within its time.
    a_box: u64,
}

const SHARES: [Share; 6] = [
    Share { name: "the kernel alone", way: NATIVE, silent: true, hundredths: 60, a_box: 100_000 },
    Share { name: "native", way: NATIVE, silent: false, hundredths: 20, a_box: 50_000 },
    Share { name: "notify", way: NOTIFY, silent: false, hundredths: 8, a_box: 50_000 },
    Share { name: "notify with handlers", way: HANDLED, silent: false, hundredths: 4, a_box: 20_000 },
    Share { name: "ptrace", way: PTRACE, silent: false, hundredths: 4, a_box: 20_000 },
    Share { name: "ptrace that plays the kernel", way: EMULATED, silent: false, hundredths: 4, a_box: 20_000 },
];
/// The smallest size.
const SMALLEST: u64 = 100_000;

/// The program polls, never waits for one alone and lets nobody stop it, so a box none of whose tasks uses CPU for so long stands still by a fault of ours.
const STALL: &str = "5s";
const WALL: &str = "60s";
/// And the supervisor itself, if its box is not ended long after that.
const PATIENCE: Duration = Duration::from_secs(150);

/// How many calls all ways and users make together.
fn calls() -> u64 {
    let asked = std::env::var("TIPSTAFF_DRILL_CALLS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(if crate::full_drill() { 100_000_000 } else { SMALLEST })
}

fn seed() -> u64 {
    if crate::full_drill() {
        let seed = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_nanos() as u64;
        println!("seed {seed}");
        return seed;
    }
    7
}

/// What the host shows, and what it showed before.
struct Look {
    sentinel: tipstaff_testkit::Started,
    mark: String,
    lines: BTreeSet<String>,
    traces: Traces,
}

fn lines(pid: i32) -> BTreeSet<String> {
    let user = if User::Root.available() { User::Root } else { User::Ordinary };
    let ran = plain(["hostlook".to_owned(), pid.to_string()]).as_user(user).go();
    ran.check(ran.out().lines().count() > 500, "a look that sees little");
    ran.out().lines().map(str::to_owned).collect()
}

impl Look {
    /// The sentinel is a process of the same user, outside.
    fn now(user: User) -> Self {
        let mark = marker();
        let sentinel = plain(["sleeper", "0", &mark]).as_user(user).start();
        while tipstaff_testkit::survivors(&mark).is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let lines = lines(sentinel.pid());
        Self { sentinel, mark, lines, traces: Traces::now() }
    }

    /// What is otherwise now. What the kernel or somebody else takes down needs a moment.
    fn differs(&self) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let now = lines(self.sentinel.pid());
            let gone = self.lines.difference(&now).map(|line| format!("- {line}"));
            let new = now.difference(&self.lines).map(|line| format!("+ {line}"));
            let differs: Vec<String> = gone.chain(new).collect();
            if differs.is_empty() || begun.elapsed() > Duration::from_secs(10) {
                let left = self.traces.await_nothing_new(Duration::from_secs(10));
                return differs.into_iter().chain(left.into_iter().filter(|what| !in_use(what))).collect();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    #[track_caller]
    fn same(self) {
        let differs = self.differs();
        assert!(differs.is_empty(), "the host is not what it was: {differs:#?}");
        self.sentinel.signal(Signal::KILL);
        await_no_survivor(&self.mark, &[], Duration::from_secs(10));
        self.sentinel.finish();
    }
}

/// Of a supervisor that lives, and so of somebody else's box.
fn in_use(what: &str) -> bool {
    let pid = what.strip_prefix("cgroup ").and_then(|path| path.split("tipstaff-").nth(1)?.split('-').next());
    pid.is_some_and(|pid| Path::new("/proc").join(pid).exists())
}

/// `profile` is a preset or a file that is named after the preset that it extends.
fn boxed(words: &[String], profile: &str, way: Way, user: User) -> Run {
    let words = std::iter::once("callfuzz").chain(words.iter().map(String::as_str));
    let mut run = run(words)
        .profile(profile)
        .memory("256MiB")
        .wall(WALL)
        .idle(STALL)
        .output("16MiB")
        .as_user(user)
        .patience(PATIENCE);
    // One process is all that strict allows.
    if Path::new(profile).file_stem().is_none_or(|preset| preset != "strict") {
        run = run.processes(40);
    }
    for (option, value) in way {
        run = run.option(option, value);
    }
    run
}

/// What must hold of each of these runs, whatever became of the program.
fn sound(ran: &Ran, schema: &jsonschema::Validator) {
    let ends = [
        "ok",
        "nonzero_exit",
        "signaled",
        "time_limit",
        "memory_limit",
        "process_limit",
        "policy_violation",
        "output_limit",
    ];
    ran.check(ends.contains(&ran.verdict()), "an end that is ours");
    ran.check(ran.report["error"].is_null(), "an error of the supervisor");
    ran.check(![101, 125].contains(&ran.code()), "the supervisor failed");
    ran.check(!ran.err().contains("panicked") && !ran.err().contains("internal error"), "a panic");
    let faults: Vec<_> = schema.iter_errors(&ran.report).map(|fault| fault.to_string()).collect();
    ran.check(faults.is_empty(), format_args!("the report is none: {faults:?}"));
}

fn schema() -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/report/schema/report.schema.json");
    let text = fs::read_to_string(path).expect("the schema");
    jsonschema::validator_for(&serde_json::from_str(&text).expect("JSON")).expect("a schema")
}

/// The last "calls N" that a run said: those made since are not counted.
fn counted(ran: &Ran) -> u64 {
    ran.out().lines().filter_map(|line| line.strip_prefix("calls ")?.parse().ok()).next_back().unwrap_or(0)
}

/// This way's and user's share of the calls: boxes of every preset, side by side.
fn drill(share: &Share, user: User) {
    let among = crate::users().count() as u64 * PRESETS.len() as u64;
    let beyond = calls().saturating_sub(SMALLEST) * share.hundredths / 100;
    let wanted = (calls().min(SMALLEST) / SHARES.len() as u64 + beyond).div_ceil(among);
    let schema = schema();
    let look = Look::now(user);
    let scratch = Scratch::new(user);
    let seed = seed();
    std::thread::scope(|scope| {
        for (at, preset) in (0..).zip(PRESETS) {
            let (schema, scratch) = (&schema, &scratch);
            // Far from the others' seeds.
            scope.spawn(move || boxes(share, user, preset, wanted, seed.wrapping_add(at << 32), schema, scratch));
        }
    });
    look.same();
}

/// Boxes of one preset, until so many calls have been made.
fn boxes(
    share: &Share,
    user: User,
    preset: &str,
    wanted: u64,
    mut seed: u64,
    schema: &jsonschema::Validator,
    scratch: &Scratch,
) {
    let begun = Instant::now();
    let profile = if share.silent {
        let text = format!("extends = \"{preset}\"\n[isolation]\ndenials = \"silent\"\n");
        scratch.file(format!("{preset}.toml"), text).display().to_string()
    } else {
        preset.to_owned()
    };
    let (mut made, mut boxes) = (0, 0);
    while made < wanted {
        seed = seed.wrapping_add(1);
        let mark = marker();
        let words = [seed.to_string(), (wanted - made).min(share.a_box).to_string(), mark.clone()];
        let ran = boxed(&words, &profile, share.way, user).go();
        sound(&ran, schema);
        let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
        ran.check(left.is_empty(), format_args!("survivors: {left:?}"));
        made += counted(&ran);
        boxes += 1;
        ran.check(ran.report["clock"] != "idle", format_args!("{preset}, seed {seed}: stands still"));
        // A call can end a box early; but not each box at once.
        ran.check(boxes < 20 + wanted / 20, format_args!("{made} calls in {boxes} boxes"));
    }
    println!("{}, {preset}: {made} calls in {boxes} boxes, {:.1?}", share.name, begun.elapsed());
    println!("figure calls, {} {made}", share.name);
}

both!(the_kernel_alone, |user| drill(&SHARES[0], user));
both!(native, |user| drill(&SHARES[1], user));
both!(notify, |user| drill(&SHARES[2], user));
both!(notify_with_handlers, |user| drill(&SHARES[3], user));
both!(ptrace, |user| drill(&SHARES[4], user));
both!(ptrace_that_plays_the_kernel, |user| drill(&SHARES[5], user));

/// The shares are whole.
#[test]
fn every_call_is_somebodys() {
    assert_eq!(SHARES.iter().map(|share| share.hundredths).sum::<u64>(), 100);
}

// The other two tables of x86 end a box at the first call, whichever it is.
both!(a_call_of_another_table_ends_the_box, |user| {
    if !cfg!(target_arch = "x86_64") {
        skip!("x86 has these tables");
    }
    let step = if crate::full_drill() { 1 } else { 37 };
    let schema = schema();
    let look = Look::now(user);
    for (at, (gate, last)) in [("int80", 470), ("x32", 560)].into_iter().enumerate() {
        for nr in (at..last).step_by(step) {
            let way = [NATIVE, NOTIFY, PTRACE][nr % 3];
            let mark = marker();
            let words = [nr.to_string(), "1".to_owned(), gate.to_owned(), nr.to_string(), mark.clone()];
            let ran = boxed(&words, "judge", way, user).go();
            sound(&ran, &schema);
            // The few calls before it may have ended the program already.
            if ran.out().contains("gate") {
                ran.expect_verdict("policy_violation");
                ran.check(!ran.out().contains("result"), "the call came back");
            }
        }
    }
    look.same();
});

both!(a_box_amid_its_calls_is_ended_when_asked, |user| {
    for way in [NATIVE, NOTIFY, HANDLED, PTRACE, EMULATED] {
        let mut seed = 11;
        // A box that ended by itself before it was asked has shown nothing.
        let asked = (0..10).any(|_| {
            seed += 1;
            let mark = marker();
            let words = [seed.to_string(), "100000000".to_owned(), mark.clone()];
            let started = boxed(&words, "default", way, user).start();
            while !started.said("calls") && !started.ends(Duration::from_millis(1)) {}
            let amid = !started.ends(Duration::ZERO);
            if amid {
                started.signal(Signal::INT);
                started.signal(Signal::INT);
            }
            // The wall limit would end it, too, and is far.
            assert!(started.ends(PATIENCE), "{way:?}: a stall");
            let ran = started.finish();
            let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
            assert!(left.is_empty(), "{way:?}: survivors: {left:?}");
            amid && ran.verdict() != "time_limit"
        });
        assert!(asked, "{way:?}: no box was ended amid its calls");
    }
});

/// The control: without a box the same calls change what the look sees. In namespaces whose names are nobody else's, and within others that hide what may be
/// written of the host: what these have mounted, the inner ones cannot take away.
#[test]
fn the_look_sees_what_such_calls_do() {
    let Some(unshare) = find("unshare") else { skip!("no unshare(1)") };
    let hidden = "exec 8<\"$1\" 9<\"$2\"; for dir in /tmp /var/tmp /dev/shm /run; do mount -t tmpfs none $dir || exit 9; done; cd /tmp && \
                  exec unshare -U -r -m -p -f -n -i -u --mount-proc sh -c \"$3\" sh \"$4\"";
    let looked = "ulimit -f 100000; /proc/self/fd/9; /proc/self/fd/8 $1 3000 >/dev/null 2>&1; echo ==; /proc/self/fd/9";
    let changed = (1..=10).any(|seed: u32| {
        let mut words = vec![unshare.display().to_string()];
        words.extend("-U -r -m -p -f -n -i -u --mount-proc sh -c".split(' ').map(str::to_owned));
        words.extend([hidden.to_owned(), "sh".to_owned()]);
        words.extend(["callfuzz", "hostlook"].map(|name| guest(name).display().to_string()));
        words.extend([looked.to_owned(), seed.to_string()]);
        let ran = plain(words).as_user(User::Ordinary).go();
        let text = ran.out();
        ran.check(ran.code() != 9, "the host cannot be hidden from the control");
        let Some((before, after)) = text.split_once("==\n") else { return false };
        let names = |text: &str| text.lines().find(|line| line.starts_with("names ")).map(str::to_owned);
        names(before).is_some() && names(after).is_some_and(|after| Some(after) != names(before))
    });
    assert!(changed, "no call changed anything: the drill proves nothing");
}
