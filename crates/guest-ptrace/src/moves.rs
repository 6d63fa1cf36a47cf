//! Requests that move bytes between a tracer and its tracee: the real stop is asked, with buffers of ours between the two.

use tipstaff_abi::errno::{EFAULT, EINVAL, EIO};
use tipstaff_sys::ptrace::{SigInfo, event};
use tipstaff_sys::ptrace_copy::{self as copy, Fetch, LONGEST_SET, SetSized, Sized, Store};
use tipstaff_sys::{Errno, process_vm};

use crate::machine::{Stop, Tracee};
use crate::request::Request;
use crate::signals::Mark;

const SIGINFO: usize = 128;
/// ptrace_peek_siginfo_args.flags: PTRACE_PEEKSIGINFO_SHARED.
const SHARED: u32 = 1;
/// struct ptrace_syscall_info without what belongs to a call.
const NO_CALL: usize = 24;
const SIGTRAP: i32 = 5;
const SYSCALL_TRAP: i32 = SIGTRAP | 0x80;

fn errno(errno: Errno) -> i64 {
    -i64::from(errno.0)
}

const fn failed(errno: u16) -> i64 {
    -(errno as i64)
}

/// All of it, or EFAULT.
pub(crate) fn write(tid: i32, address: u64, bytes: &[u8]) -> Result<(), i64> {
    let mut done = 0;
    while done < bytes.len() {
        match process_vm::write(tid, address.wrapping_add(done as u64), &bytes[done..]) {
            Ok(n) if n > 0 => done += n,
            _ => return Err(failed(EFAULT)),
        }
    }
    Ok(())
}

/// All of it, or EFAULT.
pub(crate) fn read(tid: i32, address: u64, into: &mut [u8]) -> Result<(), i64> {
    let mut done = 0;
    while done < into.len() {
        match process_vm::read(tid, address.wrapping_add(done as u64), &mut into[done..]) {
            Ok(n) if n > 0 => done += n,
            _ => return Err(failed(EFAULT)),
        }
    }
    Ok(())
}

/// A move, for the thread that made the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub caller: i32,
    pub target: i32,
    pub address: u64,
    pub data: u64,
    /// Signals of ours that are pending stand for the kernel's.
    pub mark: Mark,
}

impl Move {
    /// The result of the call.
    pub fn make(self, request: Request, tracee: &Tracee) -> i64 {
        self.try_make(request, tracee).unwrap_or_else(|failed| failed)
    }

