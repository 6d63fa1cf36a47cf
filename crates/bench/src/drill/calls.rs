//! Filters that are proven, and calls of every kind in boxes: our own, those of trinity, and the stress of stress-ng.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use tipstaff_abi::Arch;
use tipstaff_abi::bpf::SeccompData;
use tipstaff_seccomp::{Program, prove, run};

use super::{Sheet, Size, suite};
use crate::kill::marked;
use crate::{leak, system};

const PRESETS: [&str; 7] = ["default", "judge", "strict", "python", "node", "build", "agent"];
/// A stall is longer than its own time limit by this.
const STALL: Duration = Duration::from_secs(5);
/// nobody and nogroup.
const NOBODY: u32 = 65_534;
/// How often it may begin in its time.
const GOES: usize = 50;
/// Kinds of calls that are refused to whoever tries all there are.
const MANY: usize = 10;

/// The proofs of every preset's filter, and so many fuzzed calls.
pub fn drill(calls: u64, size: Size, sheet: &mut Sheet) -> anyhow::Result<()> {
    proofs(sheet)?;
    let env = [("TIPSTAFF_DRILL_CALLS", calls.to_string())];
    suite::tests(
        "fuzzing of calls: 7 presets, 5 engines, 2 users; no panic, no stall over 5 s, no host change",
        "test(/^fuzz_drill::/)",
        size,
        &env,
        sheet,
    )?;
    let seconds = if size == Size::Full { 60 } else { 3 };
    foreign("stress-ng", seconds, sheet, |seconds| {
        // Without those that are one refused call from their end: epoll (sockets), enosys (the 32-bit gate, which ends a box).
        let stressors = [
            "fork",
            "mmap",
            "pipe",
            "sock",
            "futex",
            "signal",
            "dentry",
            "timer",
            "vm",
            "sysinfo",
            "prctl",
            "sysbadaddr",
            // These ask for what is refused.
            "key",
            "personality",
            "clone",
        ];
        let mut words =
            vec!["--temp-path".to_owned(), "/tmp".to_owned(), "--timeout".to_owned(), format!("{seconds}s")];
        words.extend(stressors.iter().flat_map(|name| [format!("--{name}"), "1".to_owned()]));
        // Those two take 256 MiB each, which is the limit.
        words.extend(["--vm-bytes", "64m", "--mmap-bytes", "64m"].map(str::to_owned));
        words
    })?;
    // Calls of the 32-bit gate end a box, which is the drill's own to show. It does not begin before it has descriptors of each kind, and some of them are refused.
    foreign("trinity", seconds, sheet, |_| {
        let words = ["-q", "-l", "off", "-a", "64", "-C", "4", "-N", "100000000"].map(str::to_owned);
        let kinds = ["pipes", "eventfd", "timerfd", "memfd"].map(|kind| format!("--enable-fds={kind}"));
        [&words[..], &kinds[..]].concat()
    })
}

/// Every number to 1,023 of three tables, with arguments at the edges: the program answers what the specification says.
fn proofs(sheet: &mut Sheet) -> anyhow::Result<()> {
    let mut words: Vec<u64> =
        vec![0, 1, 2, 0x7fff_ffff, 0x8000_0000, u64::from(u32::MAX), 1 << 32, 1 << 32 | 1, u64::MAX];
    words.extend((0..64).map(|bit| 1_u64 << bit));
    let (mut asked, mut wrong, mut proven) = (0_u64, 0_usize, 0_usize);
    for preset in PRESETS {
        let mut command = tipstaff::Command::new("/bin/true");
        command.profile(tipstaff::Profile::preset(preset)?);
        let plan = command.explain()?;
        let spec = plan.filter.as_ref().context("no filter")?.spec().clone();
        let program: Program = spec.compile()?;
        proven += usize::from(prove(&spec, &program).is_ok());
        for (arch, bit) in [(Arch::X86_64, 0), (Arch::I386, 0), (Arch::X86_64, tipstaff_abi::X32_BIT)] {
            for nr in 0..1024_u32 {
                for (at, word) in words.iter().enumerate() {
                    // One argument at a time at an edge, and all of them at once.
                    let mut args = [0; 6];
                    args[at % 6] = *word;
                    for args in [args, [*word; 6]] {
                        let data = SeccompData { nr: (nr | bit).cast_signed(), arch: arch.audit_arch(), ip: 0, args };
                        asked += 1;
                        wrong += usize::from(run(program.insns(), &data) != Ok(spec.decide(&data).to_raw()));
                    }
                }
            }
        }
    }
    println!("{asked} questions to {} filters", PRESETS.len());
    sheet.all("filters of presets that are proven", proven, PRESETS.len());
    sheet.none(format!("answers otherwise than the specification, of {asked}"), wrong);
    Ok(())
}

