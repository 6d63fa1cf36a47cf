//! ptrace(2), the requests that move bytes, by their numbers: what a mediator makes for somebody whose tracee is its own. Each has a size
//! that is known here, so that the kernel never writes beyond a buffer.

use crate::raw::{Errno, addr, addr_mut, call};

/// The longest register set that is moved: XSAVE areas with AMX are 11 KiB.
pub const LONGEST_SET: usize = 64 << 10;
/// The most siginfos of one [`peek_siginfo`]; a peek for more is cut short, as the kernel does for a queue that ends.
pub const MOST_SIGINFOS: usize = 128;
const SIGINFO: usize = 128;

/// Requests that write a fixed number of bytes to `data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// PTRACE_PEEKTEXT, PTRACE_PEEKDATA: the word at an address.
    Word,
    /// PTRACE_PEEKUSER: a word of struct user, debug registers among them.
    User,
    /// PTRACE_GETREGS.
    Registers,
    /// PTRACE_GETFPREGS.
    FpRegisters,
    /// PTRACE_GETEVENTMSG.
    EventMessage,
    /// PTRACE_GETSIGINFO.
    SigInfo,
    /// PTRACE_GETSIGMASK; the address is the size of a set.
    SigMask,
    /// PTRACE_GET_THREAD_AREA; the address is the entry.
    ThreadArea,
}

impl Fetch {
    const fn request(self) -> (usize, usize) {
        match self {
            Self::Word => (2, 8),
            Self::User => (3, 8),
            Self::Registers => (12, 216),
            Self::FpRegisters => (14, 512),
            Self::EventMessage => (0x4201, 8),
            Self::SigInfo => (0x4202, SIGINFO),
            Self::SigMask => (0x420a, 8),
            Self::ThreadArea => (25, 16),
        }
    }
}

/// Requests that read a fixed number of bytes from `data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// PTRACE_SETREGS.
    Registers,
    /// PTRACE_SETFPREGS.
    FpRegisters,
    /// PTRACE_SETSIGINFO.
    SigInfo,
    /// PTRACE_SETSIGMASK.
    SigMask,
    /// PTRACE_SET_THREAD_AREA.
    ThreadArea,
}

impl Store {
    const fn request(self) -> (usize, usize) {
        match self {
            Self::Registers => (13, 216),
            Self::FpRegisters => (15, 512),
            Self::SigInfo => (0x4203, SIGINFO),
            Self::SigMask => (0x420b, 8),
            Self::ThreadArea => (26, 16),
        }
    }

    /// How many bytes it takes.
    #[must_use]
    pub const fn size(self) -> usize {
        self.request().1
    }
}

/// Requests whose `data` is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poke {
    /// PTRACE_POKETEXT, PTRACE_POKEDATA.
    Word,
    /// PTRACE_POKEUSER.
    User,
}

/// Requests that write as many bytes as the address says, at most, and return how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sized {
    /// PTRACE_GET_SYSCALL_INFO (Linux 5.3).
    SyscallInfo,
    /// PTRACE_GET_RSEQ_CONFIGURATION (Linux 5.13).
    Rseq,
    /// PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG (Linux 6.4).
    Dispatch,
}

/// Requests that read as many bytes as the address says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetSized {
    /// PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG (Linux 6.4).
    Dispatch,
    /// PTRACE_SET_SYSCALL_INFO (Linux 6.16).
    SyscallInfo,
}

/// No structure of these requests is longer.
const SIZED: usize = 4096;

fn ptrace(what: usize, tid: i32, a: usize, data: usize) -> Result<usize, Errno> {
    // SAFETY: the functions of this file pass buffers of at least the request's size, or integers.
    unsafe { call(libc::SYS_ptrace, [what, tid as usize, a, data, 0, 0]) }
}

/// Makes one of the [`Fetch`] requests: the bytes.
pub fn fetch(tid: i32, what: Fetch, address: usize) -> Result<Vec<u8>, Errno> {
    let (request, size) = what.request();
    let mut bytes = vec![0u8; size];
    ptrace(request, tid, address, bytes.as_mut_ptr() as usize)?;
    Ok(bytes)
}

