//! What a guest's supervisor asks of its listener: the kernel answers, and what it tells of stand-ins is put right.

use std::os::fd::AsFd;

use tipstaff_abi::bpf::SeccompData;
use tipstaff_sys::{Errno, seccomp};
use tipstaff_trace::seam::{Engine, Stopping};
use tipstaff_trace::{Call, Resume, Stop as Real, Tracer};

use super::{Service, Waiting};
use crate::descriptor::copy_of;
use crate::mediator::Mediator;
use crate::moves::{read, write};

const RECV: u32 = 0xc050_2100;
const SEND: u32 = 0xc018_2101;
/// Without size and direction, which the kernel leaves out too.
const ADDFD: u32 = 0x2103;
/// The letter of the listener's requests.
const LETTER: u32 = 0x2100;

const ADDFD_SEND: u32 = 2;
/// struct seccomp_notif_addfd, the first and only version.
const ADDFD_SIZE: usize = 24;
/// The call of stand-ins.
const STANDS: u32 = tipstaff_sys::stand_in::CALL;
const PAGE: usize = 4096;
const O_CLOEXEC: u32 = 0o2_000_000;

/// A request that the kernel is answering.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request {
    /// RECV, into this struct seccomp_notif.
    Receive(u64),
    /// SEND, of an answer to this ticket.
    Answer(u64),
    /// seccomp(2) with SECCOMP_FILTER_FLAG_TSYNC, of this process.
    Sync(i32),
}

impl Service {
    /// The request of a thread that is gone.
    pub(super) fn unasked(&mut self, tid: i32) {
        match self.requests.remove(&tid) {
            Some(Request::Answer(ticket)) => self.anteroom.leave(ticket),
            Some(Request::Sync(process)) => drop(self.syncing.remove(&process)),
            _ => {}
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(std::array::from_fn(|n| bytes[at + n]))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|n| bytes[at + n]))
}

impl Mediator {
    /// A call that may have to do with listeners. None: it has not.
    pub(crate) fn listener_call(&mut self, stopping: Stopping<'_>, stop: &Real, call: &Call) -> Option<Resume> {
        self.service.as_ref()?;
        // Refused by a handler: the number says so.
        if stop.registers().ok()?.number() != call.number.cast_signed() {
            return None;
        }
        if call.number == self.numbers.ioctl && call.args[1] as u32 & 0xff00 == LETTER {
            return self.asked_of(stopping, stop, call);
        }
        if call.number == self.numbers.seccomp && call.args[0] as u32 == 1 {
            return self.installing(stopping, stop, call);
        }
        None
    }

    fn asked_of(&mut self, stopping: Stopping<'_>, stop: &Real, call: &Call) -> Option<Resume> {
        let tid = stopping.task.tid();
        let [fd, request, at, ..] = call.args;
        let (fd, request) = (fd as i32, request as u32);
        if request & 0xffff == ADDFD {
            return self.add_fd(stopping, stop, (fd, at, (request >> 16 & 0x3fff) as usize));
        }
        let service = self.service.as_mut()?;
        let request = match request {
            RECV => Request::Receive(at),
            SEND => {
                let mut id = [0; 8];
                read(tid, at, &mut id).ok()?;
                let ticket = *service.ids.get(&u64::from_ne_bytes(id))?;
                service.anteroom.attend(ticket);
                Request::Answer(ticket)
            }
            _ => return None,
        };
        service.requests.insert(tid, request);
        self.interrupt_again(tid);
        Some(Resume::ToSyscall)
    }

