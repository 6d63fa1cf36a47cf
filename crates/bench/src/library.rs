//! The library: spawn and wait of a static program that does nothing.

use std::path::Path;

use tipstaff::policy::profile::{Namespaces, PathRule};
use tipstaff::policy::value::Setting;
use tipstaff::{Command, Profile};

use crate::bare::{Bare, all_namespaces};
use crate::guests::Guests;
use crate::measure::{self, Effort, Subject};
use crate::raw::Script;

/// Seccomp, Landlock and rlimits; no namespace, no control group.
pub fn light() -> anyhow::Result<Profile> {
    let mut profile = Profile::preset("default")?;
    lighten(&mut profile);
    Ok(profile)
}

/// The same, and nothing to be seen but the program's own directory.
pub fn lightest(guest: &Path) -> Profile {
    let mut profile = narrow(guest);
    lighten(&mut profile);
    profile
}

fn lighten(profile: &mut Profile) {
    let p = &mut profile.0;
    p.isolation.namespaces = Some(Namespaces::None);
    (p.limits.cpu, p.limits.wall) = (Some(Setting::Unlimited), Some(Setting::Unlimited));
    p.limits.open_files = Some(Setting::At(256));
    p.limits.file_size = Some(Setting::At(64 << 20));
}

/// What a static program needs, and nothing else.
pub fn narrow(guest: &Path) -> Profile {
    let mut profile = Profile(tipstaff::policy::profile::Profile::default());
    let here = PathRule { path: guest.parent().unwrap_or(guest).to_owned(), if_exists: false };
    profile.0.filesystem.read.push(here.clone());
    profile.0.filesystem.exec.push(here);
    profile
}

/// All namespaces and a control group for CPU, memory and tasks.
pub fn full() -> anyhow::Result<Profile> {
    Ok(limited(Profile::preset("default")?))
}

pub fn limited(profile: Profile) -> Profile {
    profile.cpu_ms(10_000).memory(256 << 20).processes(64)
}

/// One run that must end well.
pub fn once(command: &mut Command) -> anyhow::Result<()> {
    let report = command.spawn_unwatched()?.wait()?;
    anyhow::ensure!(report.exit_code == Some(0), "the run ended with {}", report.verdict);
    Ok(())
}

pub fn rows(guests: &Guests, effort: Effort) -> anyhow::Result<()> {
    let both = [("C", &guests.noop), ("no libc", &guests.bare)];
    for (what, guest) in both {
        let goal = (what == "C").then_some(1.25);
        pair(&format!("library, seccomp + Landlock + rlimits ({what})"), guest, lightest(guest), 0, goal, effort)?;
    }
    pair("  with the default preset's view", &guests.noop, light()?, 0, None, effort)?;
    for (what, guest) in both {
        let goal = (what == "C").then_some(1.2);
        let name = format!("library, all namespaces + cgroup ({what})");
        pair(&name, guest, limited(narrow(guest)), all_namespaces(), goal, effort)?;
    }
    whole(&guests.noop, effort)?;
    pair("  without the cgroup", &guests.noop, narrow(&guests.noop), all_namespaces(), None, effort)?;
    pair("  with the default preset's view", &guests.noop, full()?, all_namespaces(), None, effort)?;
    // Lowering is done once for many spawns; a first spawn pays for it.
    let mut floor = Bare::new(&[&guests.noop], 0)?;
    let ours = || {
        let mut command = Command::new(&guests.noop);
        once(command.profile(light()?))
    };
    let mut subjects: [Subject<'_>; 2] = [Box::new(|| floor.run()), Box::new(ours)];
    let us = measure::compare(effort, &mut subjects)?;
    measure::row("library, as the first, preset and lowering included", us[0], us[1], None);
    Ok(())
}

/// Beside the same kernel work without anything of ours.
fn whole(guest: &Path, effort: Effort) -> anyhow::Result<()> {
    let name = "  floor: the same mounts, groups, rules, filter, raw";
    let mut command = Command::new(guest);
    command.profile(limited(narrow(guest)));
    let script = match Script::of(&command.explain_armed()?) {
        Ok(script) => script,
        Err(e) => {
            measure::skip(name, &e.to_string());
            return Ok(());
        }
    };
    let mut floor = Bare::new(&[guest], all_namespaces())?.with(script);
    let mut subjects: [Subject<'_>; 2] = [Box::new(|| floor.run()), Box::new(|| once(&mut command))];
    let us = measure::compare(effort, &mut subjects)?;
    measure::row(name, us[0], us[1], None);
    Ok(())
}

fn pair(
    name: &str,
    guest: &Path,
    profile: Profile,
    flags: i32,
    goal: Option<f64>,
    effort: Effort,
) -> anyhow::Result<()> {
    let mut floor = Bare::new(&[guest], flags)?;
    let mut command = Command::new(guest);
    command.profile(profile);
    let mut subjects: [Subject<'_>; 2] = [Box::new(|| floor.run()), Box::new(|| once(&mut command))];
    let us = measure::compare(effort, &mut subjects)?;
    measure::row(name, us[0], us[1], goal);
    Ok(())
}

/// One side of a row again and again, for a profiler: what it took in wall-clock time, and what it and its children took of the CPUs.
pub fn repeat(which: &str, times: usize) -> anyhow::Result<()> {
    let guests = Guests::build()?;
    let guest = &guests.noop;
    let mut command = Command::new(guest);
    let mut floor = match which {
        "floor" => Some(Bare::new(&[guest], 0)?),
        "floor-full" => Some(Bare::new(&[guest], all_namespaces())?),
        "floor-whole" => {
            let mut plan = Command::new(guest);
            plan.profile(limited(narrow(guest)));
            Some(Bare::new(&[guest], all_namespaces())?.with(Script::of(&plan.explain_armed()?)?))
        }
        "light" => None,
        "full" => None,
        other => anyhow::bail!("no side {other:?}; there are floor, light, floor-full, floor-whole, full"),
    };
    command.profile(if which == "full" { limited(narrow(guest)) } else { lightest(guest) });
    let mut us = Vec::with_capacity(times);
    let before = measure::cpu_us();
    for _ in 0..times {
        let begun = std::time::Instant::now();
        match &mut floor {
            Some(floor) => floor.run()?,
            None => once(&mut command)?,
        }
        us.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    drop(command);
    let cpu = (measure::cpu_us() - before) / times as f64;
    println!("{which}: median {:.1} µs, {cpu:.1} µs of this process and what it reaped", measure::median(&mut us));
    Ok(())
}