/// Makes one of the [`Store`] requests. EINVAL if the bytes are not as many as it takes.
pub fn store(tid: i32, what: Store, address: usize, bytes: &[u8]) -> Result<(), Errno> {
    let (request, size) = what.request();
    if bytes.len() != size {
        return Err(Errno::INVAL);
    }
    ptrace(request, tid, address, bytes.as_ptr() as usize).map(drop)
}

/// Makes one of the [`Poke`] requests.
pub fn poke(tid: i32, what: Poke, address: usize, data: usize) -> Result<(), Errno> {
    let request = match what {
        Poke::Word => 5,
        Poke::User => 6,
    };
    ptrace(request, tid, address, data).map(drop)
}

/// Makes one of the [`Sized`] requests: what it returned, and the bytes that were written, no more than `size`.
pub fn fetch_sized(tid: i32, what: Sized, size: usize) -> Result<(usize, Vec<u8>), Errno> {
    let request = match what {
        Sized::SyscallInfo => 0x420e,
        Sized::Rseq => 0x420f,
        Sized::Dispatch => 0x4211,
    };
    let mut bytes = vec![0u8; SIZED];
    // A size that is wrong is judged by the kernel, which writes no more than its own structure has.
    let told = ptrace(request, tid, size, bytes.as_mut_ptr() as usize)?;
    let written = if what == Sized::SyscallInfo { told } else { size };
    bytes.truncate(written.min(size));
    Ok((told, bytes))
}

/// Makes one of the [`SetSized`] requests. `bytes` is what the caller has there, up to 4096 bytes; `size` what it says.
pub fn store_sized(tid: i32, what: SetSized, size: usize, bytes: &[u8]) -> Result<(), Errno> {
    let request = match what {
        SetSized::Dispatch => 0x4210,
        SetSized::SyscallInfo => 0x4212,
    };
    let mut whole = [0u8; SIZED];
    let length = bytes.len().min(SIZED);
    whole[..length].copy_from_slice(&bytes[..length]);
    // The kernel reads its own structure's size and, of a larger one, nothing more.
    ptrace(request, tid, size, whole.as_ptr() as usize).map(drop)
}

/// PTRACE_GETREGSET: as much of a set as fits into `length` bytes.
pub fn fetch_set(tid: i32, set: usize, length: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0u8; length.min(LONGEST_SET + 16)];
    let mut iov = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    ptrace(0x4204, tid, set, addr_mut(&mut iov))?;
    bytes.truncate(iov.iov_len);
    Ok(bytes)
}

/// PTRACE_SETREGSET; how many bytes the kernel took.
pub fn store_set(tid: i32, set: usize, bytes: &[u8]) -> Result<usize, Errno> {
    let mut iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    ptrace(0x4205, tid, set, addr_mut(&mut iov))?;
    Ok(iov.iov_len)
}

/// PTRACE_PEEKSIGINFO: up to `most` siginfos from `offset` on, one after the other.
pub fn peek_siginfo(tid: i32, offset: u64, flags: u32, most: i32) -> Result<Vec<u8>, Errno> {
    #[repr(C)]
    struct Args(u64, u32, i32);
    let most = most.min(MOST_SIGINFOS as i32);
    let args = Args(offset, flags, most);
    let mut bytes = vec![0u8; usize::try_from(most).unwrap_or(0) * SIGINFO];
    let count = ptrace(0x4209, tid, addr(&args), bytes.as_mut_ptr() as usize)?;
    bytes.truncate(count * SIGINFO);
    Ok(bytes)
}

/// PTRACE_ARCH_PRCTL with ARCH_GET_FS or ARCH_GET_GS.
pub fn base(tid: i32, code: usize) -> Result<u64, Errno> {
    let mut value = 0u64;
    match code {
        0x1003 | 0x1004 => ptrace(30, tid, addr_mut(&mut value), code)?,
        _ => return Err(Errno::INVAL),
    };
    Ok(value)
}

/// PTRACE_ARCH_PRCTL with ARCH_SET_GS (0x1001) or ARCH_SET_FS (0x1002).
pub fn set_base(tid: i32, code: usize, value: usize) -> Result<(), Errno> {
    match code {
        0x1001 | 0x1002 => ptrace(30, tid, value, code).map(drop),
        _ => Err(Errno::INVAL),
    }
}
