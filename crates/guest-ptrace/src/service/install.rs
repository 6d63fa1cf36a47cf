//! seccomp(2) with SECCOMP_FILTER_FLAG_NEW_LISTENER, step by step.
//!
//! The kernel says whether the filter can be installed: the call is made without the flag, with what would be notified as stops. Before that the descriptor is in
//! its place, so that nobody finds the filter in force and no listener behind it.

use std::os::fd::{AsFd, OwnedFd};

use tipstaff_abi::bpf::{Insn, MAX_INSNS};
use tipstaff_abi::errno::{EBUSY, EFAULT, EINVAL, EMFILE, ENOMEM};
use tipstaff_sys::Errno;
use tipstaff_sys::ptrace_copy::{Poke, poke};
use tipstaff_trace::seam::Stopping;
use tipstaff_trace::{Call, Registers, Resume, Stop as Real};

use super::clerk::Clerk;
use super::held::{Held, Mask, What, again};
use super::requests::Request;
use super::rewrite::{Rewritten, rewrite};
use super::{LISTENERS, Listener, Service, refused};
use crate::mediator::Mediator;
use crate::moves::{read, write};

const TSYNC: u32 = 1;
const NEW_LISTENER: u32 = 8;
const TSYNC_ESRCH: u32 = 0x10;
const WAIT_KILLABLE_RECV: u32 = 0x20;
const KNOWN: u32 = 0x3f;
const SET_MODE_FILTER: u64 = 1;
const O_CLOEXEC: u32 = 0o2_000_000;
const INSN: usize = 8;
/// struct sock_fprog, as it lies in front of a program that we have written.
const FPROG: u64 = 16;
const PROT_READ_WRITE: u64 = 3;
const MAP_PRIVATE_ANONYMOUS: u64 = 0x22;

const fn failed(errno: u16) -> i64 {
    -(errno as i64)
}

/// A listener on its way.
#[derive(Debug)]
pub(super) struct Install {
    step: Step,
    flags: u32,
    listener: u32,
    process: i32,
    /// What the guest gets: until it has it.
    fd: Option<OwnedFd>,
    /// Words of the guest's own program: where, as they are, as they have to be.
    edits: Vec<(u64, u64, u64)>,
    longer: Option<Vec<Insn>>,
    /// The call that it is to make: number and arguments, and the instruction.
    made: Option<(u32, [u64; 6], u64)>,
}

#[derive(Debug)]
enum Step {
    /// It is on its way into our listener, where it gets the descriptor.
    Waits,
    /// It has the descriptor.
    Given(i64),
    /// mmap(2), for a program that has become longer.
    Maps(i64),
    /// seccomp(2).
    Installs(i64),
    /// close(2): there is no filter.
    Closes(i64),
    /// It has no descriptor.
    Failed(i64),
}

impl Install {
    pub fn waits(&self) -> bool {
        matches!(self.step, Step::Waits | Step::Given(_) | Step::Failed(_))
    }

    /// Whether a call is the one that the thread is to make in our name.
    pub fn is_made(&self, call: &Call) -> bool {
        let is = |(number, args, gate): (u32, _, u64)| {
            (call.number, call.args, call.ip.0) == (number, args, gate.wrapping_add(2))
        };
        self.made.is_some_and(is)
    }
}

impl Service {
    pub(super) fn not_installed(&mut self, install: &Install) {
        self.syncing.remove(&install.process);
        if self.listeners.get(&install.listener).is_some_and(|listener| listener.members == 0) {
            self.listeners.remove(&install.listener);
        }
    }
}

impl Mediator {
    pub(super) fn installing(&mut self, stopping: Stopping<'_>, stop: &Real, call: &Call) -> Option<Resume> {
        let (tid, process) = (stopping.task.tid(), stopping.task.process());
        let service = self.service.as_mut()?;
        let flags = call.args[1] as u32;
        if flags & NEW_LISTENER == 0 {
            let chain = service.chains.get(&tid)?.clone();
            service.syncing.insert(process, chain);
            service.requests.insert(tid, Request::Sync(process));
            self.interrupt_again(tid);
            return Some(Resume::ToSyscall);
        }
        let saved = stop.registers().ok()?;
        match self.prepare((tid, process), flags, call.args[2]) {
            Ok(install) => {
                let mut mask = Mask::default();
                mask.block(tid);
                Some(self.hold(tid, stop, Held { saved, mask, what: What::Installs(Box::new(install)) }))
            }
            Err(value) => Some(self.answer(stopping, stop, saved, value, Resume::Free)),
        }
    }

