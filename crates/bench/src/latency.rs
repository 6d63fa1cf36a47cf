//! How late an end is: a kill from another thread, the CPU limit.

use std::time::{Duration, Instant};

use tipstaff::report::Limit;
use tipstaff::{Command, Profile};

use crate::guests::Guests;
use crate::measure::{self, Effort, median};

/// From [`tipstaff::Killer::kill`] to the report.
pub fn kill(effort: Effort) -> anyhow::Result<()> {
    let profile = crate::library::full()?;
    let mut command = Command::new("/bin/sleep");
    command.arg("100").profile(profile);
    let mut times = Vec::new();
    for _ in 0..effort.rounds * 2 {
        let mut child = command.spawn()?;
        let killer = child.killer();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            let begun = Instant::now();
            killer.kill();
            begun
        });
        let report = child.wait()?;
        let ended = Instant::now();
        let begun = thread.join().map_err(|_| anyhow::anyhow!("the killing thread panicked"))?;
        anyhow::ensure!(report.signal.is_some(), "killed, and yet {}", report.verdict);
        times.push(ended.duration_since(begun).as_secs_f64() * 1e3);
    }
    let middle = median(&mut times);
    let worst = times.last().copied().unwrap_or(f64::NAN);
    measure::figure("kill to report, full box", &format!("{middle:.2} ms (worst {worst:.2})"), None);
    Ok(())
}

/// A spinner under a CPU limit: how far over it, and how long after the crossing the event was recorded.
pub fn cpu(guests: &Guests) -> anyhow::Result<()> {
    for with in ["cgroup", "no cgroup"] {
        for limit in [100u64, 250, 1000] {
            let mut profile = Profile::preset("default")?.cpu_ms(limit);
            if with == "cgroup" {
                profile = profile.memory(256 << 20);
            } else {
                profile.0.isolation.best_effort = Some(true);
                profile.0.isolation.namespaces = Some(tipstaff::policy::profile::Namespaces::None);
            }
            let mut command = Command::new(&guests.spin);
            command.profile(profile);
            let (mut over, mut late, mut source) = (Vec::new(), Vec::new(), String::new());
            for _ in 0..5 {
                let report = command.status()?;
                let hit = report.limits_hit.iter().find(|hit| hit.limit == Limit::Cpu);
                let hit = hit.ok_or_else(|| anyhow::anyhow!("a spinner ended with {}", report.verdict))?;
                let ns = limit * 1_000_000;
                over.push((report.cpu_ns.total as f64 - ns as f64) / 1e6);
                // The guest could have crossed no earlier than when that much wall time had passed.
                late.push((report.wall_ns as f64 - hit.at_ns as f64) / 1e6);
                source = report.cpu_source.to_string();
            }
            let (middle, after) = (median(&mut over), median(&mut late));
            let worst = over.last().copied().unwrap_or(f64::NAN);
            let name = format!("--cpu {limit}ms ({source}): used beyond the limit");
            let value = format!("{middle:.2} ms (worst {worst:.2}; from decision to end {after:.2})");
            measure::figure(&name, &value, Some(middle <= 10.0));
        }
    }
    Ok(())
}
