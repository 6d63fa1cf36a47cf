//! The library: spawn and wait of a static program that does nothing.

use std::path::Path;

use tipstaff::policy::profile::{Namespaces, PathRule};
use tipstaff::policy::value::Setting;
use tipstaff::{Command, Profile};

use crate::bare::{Bare, all_namespaces};
use crate::guests::Guests;
use crate::measure::{self, Effort, Subject};

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