    /// What the kernel looks at first, in its order: seccomp_set_mode_filter(). Err: a negated errno.
    fn prepare(&mut self, (tid, process): (i32, i32), flags: u32, at: u64) -> Result<Install, i64> {
        if flags & !KNOWN != 0 || flags & (TSYNC | TSYNC_ESRCH) == TSYNC {
            return Err(failed(EINVAL));
        }
        let mut fprog = [0; FPROG as usize];
        read(tid, at, &mut fprog)?;
        let length = usize::from(u16::from_ne_bytes([fprog[0], fprog[1]]));
        let from = u64::from_ne_bytes(std::array::from_fn(|n| fprog[8 + n]));
        if length == 0 || length > MAX_INSNS {
            return Err(failed(EINVAL));
        }
        let mut bytes = vec![0; length * INSN];
        read(tid, from, &mut bytes)?;
        let program: Vec<Insn> = bytes.chunks_exact(INSN).map(insn).collect();
        if tipstaff_seccomp::check(&program).is_err() {
            return Err(failed(EINVAL));
        }
        let Some(service) = self.service.as_mut() else { return Err(failed(EFAULT)) };
        let chain = service.chains.get(&tid).cloned().unwrap_or_default();
        if chain.iter().filter_map(|id| service.listeners.get(id)).any(|listener| listener.clerk.is_heard()) {
            return Err(failed(EBUSY));
        }
        if service.listeners.len() >= LISTENERS {
            return Err(failed(EMFILE));
        }
        let (mut edits, mut longer) = (Vec::new(), None);
        match rewrite(&program).ok_or(failed(ENOMEM))? {
            Rewritten::InPlace(changed) => {
                for (index, now) in changed {
                    let address = from + (index * INSN) as u64;
                    edits.push((address, packed(program[index]), packed(now)));
                }
            }
            Rewritten::Longer(program) => longer = Some(program),
        }
        let (clerk, fd) = Clerk::start().map_err(refused)?;
        let id = service.next;
        service.next += 1;
        let killable = flags & WAIT_KILLABLE_RECV != 0;
        service.listeners.insert(id, Listener { clerk, program, killable, members: 0 });
        if flags & TSYNC != 0 {
            service.syncing.insert(process, [chain, vec![id]].concat());
        }
        Ok(Install { step: Step::Waits, flags, listener: id, process, fd: Some(fd), edits, longer, made: None })
    }

    /// Threads that wait for their descriptor get it, when they are where they can.
    pub(super) fn look_after_installs(&mut self) {
        let Some(service) = &mut self.service else { return };
        let mut done = Vec::new();
        for (tid, held) in &mut service.held {
            let What::Installs(install) = &mut held.what else { continue };
            let (Step::Waits, Some(fd)) = (&install.step, &install.fd) else { continue };
            install.step = match service.anteroom.with(*tid, |call| call.add_fd(fd.as_fd(), (0, 0, O_CLOEXEC))) {
                None | Some(Err(Errno::NOENT | Errno::INTR | Errno::SRCH)) => continue,
                Some(Ok(number)) => Step::Given(number.into()),
                Some(Err(errno)) => Step::Failed(refused(errno)),
            };
            install.fd = None;
            done.push(*tid);
        }
        done.into_iter().for_each(|tid| self.kick(tid));
    }