/// A fuzzer of somebody else's in every preset that shows it the system, under each engine.
fn foreign(name: &str, seconds: u64, sheet: &mut Sheet, words: impl Fn(u64) -> Vec<String>) -> anyhow::Result<()> {
    let Some(program) = system::find(name) else {
        sheet.skip(format!("{name} in boxes"), "it is not installed");
        return Ok(());
    };
    let before = leak::Picture::now();
    let modes = modes();
    let (mut runs, mut failed, mut stalls, mut left, mut idle) = (0, 0, 0, 0, 0);
    for preset in ["default", "judge", "build"] {
        for engine in ["native", "notify", "ptrace"] {
            let dir = tempfile::tempdir()?;
            let mark = format!("{name}-{preset}-{engine}-{}", std::process::id());
            let mut command = Command::new(system::tipstaff()?);
            command.args([
                "run",
                "--quiet",
                "--profile",
                preset,
                "--engine",
                engine,
                "--memory",
                "512MiB",
                "--processes",
                "100",
            ]);
            command.args(["--cpu", "unlimited", "--output", "64MiB", "--wall", &format!("{}s", seconds + 2)]);
            // trinity does not want to be root; whoever is not cannot be anybody else.
            if rustix::process::geteuid().is_root() {
                std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY))?;
                command.args(["--uid", &NOBODY.to_string(), "--gid", &NOBODY.to_string()]);
            }
            command.arg("--env").arg(format!("MARK={mark}")).arg("--report").arg(dir.path().join("report"));
            command.arg("--").arg(&program).args(words(seconds)).current_dir(dir.path());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let begun = Instant::now();
            let (mut most, mut goes, mut told) = (0, 0, String::new());
            // Who calls at random may end itself: then it begins again, until its time is over.
            while goes < GOES && (goes == 0 || begun.elapsed() < Duration::from_secs(seconds)) {
                goes += 1;
                let start = Instant::now();
                let output = command.output()?;
                stalls += usize::from(start.elapsed() > Duration::from_secs(seconds + 2) + STALL);
                let said = String::from_utf8_lossy(&output.stderr);
                let broken = output.status.code() == Some(125)
                    || output.status.code() == Some(101)
                    || said.contains("internal error");
                if broken {
                    println!("{name}, {preset}, {engine}: {} {said}", output.status);
                }
                let report = std::fs::read_to_string(dir.path().join("report")).unwrap_or_default();
                failed += usize::from(broken || !report_is_whole(&report));
                most = most.max(refused(&report));
                told = format!("{} {}", output.status, said.lines().last().unwrap_or_default());
            }
            let took = begun.elapsed();
            if took < Duration::from_secs(seconds) || most < MANY {
                println!("{name}, {preset}, {engine}: {most} calls refused, {goes} goes in {took:.1?}: {told}");
                idle += 1;
            }
            left += marked(&mark).len();
            runs += 1;
        }
    }
    sheet.none(format!("{name}, {runs} boxes of {seconds} s: failures of the supervisor"), failed);
    sheet.none(format!("  ended early, or with fewer than {MANY} calls refused"), idle);
    sheet.none("  stalls over 5 s", stalls);
    sheet.none("  processes left", left);
    let mut host = Sheet::default();
    leak::changed(&before, &mut host);
    sheet.figure(
        "  host changes",
        0,
        if host.held() && modes == self::modes() { 0 } else { 1 },
        host.held() && modes == self::modes(),
    );
    Ok(())
}

fn report_is_whole(text: &str) -> bool {
    text.contains("\"schema\":1") || text.contains("\"schema\": 1")
}

/// How many calls a report says were refused, each kind of them once.
fn refused(text: &str) -> usize {
    text.matches("\"syscall\":").count()
}

/// Modes of device nodes, which once could be changed.
fn modes() -> Vec<(PathBuf, u32)> {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut modes: Vec<_> = entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.mode()))).collect();
    modes.sort();
    modes
}
