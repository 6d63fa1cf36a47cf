//! The requests of ptrace(2) on x86_64, as a table: number, what is done, what the tracee must be.

use tipstaff_sys::ptrace::Go;
use tipstaff_sys::ptrace_copy::{Fetch, Poke, SetSized, Sized, Store};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// PTRACE_TRACEME.
    TraceMe,
    /// PTRACE_ATTACH.
    Attach,
    /// PTRACE_SEIZE.
    Seize,
    /// PTRACE_INTERRUPT.
    Interrupt,
    /// PTRACE_KILL.
    Kill,
    /// PTRACE_LISTEN.
    Listen,
    /// PTRACE_DETACH.
    Detach,
    /// PTRACE_CONT and its kin.
    Resume(Go),
    /// PTRACE_SETOPTIONS.
    SetOptions,
    /// Moves of a fixed size to the caller.
    Fetch(Fetch),
    /// Moves of a fixed size from the caller.
    Store(Store),
    /// A word.
    Poke(Poke),
    /// As many bytes as the address says, to the caller.
    FetchSized(Sized),
    /// As many bytes as the address says, from the caller.
    StoreSized(SetSized),
    /// PTRACE_GETREGSET.
    FetchSet,
    /// PTRACE_SETREGSET.
    StoreSet,
    /// PTRACE_PEEKSIGINFO.
    PeekSigInfo,
    /// PTRACE_ARCH_PRCTL.
    Base,
    /// PTRACE_SECCOMP_GET_FILTER, PTRACE_SECCOMP_GET_METADATA: EACCES for whoever has a filter itself, and every guest has.
    Confined,
    /// Any other number.
    Unknown,
}

/// What a tracee must be for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it is not a tracee yet.
    Nothing,
    /// The caller's.
    Traced,
    /// The caller's, and in a stop that is not listened to.
    Stopped,
}

const TABLE: &[(u64, Request, Needs)] = &[
    (0, Request::TraceMe, Needs::Nothing),
    (1, Request::Fetch(Fetch::Word), Needs::Stopped),
    (2, Request::Fetch(Fetch::Word), Needs::Stopped),
    (3, Request::Fetch(Fetch::User), Needs::Stopped),
    (4, Request::Poke(Poke::Word), Needs::Stopped),
    (5, Request::Poke(Poke::Word), Needs::Stopped),
    (6, Request::Poke(Poke::User), Needs::Stopped),
    (7, Request::Resume(Go::Free), Needs::Stopped),
    (8, Request::Kill, Needs::Traced),
    (9, Request::Resume(Go::Step), Needs::Stopped),
    (12, Request::Fetch(Fetch::Registers), Needs::Stopped),
    (13, Request::Store(Store::Registers), Needs::Stopped),
    (14, Request::Fetch(Fetch::FpRegisters), Needs::Stopped),
    (15, Request::Store(Store::FpRegisters), Needs::Stopped),
    (16, Request::Attach, Needs::Nothing),
    (17, Request::Detach, Needs::Stopped),
    (21, Request::SetOptions, Needs::Stopped),
    (24, Request::Resume(Go::Syscall), Needs::Stopped),
    (25, Request::Fetch(Fetch::ThreadArea), Needs::Stopped),
    (26, Request::Store(Store::ThreadArea), Needs::Stopped),
    (30, Request::Base, Needs::Stopped),
    (31, Request::Resume(Go::Emulate), Needs::Stopped),
    (32, Request::Resume(Go::EmulateStep), Needs::Stopped),
    (33, Request::Resume(Go::Block), Needs::Stopped),
    (0x4200, Request::SetOptions, Needs::Stopped),
    (0x4201, Request::Fetch(Fetch::EventMessage), Needs::Stopped),
    (0x4202, Request::Fetch(Fetch::SigInfo), Needs::Stopped),
    (0x4203, Request::Store(Store::SigInfo), Needs::Stopped),
    (0x4204, Request::FetchSet, Needs::Stopped),
    (0x4205, Request::StoreSet, Needs::Stopped),
    (0x4206, Request::Seize, Needs::Nothing),
    (0x4207, Request::Interrupt, Needs::Traced),
    (0x4208, Request::Listen, Needs::Stopped),
    (0x4209, Request::PeekSigInfo, Needs::Stopped),
    (0x420a, Request::Fetch(Fetch::SigMask), Needs::Stopped),
    (0x420b, Request::Store(Store::SigMask), Needs::Stopped),
    (0x420c, Request::Confined, Needs::Stopped),
    (0x420d, Request::Confined, Needs::Stopped),
    (0x420e, Request::FetchSized(Sized::SyscallInfo), Needs::Stopped),
    (0x420f, Request::FetchSized(Sized::Rseq), Needs::Stopped),
    (0x4210, Request::StoreSized(SetSized::Dispatch), Needs::Stopped),
    (0x4211, Request::FetchSized(Sized::Dispatch), Needs::Stopped),
    (0x4212, Request::StoreSized(SetSized::SyscallInfo), Needs::Stopped),
];

/// What a number asks for. An unknown one needs a stopped tracee too, and is EIO only then.
#[must_use]
pub fn of(number: u64) -> (Request, Needs) {
    let known = TABLE.iter().find(|(n, ..)| *n == number);
    known.map_or((Request::Unknown, Needs::Stopped), |&(_, request, needs)| (request, needs))
}

/// PTRACE_O_EXITKILL.
pub const EXITKILL: u32 = 1 << 20;
const SUSPEND_SECCOMP: u32 = 1 << 21;
/// PTRACE_O_MASK.
const ALL: u64 = (0xff | EXITKILL | SUSPEND_SECCOMP) as u64;

/// The options that a guest asks for, `strange` being the errno for bits that there are not (SEIZE: EIO, SETOPTIONS: EINVAL).
/// PTRACE_O_SUSPEND_SECCOMP is EPERM for whoever has a filter itself, and every guest has.
pub fn options(data: u64, strange: i32) -> Result<u32, i32> {
    if data & !ALL != 0 {
        return Err(strange);
    }
    let options = data as u32;
    if options & SUSPEND_SECCOMP != 0 { Err(tipstaff_abi::errno::EPERM.into()) } else { Ok(options) }
}