    /// A call of a thread that installs returns.
    pub(super) fn installs(
        &mut self,
        stopping: Stopping<'_>,
        stop: &Real,
        value: i64,
        (saved, mask, mut install): (Registers, Mask, Box<Install>),
        resume: Resume,
    ) -> Resume {
        let tid = stopping.task.tid();
        let result = match install.step {
            // Interrupted on its way: it waits once more.
            Step::Waits if value == -512 => {
                let resume = again(stop, saved);
                return self.goes_on(tid, (saved, mask, install), resume);
            }
            Step::Waits => value,
            Step::Given(fd) => match &install.longer {
                Some(program) => {
                    let size = FPROG + (program.len() * INSN) as u64;
                    let args = [0, size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, u64::MAX, 0];
                    install.step = Step::Maps(fd);
                    let resume = self.makes(stop, saved, &mut install, self.numbers.mmap, args);
                    return self.goes_on(tid, (saved, mask, install), resume);
                }
                None => {
                    for (at, _, now) in &install.edits {
                        let _ = poke(tid, Poke::Word, *at as usize, *now as usize);
                    }
                    install.step = Step::Installs(fd);
                    let resume = self.installs_at(stop, saved, &mut install, saved.arg(self.arch, 2));
                    return self.goes_on(tid, (saved, mask, install), resume);
                }
            },
            Step::Maps(fd) if value < 0 => return self.closes(stop, (saved, mask, install), (tid, fd, value)),
            Step::Maps(fd) => {
                let at = value.cast_unsigned();
                let program = install.longer.take().unwrap_or_default();
                let mut bytes = (program.len() as u64).to_ne_bytes().to_vec();
                bytes.extend((at + FPROG).to_ne_bytes());
                bytes.extend(program.into_iter().flat_map(|insn| packed(insn).to_ne_bytes()));
                if let Err(value) = write(tid, at, &bytes) {
                    return self.closes(stop, (saved, mask, install), (tid, fd, value));
                }
                install.step = Step::Installs(fd);
                let resume = self.installs_at(stop, saved, &mut install, at);
                return self.goes_on(tid, (saved, mask, install), resume);
            }
            Step::Installs(fd) => {
                for (at, was, _) in &install.edits {
                    let _ = poke(tid, Poke::Word, *at as usize, *was as usize);
                }
                if value != 0 {
                    return self.closes(stop, (saved, mask, install), (tid, fd, value));
                }
                self.installed(tid, &install);
                fd
            }
            Step::Closes(value) | Step::Failed(value) => value,
        };
        if let Some(service) = &mut self.service {
            service.not_installed(&install);
        }
        self.finish(stopping, stop, (saved, &mask), result, resume)
    }

    fn goes_on(&mut self, tid: i32, (saved, mask, install): (Registers, Mask, Box<Install>), resume: Resume) -> Resume {
        if let Some(service) = &mut self.service {
            service.held.insert(tid, Held { saved, mask, what: What::Installs(install) });
        }
        resume
    }

    fn installs_at(&self, stop: &Real, saved: Registers, install: &mut Install, at: u64) -> Resume {
        let flags = install.flags & !(NEW_LISTENER | WAIT_KILLABLE_RECV);
        self.makes(stop, saved, install, self.numbers.seccomp, [SET_MODE_FILTER, flags.into(), at, 0, 0, 0])
    }

    fn closes(
        &mut self,
        stop: &Real,
        (saved, mask, mut install): (Registers, Mask, Box<Install>),
        (tid, fd, value): (i32, i64, i64),
    ) -> Resume {
        install.step = Step::Closes(value);
        let resume = self.makes(stop, saved, &mut install, self.numbers.close, [fd.cast_unsigned(), 0, 0, 0, 0, 0]);
        self.goes_on(tid, (saved, mask, install), resume)
    }

    /// At the return of a call: another one, by the same instruction.
    fn makes(
        &self,
        stop: &Real,
        mut registers: Registers,
        install: &mut Install,
        number: u32,
        args: [u64; 6],
    ) -> Resume {
        let gate = registers.ip().wrapping_sub(2);
        install.made = Some((number, args, gate));
        registers.call_at(gate, number.cast_signed());
        for (index, value) in args.into_iter().enumerate() {
            registers.set_arg(self.arch, index, value);
        }
        // Killed: its end is told.
        let _ = stop.set_registers(&registers);
        Resume::ToSyscall
    }

    fn installed(&mut self, tid: i32, install: &Install) {
        let Some(service) = &mut self.service else { return };
        let mut chain = service.chains.get(&tid).cloned().unwrap_or_default();
        chain.push(install.listener);
        service.join(tid, chain);
        if install.flags & TSYNC != 0 {
            self.synced(tid, install.process, true);
        }
    }

    /// The threads of a process are under the same filters as this one, if it could be done.
    pub(super) fn synced(&mut self, tid: i32, process: i32, done: bool) {
        let Some(service) = &mut self.service else { return };
        service.syncing.remove(&process);
        let Some(chain) = service.chains.get(&tid).cloned().filter(|_| done) else { return };
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return };
        for thread in threads.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok()) {
            if thread != tid {
                service.join(thread, chain.clone());
            }
        }
    }
}

fn insn(bytes: &[u8]) -> Insn {
    let code = u16::from_ne_bytes([bytes[0], bytes[1]]);
    Insn::jump(code, u32::from_ne_bytes(std::array::from_fn(|n| bytes[4 + n])), bytes[2], bytes[3])
}

/// An instruction as a word of memory.
fn packed(insn: Insn) -> u64 {
    let [c0, c1] = insn.code.to_ne_bytes();
    let [k0, k1, k2, k3] = insn.k.to_ne_bytes();
    u64::from_ne_bytes([c0, c1, insn.jt, insn.jf, k0, k1, k2, k3])
}
