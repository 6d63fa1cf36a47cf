//! A box that has been prepared ahead: everything is in force, and its first process stands at its gate, one step before the exec.
//!
//! It ends by itself when the supervisor does, when nobody wants it, and when the gate's patience is over.

use core::sync::atomic::Ordering::SeqCst;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::{DONE, GO, Keeper, Launch, Round, STAY, Stage, StartError, poke, put};
use crate::child::{GuestOp, SetupOp};
use crate::clock;
use crate::raw::Errno;

/// A box at its gate. Dropping it ends it and waits for that.
#[derive(Debug)]
pub struct Standing(Option<Keeper>);

impl Keeper {
    /// Clones the keeper and waits until the guest stands at its gate. The launch has a gate and [`Launch::keep`].
    pub fn stand(launch: Launch, prepare: &mut dyn FnMut() -> Result<(), Errno>) -> Result<Standing, StartError> {
        let mut keeper = Self::begin(launch, prepare)?;
        match keeper.wait_started(None) {
            Ok(false) => Ok(Standing(Some(keeper))),
            Ok(true) => {
                keeper.kill();
                Err(StartError::new(Stage::Keeper, Errno::INVAL, &keeper.context.launch))
            }
            Err((stage, errno)) => Err(StartError::new(stage, errno, &keeper.context.launch)),
        }
    }
}

impl Standing {
    /// The steps, with what each has seen.
    pub fn steps(&self) -> (&[SetupOp], &[GuestOp]) {
        self.0.as_ref().map_or((&[], &[]), |keeper| (&keeper.context.launch.setup, &keeper.context.launch.guest))
    }

    /// Waits until the guest of a keeper that was idle ([`Idle::stand`]) stands at its gate. An error: nothing of its program has run.
    pub fn arrive(&mut self) -> Result<(), StartError> {
        let Some(keeper) = &mut self.0 else { return Ok(()) };
        match keeper.wait_started(None) {
            Ok(false) => Ok(()),
            Ok(true) => Err(StartError::new(Stage::Keeper, Errno::INVAL, &keeper.context.launch)),
            Err((stage, errno)) => Err(StartError::new(stage, errno, &keeper.context.launch)),
        }
    }

    /// Opens the gate, calls `meanwhile`, and waits until the guest has executed. An error: nothing of the program has run, and nothing is left.
    pub fn go(mut self, meanwhile: &mut dyn FnMut()) -> Result<Keeper, StartError> {
        let Some(mut keeper) = self.0.take() else { unreachable!("a standing box has its keeper") };
        // What came before was preparation, not the program's time.
        keeper.round.started_ns.store(clock::monotonic_ns(), SeqCst);
        if !keeper.open(GO) {
            keeper.end_keeper();
        }
        meanwhile();
        match keeper.wait_started(None) {
            Ok(_) => Ok(keeper),
            Err((stage, errno)) => Err(StartError::new(stage, errno, &keeper.context.launch)),
        }
    }
}

impl Keeper {
    fn open(&self, answer: u64) -> bool {
        self.context.launch.gate.as_ref().is_none_or(|(_, open)| put(open, answer))
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        // The keeper waits for its child (vfork) and hears nothing; the child goes, and with it the box.
        if let Some(keeper) = &self.0
            && !keeper.open(STAY)
        {
            keeper.end_keeper();
        }
    }
}

/// A keeper whose box has ended and that can have another one of the same kind. Dropping it ends it and waits for that.
#[derive(Debug)]
pub struct Idle(Keeper);

impl Keeper {
    /// Gives away the keeper of a box that has ended, where it can have another ([`Launch::again`]). What is known of the box stays here.
    pub fn hand_over(&mut self) -> Option<Idle> {
        if self.reaped || !self.context.launch.again || self.round.state.load(SeqCst) != DONE {
            return None;
        }
        let pidfd = self.pidfd.try_clone().ok()?;
        self.reaped = true;
        let (context, round) = (Arc::clone(&self.context), Arc::clone(&self.round));
        Some(Idle(Self { context, round, _former: None, pidfd, pid: self.pid, reaped: false, left: false }))
    }

    /// Whether [`Keeper::hand_over`] may be of use.
    pub fn can_have_another(&self) -> bool {
        self.context.launch.again
    }
}

impl Idle {
    /// Has the next guest started, up to its gate, without waiting for that: see [`Standing::arrive`].
    pub fn stand(self) -> Standing {
        let Self(mut keeper) = self;
        let round = Arc::new(Round::new());
        keeper.acknowledge();
        keeper._former = Some(std::mem::replace(&mut keeper.round, round));
        keeper.context.round.store(Arc::as_ptr(&keeper.round).cast_mut(), SeqCst);
        poke(keeper.context.command_fd.as_raw_fd());
        Standing(Some(keeper))
    }
}
