//! A box prepared ahead: everything is in force, its guest stands one step before the exec.

use tipstaff_cgroup::{Cgroup, Hierarchies};
use tipstaff_policy::lower::{Plan, ProcessesBy, ViewOp};
use tipstaff_sys::keeper::{self, Keeper};

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::start::{Gate, Laid, lay};
use crate::witness::{Hosts, Witness};
use crate::{Armed, Failure, Launched, Program, Request};

/// A box at its gate. Dropping it ends it, and waits for that.
#[derive(Debug)]
pub struct Standing {
    box_: keeper::Standing,
    cgroup: Option<Cgroup>,
    channel: Option<OwnedFd>,
    /// None: it has not arrived at its gate yet, as far as we know.
    witness: Option<Witness>,
}

/// Whether a plan's boxes can stand ready: what they show must be comparable with what is there when they are wanted. Names that are masked or
/// protected are not, since a mount can lose its place behind our back; and a guest that stands must be out of the reach of others' guests.
pub fn can_stand(plan: &Plan) -> bool {
    let of_proc = |path: &std::path::Path| path.starts_with("/proc");
    let plain = plan.view.ops.iter().all(|op| match op {
        ViewOp::Mask(path, _) | ViewOp::Pin(path) | ViewOp::Protect(path) => of_proc(path),
        ViewOp::Placeholder(..) => false,
        _ => true,
    });
    // Where the limit of tasks is one of the user's, those of a box that stands would count in the one that runs.
    let of_user = matches!(plan.limits.processes, Some((_, ProcessesBy::RlimitOfUser)));
    plain && !of_user && (plan.namespaces.pid || plan.landlock.is_some())
}

/// Prepares a box that goes on with [`Standing::go`]; unless that comes within `patience` seconds it ends. On failure nothing is left.
///
/// `again`: what the request gives can be given to further boxes too. Where such a box needs no namespace, its keeper can have another ([`Idle`]).
pub fn stand(
    armed: &Armed,
    program: &Program,
    request: Request,
    hierarchies: &Hierarchies,
    patience: u32,
    again: bool,
) -> Result<Standing, Failure> {
    let mounts = Witness::mounts(&armed.plan)?;
    let Laid { launch, mut groups, channel, terminal: _, sources: _sources } =
        lay(armed, program, request, hierarchies, Gate::Owner(patience, again))?;
    match Keeper::stand(launch, &mut || groups.make()) {
        Ok(box_) => {
            let witness = Some(witness(&box_, armed, program, mounts));
            Ok(Standing { box_, cgroup: groups.made, channel, witness })
        }
        Err(e) => Err(groups.failure(e)),
    }
}

fn witness(box_: &keeper::Standing, armed: &Armed, program: &Program, mounts: Option<File>) -> Witness {
    Witness::new(armed.hosts.get_or_init(|| Hosts::of(&armed.plan)), program, mounts, box_.steps())
}

impl Standing {
    /// It stands at its gate, and what it shows is what a box of this plan and program would show that is started now.
    pub fn is_current(&mut self, armed: &Armed, program: &Program) -> bool {
        if self.witness.is_none() && self.box_.arrive().is_ok() {
            // It has no tree of its own: no copies of mounts.
            self.witness = Some(witness(&self.box_, armed, program, None));
        }
        self.witness.as_ref().is_some_and(Witness::holds)
    }

    /// Lets the program be executed, calls `meanwhile`, and waits for the exec. None: it could not be; nothing of it has run, and nothing is left.
    pub fn go(self, meanwhile: &mut dyn FnMut()) -> Option<Launched> {
        let Self { box_, cgroup, channel, .. } = self;
        let keeper = box_.go(meanwhile).ok()?;
        let again = keeper.can_have_another();
        Some(Launched { keeper, cgroup, channel, terminal: None, again })
    }
}

/// A keeper whose box has ended, and that can have another of the same plan, program and request. It holds nothing of the last one: every
/// process of it has been reaped, and it has neither namespaces nor control groups. Dropping it ends it, and waits for that.
#[derive(Debug)]
pub struct Idle {
    keeper: keeper::Idle,
    channel: Option<OwnedFd>,
}

impl Idle {
    /// Of a box that has ended, and the descriptor at which its listener had arrived.
    pub fn new(keeper: &mut Keeper, channel: Option<OwnedFd>) -> Option<Self> {
        Some(Self { keeper: keeper.hand_over()?, channel })
    }

    /// As [`stand`], with what the first box was prepared with; its keeper does it by itself meanwhile, and [`Standing::is_current`] waits for it.
    pub fn stand(self) -> Standing {
        let Self { keeper, channel } = self;
        Standing { box_: keeper.stand(), cgroup: None, channel, witness: None }
    }
}
