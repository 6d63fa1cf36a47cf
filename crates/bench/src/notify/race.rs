//! Paths that change while they are decided about.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use tipstaff::handler::Trap;
use tipstaff::policy::profile::{PathRule, RuleAction, SyscallRule};
use tipstaff::policy::value::Setting;
use tipstaff::{Action, Arch, Handler, SyscallSet};

use super::boxes::{boxed, profile};
use super::programs::Programs;
use crate::drill::Sheet;

const CALLS: [&str; 7] = ["open", "creat", "openat2", "rename", "link", "chdir", "exec"];

/// Refuses what leads to the bad directory, and lets everything else pass: right as far as it can see.
struct Naive {
    call: String,
    refused: Arc<AtomicU64>,
}

impl Handler for Naive {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, [self.call.as_str()])
    }

    fn on_syscall(&mut self, trap: &mut Trap<'_>) -> Action {
        let index = usize::from(matches!(self.call.as_str(), "openat2" | "rename" | "link"));
        // An exec that a handler has looked at is verified by the engine: here the profile alone shall decide, so it is looked at behind its back.
        let path = match self.call.as_str() {
            "execve" => behind(trap),
            _ => trap.path(index).map(|path| path.into_os_string().into_encoded_bytes()).unwrap_or_default(),
        };
        if path.is_empty() || String::from_utf8_lossy(&path).contains("/bad_/") {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Action::Errno(13);
        }
        Action::Pass
    }
}

fn behind(trap: &Trap<'_>) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; 512];
    let memory = fs::File::open(format!("/proc/{}/mem", trap.tid()));
    let read = memory.and_then(|memory| memory.read_at(&mut bytes, trap.args()[0])).unwrap_or(0);
    bytes.truncate(bytes[..read].iter().position(|byte| *byte == 0).unwrap_or(0));
    bytes
}

/// At least `flips` flips for each call, or for one of them, and a tenth of that in calls.
pub fn drill(flips: usize, only: Option<&str>, sheet: &mut Sheet) -> anyhow::Result<()> {
    let programs = Programs::build()?;
    println!(
        "{flips} flips by three threads and a process; wrong decisions with the rule in the profile, and with a handler alone"
    );
    ensure!(only.is_none_or(|only| CALLS.contains(&only)), "no call {only:?}; there are {}", CALLS.join(", "));
    for call in CALLS.into_iter().filter(|call| only.is_none_or(|only| only == *call)) {
        // An exec costs a hundred times as much: among the others it has fewer.
        let flips = if call == "exec" && only.is_none() { flips / 20 } else { flips };
        let held = once(&programs, call, flips, true)?;
        let lost = once(&programs, call, flips, false)?;
        println!("{call:8} {held}; control: {lost}");
        let whole = held.contains("all flips, some through");
        let (held, lost) = (wrong(&held)?, wrong(&lost)?);
        sheet.figure(format!("{call}, {flips} flips: escapes"), 0, held, whole && held == 0);
        sheet.figure("  the control, a handler alone", "some", lost, lost > 0);
    }
    Ok(())
}

/// The wrong decisions of a run, of its last words.
fn wrong(words: &str) -> anyhow::Result<u64> {
    let count = words.strip_suffix(" wrong").and_then(|words| words.rsplit(' ').next()?.parse().ok());
    count.with_context(|| format!("no count in {words:?}"))
}

fn once(programs: &Programs, call: &str, flips: usize, rule: bool) -> anyhow::Result<String> {
    let dir = tempfile::Builder::new().prefix("race-").tempdir_in(programs.dir())?;
    let make = |name: &str| -> anyhow::Result<std::path::PathBuf> {
        let path = dir.path().join(name);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
        fs::write(path.join("f"), &name[..1])?;
        // Without arguments, one ends with 0 and the other with 2.
        fs::copy(programs.path(if name == "good" { "exit" } else { "race" }), path.join("x"))?;
        Ok(path)
    };
    let (ours, theirs) = (make("good")?, make("bad_")?);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    let show = |path: &Path| path.display().to_string();
    let words = [
        show(&programs.path("race")),
        call.to_owned(),
        show(&ours),
        show(&theirs),
        flips.to_string(),
        (flips / 10).to_string(),
    ];
    let mut profile = profile(programs.dir())?;
    (profile.0.limits.cpu, profile.0.limits.wall) = (Some(Setting::Unlimited), Some(Setting::Unlimited));
    // Without the rule both are in one mount: between two a rename is EXDEV.
    let allowed = if rule { ours.as_path() } else { dir.path() };
    profile.0.filesystem.write.push(PathRule::new(allowed));
    // Absent where files can be left behind, unless a profile says that it wants it.
    let asked_for = SyscallRule { names: vec!["openat2".into()], conditions: Vec::new(), action: RuleAction::Allow };
    profile.0.syscalls.rules.push(asked_for);
    profile.0.filesystem.exec.push(PathRule::new(allowed));
    if rule {
        profile.0.filesystem.deny.push(PathRule::new(&theirs));
    }
    let mut command = boxed(&words, profile)?;
    let refused = Arc::new(AtomicU64::new(0));
    let wanted = if call == "exec" { "execve" } else { call }.to_owned();
    let counter = Arc::clone(&refused);
    command.handler(move || Naive { call: wanted.clone(), refused: Arc::clone(&counter) });
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(output.report.exit_code == Some(0), "{call}: {output:?}");
    ensure!(refused.load(Ordering::Relaxed) > 0, "{call}: the handler saw no bad path: nothing raced");
    Ok(text)
}
