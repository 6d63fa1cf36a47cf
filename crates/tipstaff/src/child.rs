//! A running box.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use tipstaff_report::{Cause, Report, judge};
use tipstaff_supervise::{Captured, Look, RawMode, Restrict};
use tipstaff_sys::keeper::Remote;

use crate::Error;
use crate::ahead::Undertaker;
use crate::hall::Kept;

/// A running box, as [`std::process::Child`]. Dropping it ends the box.
///
/// A thread of this process supervises it until somebody waits, as it does all others; there is one of that kind, however many boxes there are.
#[derive(Debug)]
pub struct Child {
    /// Write end of the guest's standard input, when it is piped.
    pub stdin: Option<File>,
    /// Read end of the guest's standard output, when it is piped.
    pub stdout: Option<File>,
    /// Read end of the guest's standard error, when it is piped.
    pub stderr: Option<File>,
    pub(crate) captured: [Option<Captured>; 2],
    pub(crate) kept: Arc<Kept>,
    pub(crate) remote: Remote,
    pub(crate) raw_mode: Option<RawMode>,
    pub(crate) restrict: Restrict,
    pub(crate) report: Option<Report>,
    /// Who waits for the end of the keeper when the report is there.
    pub(crate) undertaker: Option<Undertaker>,
}

/// Ends or signals a box from any thread.
#[derive(Clone, Debug)]
pub struct Killer(Remote);

impl Killer {
    /// Kills everything in the box. The verdict is `signaled`, unless the program had ended or a limit came first.
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Sends a signal to the guest's process group.
    pub fn signal(&self, number: i32) {
        self.0.signal(number);
    }
}

/// What a finished run leaves.
#[derive(Debug)]
pub struct Output {
    /// What happened and why.
    pub report: Report,
    /// What was captured of standard output.
    pub stdout: Vec<u8>,
    /// What was captured of standard error.
    pub stderr: Vec<u8>,
}

impl Child {
    /// Waits for the end and judges. Standard input is closed first, as std does. Again: the same report.
    pub fn wait(&mut self) -> Result<Report, Error> {
        drop(self.stdin.take());
        if let Some(report) = &self.report {
            return Ok(report.clone());
        }
        let outcome = self.kept.wait()?;
        Ok(self.conclude(judge(outcome)))
    }

    /// Waits for the end and gives what was captured.
    pub fn wait_with_output(mut self) -> Result<Output, Error> {
        let report = self.wait()?;
        let [stdout, stderr] = self.captured.each_mut().map(|captured| {
            let captured = captured.take();
            captured.map_or_else(Vec::new, |c| std::mem::take(&mut *c.lock().unwrap_or_else(|e| e.into_inner())))
        });
        Ok(Output { report, stdout, stderr })
    }

    /// Gives the report once the box has ended. To be called when the child is readable.
    pub fn try_wait(&mut self) -> Result<Option<Report>, Error> {
        if let Some(report) = &self.report {
            return Ok(Some(report.clone()));
        }
        let outcome = self.kept.look()?;
        Ok(outcome.map(|outcome| self.conclude(judge(outcome))))
    }

    fn conclude(&mut self, report: Report) -> Report {
        self.raw_mode = None;
        self.report = Some(report.clone());
        report
    }

    /// Kills everything in the box.
    pub fn kill(&mut self) -> io::Result<()> {
        self.kept.state().session().map(|session| session.kill(Cause::User))
    }

    /// Takes things away from the box while it runs, from any thread.
    pub fn restrict(&self) -> Restrict {
        self.restrict.clone()
    }

    /// Stops every task of the box, and returns when all of them stand still; its limits of CPU and wall-clock time count on, its idle
    /// limit does not. How many tasks are still in the kernel (vfork(2), a disk) and stop before they run on. An error: the box runs;
    /// its processes came and went too fast, or it has ended.
    pub fn pause(&mut self) -> Result<u64, Error> {
        let paused = self.kept.state().session()?.pause_and_wait();
        paused.map_err(|why| Error::Io(io::Error::other(format!("cannot pause the box: {why}"))))
    }

    /// Lets a paused box go on. What its own job control had stopped stays so.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.kept.state().session()?.resume();
        Ok(())
    }

    /// Lets no new task begin: fork(2) and clone(2) answer EAGAIN, and what is there runs on. A word on how far that holds, where it
    /// is not the kernel's pids controller that holds it. An error: it cannot be held, and why.
    pub fn hold(&mut self) -> Result<Option<String>, Error> {
        let held = self.kept.state().session()?.hold();
        held.map_err(|why| Error::Io(io::Error::other(format!("cannot hold the box: {why}"))))
    }

    /// Lets tasks begin again.
    pub fn release(&mut self) -> Result<(), Error> {
        self.kept.state().session()?.release();
        Ok(())
    }

    /// What the box uses at the moment, and its processes. After its end: nothing; the report has the figures.
    pub fn usage(&mut self) -> Result<Look, Error> {
        Ok(self.kept.state().session()?.usage())
    }

    /// A handle for other threads.
    pub fn killer(&self) -> Killer {
        Killer(self.remote.clone())
    }
}

/// Readable when [`Child::try_wait`] has something to do.
impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kept.polled()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let (Some(undertaker), true) = (&self.undertaker, self.report.is_some())
            && let Some(remains) = self.kept.remains()
        {
            return undertaker.take(remains);
        }
        self.kept.end();
    }
}
