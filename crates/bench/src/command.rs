//! The command line: `tipstaff run -- /bin/true` beside `env /bin/true` and bubblewrap.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bare::Bare;
use crate::measure::{self, Effort, Subject};
use crate::system;

const TRUE: &str = "/bin/true";

/// The lightest box in which nothing survives: a reaper guarded by Landlock, no namespace.
const LIGHT: &str = "extends = \"default\"\n[isolation]\nnamespaces = \"none\"\n";
/// What /bin/true needs, its loader's cache included, and nothing else.
const LEAN: &str = "[filesystem]\nread = [\"/usr\", \"/etc/ld.so.cache\"]\nexec = [\"/usr\"]\n[network]\nallow = [\"none\"]\n[syscalls]\n\
                    base = \"default\"\n[isolation]\nnamespaces = \"none\"\n";
/// What `bwrap --ro-bind / / --tmpfs /tmp` shows.
const SAME: &str = "[filesystem]\nread = [\"/\"]\nexec = [\"/\"]\n[network]\nallow = [\"none\"]\n";
/// The fewest namespaces that make a box.
const PID: &str = "extends = \"default\"\n[isolation]\nnamespaces = [\"pid\", \"mount\"]\n";

fn ours(tipstaff: &Path, options: &[&str]) -> anyhow::Result<Bare> {
    let mut argv: Vec<OsString> = vec![tipstaff.into(), "run".into(), "--quiet".into()];
    argv.extend(options.iter().map(OsString::from));
    argv.extend(["--".into(), TRUE.into()]);
    Bare::new(&argv, 0)
}

fn profile(dir: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = dir.join(name);
    std::fs::File::create(&path)?.write_all(text.as_bytes())?;
    Ok(path)
}

pub fn rows(effort: Effort) -> anyhow::Result<()> {
    let tipstaff = system::tipstaff()?;
    let dir = tempfile::tempdir()?;
    let light = profile(dir.path(), "light.toml", LIGHT)?;
    let lean = profile(dir.path(), "lean.toml", LEAN)?;
    let pid = profile(dir.path(), "pid.toml", PID)?;
    let same = profile(dir.path(), "same.toml", SAME)?;
    let option = |path: &Path| format!("--profile={}", path.display());
    let names = [
        ("command, lightest box", vec![option(&lean)], Some(1.5)),
        ("command, no namespace, default view", vec![option(&light)], None),
        ("command, pid + mount namespaces", vec![option(&pid)], None),
        ("command, default", vec![], None),
    ];
    let mut floor = Bare::new(&["/usr/bin/env", TRUE], 0)?;
    let mut one = Bare::new(&[TRUE], 0)?;
    let mut start = Bare::new(&[tipstaff.as_os_str(), "--version".as_ref()], 0)?.silent()?;
    let mut boxes = Vec::new();
    for (_, options, _) in &names {
        boxes.push(ours(&tipstaff, &options.iter().map(String::as_str).collect::<Vec<_>>())?);
    }
    let mut subjects: Vec<Subject<'_>> =
        vec![Box::new(|| floor.run()), Box::new(|| one.run()), Box::new(|| start.run())];
    subjects.extend(boxes.iter_mut().map(|bare| Box::new(|| bare.run()) as Subject<'_>));
    let us = measure::compare(effort, &mut subjects)?;
    drop(subjects);
    for ((name, _, goal), ours) in names.iter().zip(&us[3..]) {
        measure::row(&format!("{name}; floor: env /bin/true"), us[0], *ours, *goal);
    }
    measure::row("  for comparison: /bin/true bare", us[0], us[1], None);
    measure::row("  for comparison: tipstaff --version", us[0], us[2], None);
    against_bwrap(&tipstaff, &same, effort)
}

fn against_bwrap(tipstaff: &Path, same: &Path, effort: Effort) -> anyhow::Result<()> {
    let name = "command, namespaces, mounts, cgroup; floor: bwrap";
    let Some(bwrap) = system::find("bwrap") else {
        measure::skip(name, "bwrap is not installed (apt-get install bubblewrap)");
        return Ok(());
    };
    let mut argv = vec![bwrap.into_os_string()];
    let view = "--unshare-all --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp";
    argv.extend(view.split(' ').chain([TRUE]).map(OsString::from));
    let mut floor = Bare::new(&argv, 0)?;
    let same = format!("--profile={} --cpu 10s --memory 256MiB --processes 64", same.display());
    let mut ours = ours(tipstaff, &same.split(' ').collect::<Vec<_>>())?;
    let mut subjects: [Subject<'_>; 2] = [Box::new(|| floor.run()), Box::new(|| ours.run())];
    let us = measure::compare(effort, &mut subjects)?;
    measure::row(name, us[0], us[1], Some(0.8));
    Ok(())
}

/// What the supervisor holds 100 ms into the run of its box.
pub fn resident() -> anyhow::Result<()> {
    for options in [&[][..], &["--memory=256MiB", "--cpu=10s", "--processes=64"]] {
        let mut command = Command::new(system::tipstaff()?);
        command.args(["run", "--quiet"]).args(options).args(["--", "/bin/sleep", "1"]);
        let mut child = command.stdin(Stdio::null()).spawn()?;
        std::thread::sleep(Duration::from_millis(100));
        let get = |key| system::status(child.id(), key).unwrap_or(0);
        let [rss, anon, peak, threads] = ["VmRSS", "RssAnon", "VmHWM", "Threads"].map(get);
        let status = child.wait()?;
        anyhow::ensure!(status.success(), "the sleeper ended with {status}");
        let with = if options.is_empty() { "" } else { ", cgroup" };
        let value = format!("{rss} KiB (goal < 3072; anonymous {anon}, peak {peak})");
        measure::figure(&format!("supervisor's resident memory{with}"), &value, Some(rss < 3072 && rss > 0));
        measure::figure(&format!("supervisor's threads{with}"), &format!("{threads}"), Some(threads == 1));
    }
    Ok(())
}
