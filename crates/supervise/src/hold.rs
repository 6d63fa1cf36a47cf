//! No new tasks: fork(2) and clone(2) answer EAGAIN, and what is there runs on.

use std::collections::BTreeMap;

use tipstaff_cgroup::Cgroup;
use tipstaff_sys::keeper::Keeper;
use tipstaff_sys::rlimit::{self, RLIMIT_NPROC, Rlimit};
use tipstaff_sys::{Errno, ids};

use crate::{freeze, stat, tasks};

/// Looks until no process without the limit is found.
const LOOKS: u32 = 200;

/// A box whose tasks may not multiply.
#[derive(Debug)]
pub(crate) enum Hold {
    /// The pids controller refuses, and had refused so many before.
    Group {
        /// pids.max before.
        limit: u64,
        /// Refusals before.
        refused: u64,
    },
    /// RLIMIT_NPROC of each process, as it was before, by number and start.
    Rlimits(BTreeMap<(i32, u64), (u64, u64)>),
}

impl Hold {
    /// Begins. `limit` is the box's own limit of tasks; `exempt`: its tasks are of uid 0, which RLIMIT_NPROC does not bind.
    /// Also a word on how far it holds. Err: nothing has changed; why.
    pub fn begin(
        keeper: &Keeper,
        group: Option<&Cgroup>,
        limit: Option<u64>,
        exempt: bool,
    ) -> Result<(Self, Option<String>), String> {
        if let (Some(group), Some(limit)) = (group.filter(|g| g.has_pids()), limit) {
            let refused = group.pids().1.unwrap_or(0);
            group.set_pids_max(0).map_err(|e| format!("pids.max: {e}"))?;
            return Ok((Self::Group { limit, refused }, None));
        }
        if exempt {
            return Err("uid 0 is not bound by RLIMIT_NPROC, and the box has no pids control group; start it with \
                        `--processes N` where control groups can be had, or as another user"
                .to_owned());
        }
        let hold = Self::limit_each(keeper)?;
        let note = (ids::uid() != 0).then(|| {
            "held by RLIMIT_NPROC, whose hard limit only root can lower and raise again: a program that raises its own soft limit \
             gets out; `--processes N` with a control group holds against that"
                .to_owned()
        });
        Ok((hold, note))
    }

    fn limit_each(keeper: &Keeper) -> Result<Self, String> {
        let mut before = BTreeMap::new();
        let mut last = None;
        for _ in 0..LOOKS {
            let (seen, steady) = freeze::look(keeper.pid());
            let now = freeze::ids(&seen);
            // Somebody came or went: a process that is only there to make the next may have passed unseen.
            let mut new = !steady || last.as_ref() != Some(&now);
            last = Some(now);
            for process in seen.iter().filter(|process| !process.is_dead()) {
                let (pid, id) = (process.stat.pid, (process.stat.pid, process.stat.start));
                let (soft, hard) = match rlimit::get_of(pid, RLIMIT_NPROC) {
                    Ok(limits) => limits,
                    Err(Errno::SRCH) => continue,
                    Err(e) => {
                        Self::Rlimits(before).end(keeper, None);
                        return Err(format!("RLIMIT_NPROC of process {pid}: {e}"));
                    }
                };
                if soft == 0 {
                    continue;
                }
                new = true;
                // A child that was born of a held parent has 0 and no entry: it gets what the first had.
                before.entry(id).or_insert((soft, hard));
                let hard = if ids::uid() == 0 { 0 } else { hard };
                match rlimit::set_of(pid, &Rlimit { resource: RLIMIT_NPROC, soft: 0, hard }) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(e) => {
                        Self::Rlimits(before).end(keeper, None);
                        return Err(format!("RLIMIT_NPROC of process {pid}: {e}"));
                    }
                }
            }
            if !new {
                return Ok(Self::Rlimits(before));
            }
        }
        Self::Rlimits(before).end(keeper, None);
        Err("its processes come and go faster than they can be held; pause it first".to_owned())
    }

    /// Ends it. How many forks were refused because of it, where that is counted.
    pub fn end(self, keeper: &Keeper, group: Option<&Cgroup>) -> u64 {
        match self {
            Self::Group { limit, refused } => {
                let Some(group) = group else { return 0 };
                let _ = group.set_pids_max(limit);
                // Afterwards: what is refused in between is the hold's as well.
                group.pids().1.unwrap_or(refused).saturating_sub(refused)
            }
            Self::Rlimits(before) => {
                let most = before.values().next().copied();
                for process in tasks::below(keeper.pid()) {
                    let Some(stat) = stat::of(process.pid) else { continue };
                    if let Some((soft, hard)) = before.get(&(stat.pid, stat.start)).copied().or(most) {
                        let limit = Rlimit { resource: RLIMIT_NPROC, soft, hard };
                        if rlimit::get_of(process.pid, RLIMIT_NPROC).is_ok_and(|(now, _)| now == 0) {
                            let _ = rlimit::set_of(process.pid, &limit);
                        }
                    }
                }
                0
            }
        }
    }

    /// Forks refused because of it so far.
    pub fn refused(&self, group: Option<&Cgroup>) -> u64 {
        match (self, group) {
            (Self::Group { refused, .. }, Some(group)) => group.pids().1.unwrap_or(*refused).saturating_sub(*refused),
            _ => 0,
        }
    }
}
