//! A box's streams, and the box after this one.

use std::sync::Arc;

use tipstaff_launch::{Launched, can_stand};
use tipstaff_policy::lower::EnginePlan;

use super::{Command, Prepared, kind_slot, open_file};
use crate::Error;
use crate::ahead::Spare;
use crate::stdio::Kind;
use crate::wires::{Wires, no_second_opening, ours};

impl Command {
    /// The guest's standard streams, as they were asked for.
    pub(super) fn wires(&mut self, prepared: &Prepared) -> Result<Wires, Error> {
        let mut wires = Wires::default();
        let program = &prepared.profile.program;
        if program.tty == Some(true) {
            wires.terminal = Some((ours(0)?, ours(1)?));
            return Ok(wires);
        }
        let counted = prepared.armed.plan.limits.output.is_some();
        let files = [&program.stdin, &program.stdout, &program.stderr];
        for (target, file) in files.into_iter().enumerate() {
            let slot = kind_slot(target, self);
            let kind = match (slot.take(), file) {
                (Some(kind), _) => {
                    *slot = kind.again();
                    kind
                }
                (None, Some(path)) => {
                    let opened = open_file(&prepared.cwd.join(path), target);
                    Kind::Fd(opened.map_err(|failure| Error::Launch(failure, prepared.rules()))?)
                }
                (None, None) => Kind::Inherit,
            };
            wires.stream(target, kind, counted)?;
        }
        let plan = &prepared.armed.plan;
        if plan.landlock.is_none() && prepared.profile.isolation.best_effort != Some(true) {
            let input = wires.wiring.iter().find(|wiring| wiring.target == 0);
            input.map_or(Ok(()), |wiring| no_second_opening(&wiring.source))?;
        }
        Ok(wires)
    }

    /// Whether a box of this command can be one that was prepared ahead: it gets nothing that is for one box alone, and nothing that is opened
    /// or bound in its name.
    pub(super) fn can_be_ahead(&self, prepared: &Prepared) -> bool {
        let program = &prepared.profile.program;
        let files = [(&self.stdin, &program.stdin), (&self.stdout, &program.stdout), (&self.stderr, &program.stderr)];
        !self.never_ahead
            && can_stand(&prepared.armed.plan)
            && prepared.armed.plan.engine != EnginePlan::Ptrace
            && program.tty != Some(true)
            && files.iter().all(|(kind, file)| kind.is_some() || file.is_none())
            && self.fds.is_empty()
            && self.signals.is_none()
            && self.name.is_none()
    }

    /// Starts the box that was prepared for this moment, if there is one and it is what would be started now.
    pub(super) fn start_ahead(&mut self, prepared: &Arc<Prepared>) -> Option<(Wires, Launched)> {
        if !self.can_be_ahead(prepared) {
            return None;
        }
        let Spare { standing, wires, .. } = self.ahead.take(prepared)?;
        let launched = standing.go(&mut || self.order(prepared))?;
        Some((wires, launched))
    }

    /// Has the next box prepared, where it is likely that there will be one.
    pub(super) fn order(&mut self, prepared: &Arc<Prepared>) {
        if !self.ahead.is_worth_it() || !self.can_be_ahead(prepared) {
            return;
        }
        if self.ahead.order_again() {
            return;
        }
        let is_ours = |kind: &Option<Kind>| matches!(kind, None | Some(Kind::Inherit));
        let inherits = [&self.stdin, &self.stdout, &self.stderr].map(is_ours);
        // What cannot be had here, the next spawn says.
        if let Ok(wires) = self.wires(prepared) {
            self.ahead.order(prepared, wires, inherits);
        }
    }
}