    fn try_make(self, request: Request, tracee: &Tracee) -> Result<i64, i64> {
        let Self { caller, target, address, data, mark } = self;
        let at = address as usize;
        match request {
            Request::Fetch(what) => {
                // A group-stop of one that was not seized has no siginfo.
                if what == Fetch::SigInfo && matches!(tracee.stop, Some(Stop::Group(_))) && !tracee.seized {
                    return Err(failed(EINVAL));
                }
                let mut bytes = copy::fetch(target, what, at).map_err(errno)?;
                if what == Fetch::EventMessage {
                    rename(tracee, &mut bytes);
                }
                if what == Fetch::SigInfo && is_plain_trap(tracee) && bytes[8..12] == SYSCALL_TRAP.to_ne_bytes() {
                    bytes[8..12].copy_from_slice(&SIGTRAP.to_ne_bytes());
                }
                write(caller, data, &bytes)?;
                Ok(0)
            }
            Request::Store(what) => {
                // The size is looked at before the memory is.
                if what == Store::SigMask && at != 8 {
                    return Err(failed(EINVAL));
                }
                if what == Store::SigInfo && matches!(tracee.stop, Some(Stop::Group(_))) && !tracee.seized {
                    return Err(failed(EINVAL));
                }
                let mut bytes = vec![0; what.size()];
                read(caller, data, &mut bytes)?;
                copy::store(target, what, at, &bytes).map_err(errno).map(|()| 0)
            }
            Request::Poke(what) => copy::poke(target, what, at, data as usize).map_err(errno).map(|()| 0),
            Request::FetchSized(what) => {
                let (mut told, mut bytes) = copy::fetch_sized(target, what, at).map_err(errno)?;
                if what == Sized::SyscallInfo && is_plain_trap(tracee) && told > NO_CALL {
                    told = NO_CALL;
                    bytes.truncate(NO_CALL);
                    // PTRACE_SYSCALL_INFO_NONE.
                    bytes.iter_mut().take(1).for_each(|op| *op = 0);
                }
                write(caller, data, &bytes)?;
                Ok(told as i64)
            }
            Request::StoreSized(what) => {
                let mut bytes = vec![0; at.min(4096)];
                let known = match what {
                    SetSized::Dispatch => 32,
                    SetSized::SyscallInfo => 88,
                };
                bytes.truncate(known);
                // A size that is wrong is EINVAL before the memory is looked at.
                let readable = read(caller, data, &mut bytes);
                if what == SetSized::SyscallInfo && is_plain_trap(tracee) {
                    return Err(readable.err().filter(|_| at >= known).unwrap_or(failed(EINVAL)));
                }
                match (copy::store_sized(target, what, at, &bytes), readable) {
                    (Err(e), _) if e.0 == i32::from(EINVAL) || e.0 == i32::from(EIO) => Err(errno(e)),
                    (_, Err(fault)) => Err(fault),
                    (done, _) => done.map_err(errno).map(|()| 0),
                }
            }
            Request::FetchSet => {
                let (base, length) = self.iovec()?;
                let bytes = copy::fetch_set(target, at, bounded(length)).map_err(errno)?;
                write(caller, base, &bytes)?;
                write(caller, data + 8, &(bytes.len() as u64).to_ne_bytes())?;
                Ok(0)
            }
            Request::StoreSet => {
                let (base, length) = self.iovec()?;
                let mut bytes = vec![0; bounded(length)];
                // Only as much as the set has is read, so a longer length may reach over the end of memory.
                let mut got = 0;
                while got < bytes.len() {
                    match process_vm::read(caller, base + got as u64, &mut bytes[got..]) {
                        Ok(n) if n > 0 => got += n,
                        _ => break,
                    }
                }
                if got == 0 && !bytes.is_empty() {
                    return Err(failed(EFAULT));
                }
                let taken = copy::store_set(target, at, &bytes).map_err(errno)?;
                if taken > got {
                    return Err(failed(EFAULT));
                }
                write(caller, data + 8, &(taken as u64).to_ne_bytes())?;
                Ok(0)
            }
            Request::PeekSigInfo => {
                let mut args = [0; 16];
                read(caller, address, &mut args)?;
                let [a, b, c, d, e, f, g, h, rest @ ..] = args;
                let offset = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
                let flags = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]);
                let most = i32::from_ne_bytes([rest[4], rest[5], rest[6], rest[7]]);
                if flags & !SHARED != 0 || most < 0 {
                    return Err(failed(EINVAL));
                }
                let bytes = peek(target, (offset, flags, most), mark).map_err(errno)?;
                // One after the other, and what there was no room for is left out.
                let mut told = 0;
                for one in bytes.chunks_exact(SIGINFO) {
                    let ours = one.try_into().ok().and_then(|bytes| mark.told(&SigInfo::from_bytes(bytes)));
                    let one = ours.as_ref().map_or(one, |info| info.bytes());
                    match write(caller, data + told * SIGINFO as u64, one) {
                        Ok(()) => told += 1,
                        Err(fault) if told == 0 => return Err(fault),
                        Err(_) => break,
                    }
                }
                Ok(told as i64)
            }
            Request::Base => match data {
                0x1003 | 0x1004 => {
                    let value = copy::base(target, data as usize).map_err(errno)?;
                    write(caller, address, &value.to_ne_bytes())?;
                    Ok(0)
                }
                _ => copy::set_base(target, data as usize, at).map_err(errno).map(|()| 0),
            },
            _ => Err(failed(EIO)),
        }
    }

    fn iovec(self) -> Result<(u64, u64), i64> {
        let mut iov = [0; 16];
        read(self.caller, self.data, &mut iov)?;
        let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|n| iov[at + n]));
        Ok((word(0), word(8)))
    }
}

/// The SIGSTOP that a new tracee begins with is a bit in the kernel (ptrace_init_task() in kernel/fork.c) and stands in no queue; ours does.
fn peek(target: i32, (offset, flags, most): (u64, u32, i32), mark: Mark) -> Result<Vec<u8>, Errno> {
    let first = |one: &[u8]| one.try_into().is_ok_and(|bytes| mark.is_first_stop(&SigInfo::from_bytes(bytes)));
    let queue = if flags & SHARED == 0 { copy::peek_siginfo(target, 0, flags, i32::MAX)? } else { Vec::new() };
    let Some(at) = queue.chunks_exact(SIGINFO).position(first) else {
        return copy::peek_siginfo(target, offset, flags, most);
    };
    let from = if offset < at as u64 { offset } else { offset.saturating_add(1) };
    let mut bytes = copy::peek_siginfo(target, from, flags, most.saturating_add(1))?;
    if let Some(start) = (at as u64).checked_sub(from).map(|n| n as usize * SIGINFO).filter(|&n| n < bytes.len()) {
        bytes.drain(start..start + SIGINFO);
    }
    bytes.truncate(most.unsigned_abs() as usize * SIGINFO);
    Ok(bytes)
}

/// A syscall stop without PTRACE_O_TRACESYSGOOD: for the kernel it is a SIGTRAP like others.
fn is_plain_trap(tracee: &Tracee) -> bool {
    matches!(tracee.stop, Some(Stop::Entry | Stop::Exit)) && tracee.trap == SIGTRAP
}

/// The messages of some events are numbers of tasks, and ours are not the tracer's.
fn rename(tracee: &Tracee, message: &mut Vec<u8>) {
    const TASKS: [i32; 5] = [event::FORK, event::VFORK, event::CLONE, event::VFORK_DONE, event::EXEC];
    if matches!(tracee.stop, Some(Stop::Event(event)) if TASKS.contains(&event)) {
        *message = u64::from(tracee.other.cast_unsigned()).to_ne_bytes().to_vec();
    }
}

/// How much of a register set is moved; the kernel moves no more than the set has. Its remainder stays, for what the kernel says of it.
fn bounded(length: u64) -> usize {
    if length > LONGEST_SET as u64 { LONGEST_SET + (length % 16) as usize } else { length as usize }
}
