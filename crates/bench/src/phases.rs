//! Where the time of a start goes, in this process: what is done once per plan, and what is done for each box.

use std::time::Instant;

use tipstaff::policy::lower::{Surroundings, lower};
use tipstaff::policy::profile::Profile as Policy;
use tipstaff::{Armed, Command, Machine, Profile};
use tipstaff_launch::{Program, RealHost};

use crate::guests::Guests;
use crate::{library, measure, system};

const TIMES: usize = 200;

/// First time and median in microseconds.
fn time<T>(name: &str, mut f: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let mut first = None;
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..TIMES {
        let begun = Instant::now();
        let value = f()?;
        let us = begun.elapsed().as_secs_f64() * 1e6;
        first.get_or_insert(us);
        times.push(us);
        last = Some(value);
    }
    println!("{name:48} {:9.1} {:9.1}", first.unwrap_or(f64::NAN), measure::median(&mut times));
    last.ok_or_else(|| anyhow::anyhow!("nothing was timed"))
}

pub fn print() -> anyhow::Result<()> {
    println!("{}", system::line());
    println!("{:48} {:>9} {:>9}", "", "first µs", "median");
    let policy: Policy = time("preset `default`: TOML to profile", || Ok(Profile::preset("default")?.0))?;
    let cwd = std::env::current_dir()?;
    let search = std::ffi::OsString::from("/usr/local/bin:/usr/bin:/bin");
    let argv = ["true".into()];
    let found = || Program::resolve(&argv, Some(&search), &cwd).map_err(|f| anyhow::anyhow!(f.message));
    let program = time("find and pin the program", found)?;
    let caps = &Machine::full().caps;
    let around = Surroundings {
        cwd,
        programs: program.shown.clone(),
        core_is_piped: false,
        handled: tipstaff_abi::SyscallSet::new(caps.arch),
        names: Default::default(),
        rewrites: false,
        registers: false,
        addresses: false,
        filters: 0,
    };
    let plan = time("lower", || Ok(lower(&policy, caps, &RealHost::default(), &around)?))?;
    let armed = time("compile the filter", || {
        Armed::new(plan.clone(), caps).map_err(|failure| anyhow::anyhow!(failure.message))
    })?;
    let view = plan.view.ops.len();
    let rules = plan.landlock.as_ref().map_or(0, |landlock| landlock.rules.len());
    println!(
        "  {view} steps of the mount tree, {rules} Landlock rules, {} instructions",
        armed.insns().map_or(0, <[_]>::len)
    );
    let guests = Guests::build()?;
    let profiles = [
        ("lightest", library::lightest(&guests.bare)),
        ("light", library::light()?),
        ("default", Profile::preset("default")?),
        ("narrow full", library::limited(library::narrow(&guests.bare))),
        ("full", library::full()?),
    ];
    for (name, profile) in profiles {
        let mut command = Command::new(&guests.bare);
        command.profile(profile);
        let (mut spawns, mut waits, mut drops) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let begun = Instant::now();
            let mut child = command.spawn_unwatched()?;
            let spawned = Instant::now();
            child.wait()?;
            let waited = Instant::now();
            drop(child);
            drops.push(waited.elapsed().as_secs_f64() * 1e6);
            waits.push((waited - spawned).as_secs_f64() * 1e6);
            spawns.push((spawned - begun).as_secs_f64() * 1e6);
        }
        for (what, times) in [("spawn", &mut spawns), ("wait", &mut waits), ("drop", &mut drops)] {
            let first = times.first().copied().unwrap_or(f64::NAN);
            println!("{:48} {first:9.1} {:9.1}", format!("{what}, {name} box"), measure::median(times));
        }
    }
    Ok(())
}