    /// SECCOMP_IOCTL_NOTIF_ADDFD for a call that waits: into the table of whoever waits. Whatever is wrong with it the kernel says: a stand-in has no table of anybody's.
    fn add_fd(&mut self, stopping: Stopping<'_>, stop: &Real, (fd, at, size): (i32, u64, usize)) -> Option<Resume> {
        let (tid, process) = (stopping.task.tid(), stopping.task.process());
        if !(ADDFD_SIZE..PAGE).contains(&size) {
            return None;
        }
        let mut bytes = vec![0; size];
        read(tid, at, &mut bytes).ok()?;
        let (id, flags, source) = (long(&bytes, 0), word(&bytes, 8), word(&bytes, 12));
        let (newfd, newfd_flags) = (word(&bytes, 16), word(&bytes, 20));
        let wrong = flags & !3 != 0 || newfd != 0 && flags & 1 == 0 || newfd_flags & !O_CLOEXEC != 0;
        if wrong || bytes[ADDFD_SIZE..].iter().any(|byte| *byte != 0) {
            return None;
        }
        let service = self.service.as_mut()?;
        let ticket = *service.ids.get(&id)?;
        let target = service.waiting.get(&ticket)?.tid;
        let listener = copy_of(tid, process, fd).ok()?;
        let source = copy_of(tid, process, source.cast_signed()).ok()?;
        if !seccomp::notif_id_valid(listener.as_fd(), id) {
            return None;
        }
        drop(listener);
        let added = service.anteroom.with(target, |call| call.add_fd(source.as_fd(), (flags, newfd, newfd_flags)));
        let value = match added {
            // On its way into our listener, or out of it.
            None | Some(Err(Errno::INTR)) => {
                service.late.insert(tid);
                return Some(Resume::Hold);
            }
            Some(Ok(number)) => {
                if flags & ADDFD_SEND != 0
                    && let Some(waiting) = service.waiting.get_mut(&ticket)
                    && let Some(stand_in) = waiting.stand_in.take()
                {
                    // Answered: who answers once more finds nobody.
                    service.ids.remove(&id);
                    service.anteroom.unwatch(ticket, stand_in.pidfd());
                    drop(stand_in);
                    service.stand();
                }
                i64::from(number)
            }
            Some(Err(errno)) => super::refused(errno),
        };
        let registers = stop.registers().ok()?;
        Some(self.answer(stopping, stop, registers, value, Resume::Free))
    }

    /// Requests that were held because somebody was on his way.
    pub(super) fn look_after_late(&mut self, tracer: &mut Tracer, engine: &dyn Engine) {
        let Some(service) = &mut self.service else { return };
        for tid in std::mem::take(&mut service.late) {
            tracer.settle(tid, |task, stop| {
                let stopping = Stopping { task, awaited: engine.awaits(tid) };
                let Some(call) = stop.call().copied() else { return Resume::Free };
                match self.listener_call(stopping, stop, &call) {
                    Some(resume) => resume,
                    None => self.go(stopping, Resume::Free),
                }
            });
        }
    }

    /// The kernel has answered a request.
    pub(crate) fn answered_request(&mut self, stopping: Stopping<'_>, value: i64) {
        let (tid, process) = (stopping.task.tid(), stopping.task.process());
        let Some(service) = &mut self.service else { return };
        match service.requests.remove(&tid) {
            Some(Request::Receive(at)) if value == 0 => self.put_right(tid, at),
            Some(Request::Answer(ticket)) => {
                // What was sent is in memory of the guest's: this may not have been the answer.
                let answered = value == 0 && service.waiting.get(&ticket).is_some_and(Waiting::has_returned);
                if !answered {
                    service.anteroom.leave(ticket);
                } else if let Some(target) = service.ended(ticket) {
                    self.kick(target);
                }
            }
            Some(Request::Sync(_)) => self.synced(tid, process, value == 0),
            _ => {}
        }
    }

    /// A supervisor has received a stand-in's call: it is told whose it is.
    fn put_right(&mut self, tid: i32, at: u64) {
        let mut got = [0; 80];
        let Some(service) = &mut self.service else { return };
        if read(tid, at, &mut got).is_err() {
            return;
        }
        let (id, ticket) = (long(&got, 0), long(&got, 48));
        // It may be a listener of somebody else's.
        if word(&got, 16) != STANDS {
            return;
        }
        let Some((target, data)) = service.received(ticket, id) else { return };
        let pid = self.names.seen(tid, target);
        got[8..12].copy_from_slice(&pid.to_ne_bytes());
        got[16..].copy_from_slice(&bytes(&data));
        let _ = write(tid, at, &got);
    }
}

fn bytes(data: &SeccompData) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..4].copy_from_slice(&data.nr.to_ne_bytes());
    bytes[4..8].copy_from_slice(&data.arch.to_ne_bytes());
    bytes[8..16].copy_from_slice(&data.ip.to_ne_bytes());
    for (piece, arg) in bytes[16..].chunks_exact_mut(8).zip(data.args) {
        piece.copy_from_slice(&arg.to_ne_bytes());
    }
    bytes
}
