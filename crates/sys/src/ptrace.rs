//! ptrace(2), one function per request. The caller is the tracer's thread; every request but [`seize`] and
//! [`interrupt`] wants a tracee in a ptrace-stop and answers ESRCH for one that is not, or that died in it.

use tipstaff_abi::bpf::SeccompData;

pub use crate::arch::registers::Registers;
use crate::raw::{Errno, addr, addr_mut, call};

const CONT: usize = 7;
const SYSCALL: usize = 24;
const SINGLESTEP: usize = 9;
const SINGLEBLOCK: usize = 33;
const SYSEMU: usize = 31;
const SYSEMU_SINGLESTEP: usize = 32;
const DETACH: usize = 17;
const SETOPTIONS: usize = 0x4200;
const GETEVENTMSG: usize = 0x4201;
const GETSIGINFO: usize = 0x4202;
const SETSIGINFO: usize = 0x4203;
const GETREGSET: usize = 0x4204;
const SETREGSET: usize = 0x4205;
const SEIZE: usize = 0x4206;
const INTERRUPT: usize = 0x4207;
const LISTEN: usize = 0x4208;
const GET_SYSCALL_INFO: usize = 0x420e;
const NT_PRSTATUS: usize = 1;

/// PTRACE_EVENT_*: the third byte of a stop's status.
pub mod event {
    /// fork(2), or a clone(2) whose exit signal is SIGCHLD.
    pub const FORK: i32 = 1;
    /// vfork(2), or a clone(2) with CLONE_VFORK.
    pub const VFORK: i32 = 2;
    /// Any other clone(2).
    pub const CLONE: i32 = 3;
    /// A successful execve(2).
    pub const EXEC: i32 = 4;
    /// The child of a vfork(2) has let go of its parent's memory.
    pub const VFORK_DONE: i32 = 5;
    /// The thread is about to end.
    pub const EXIT: i32 = 6;
    /// A filter said SECCOMP_RET_TRACE.
    pub const SECCOMP: i32 = 7;
    /// Group-stop, PTRACE_INTERRUPT, or the first stop of a new tracee. Only after PTRACE_SEIZE.
    pub const STOP: i32 = 128;
}

/// PTRACE_O_*: a sum.
pub mod option {
    /// Bit 7 in the signal of syscall stops.
    pub const TRACESYSGOOD: u32 = 1;
    /// Trace the children of fork(2).
    pub const TRACEFORK: u32 = 1 << 1;
    /// Trace the children of vfork(2).
    pub const TRACEVFORK: u32 = 1 << 2;
    /// Trace the children of clone(2).
    pub const TRACECLONE: u32 = 1 << 3;
    /// Stop after execve(2).
    pub const TRACEEXEC: u32 = 1 << 4;
    /// Stop when the child of a vfork(2) has let go.
    pub const TRACEVFORKDONE: u32 = 1 << 5;
    /// Stop before the end.
    pub const TRACEEXIT: u32 = 1 << 6;
    /// Stop on SECCOMP_RET_TRACE.
    pub const TRACESECCOMP: u32 = 1 << 7;
    /// SIGKILL when the tracer's thread ends (Linux 3.8).
    pub const EXITKILL: u32 = 1 << 20;
}

/// How a stopped tracee goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// PTRACE_CONT: until something other than a system call stops it.
    Free,
    /// PTRACE_SYSCALL: until the next entry to or exit from a system call, at most.
    Syscall,
    /// PTRACE_SINGLESTEP: one instruction.
    Step,
    /// PTRACE_SINGLEBLOCK: until a branch, where the CPU can.
    Block,
    /// PTRACE_SYSEMU: until the next entry; that call is not made.
    Emulate,
    /// PTRACE_SYSEMU_SINGLESTEP: both.
    EmulateStep,
}

fn request(what: usize, tid: i32, a: usize, data: usize) -> Result<usize, Errno> {
    // SAFETY: the functions of this file pass addresses of values that outlive the call, or integers.
    unsafe { call(libc::SYS_ptrace, [what, tid as usize, a, data, 0, 0]) }
}

/// PTRACE_SEIZE (Linux 3.4): traces a running thread without stopping it. EPERM: not allowed, or traced already.
pub fn seize(tid: i32, options: u32) -> Result<(), Errno> {
    request(SEIZE, tid, 0, options as usize).map(drop)
}

/// PTRACE_INTERRUPT: stops a seized tracee, running or not. No signal is involved, and a call that blocks is restarted.
pub fn interrupt(tid: i32) -> Result<(), Errno> {
    request(INTERRUPT, tid, 0, 0).map(drop)
}

/// PTRACE_LISTEN: leaves a group-stopped tracee stopped, and reports when that changes.
pub fn listen(tid: i32) -> Result<(), Errno> {
    request(LISTEN, tid, 0, 0).map(drop)
}

/// PTRACE_CONT and its kin, delivering a signal (0: none). Only a signal-delivery-stop delivers it as it is; from other stops
/// the kernel sends a new one, if at all. EIO: no such signal.
pub fn resume(tid: i32, go: Go, signal: i32) -> Result<(), Errno> {
    let what = match go {
        Go::Free => CONT,
        Go::Syscall => SYSCALL,
        Go::Step => SINGLESTEP,
        Go::Block => SINGLEBLOCK,
        Go::Emulate => SYSEMU,
        Go::EmulateStep => SYSEMU_SINGLESTEP,
    };
    request(what, tid, 0, signal as usize).map(drop)
}

/// PTRACE_DETACH, delivering a signal (0: none). A group-stop that is in force holds the thread again.
pub fn detach(tid: i32, signal: i32) -> Result<(), Errno> {
    request(DETACH, tid, 0, signal as usize).map(drop)
}

/// PTRACE_SETOPTIONS.
pub fn set_options(tid: i32, options: u32) -> Result<(), Errno> {
    request(SETOPTIONS, tid, 0, options as usize).map(drop)
}

/// PTRACE_GETEVENTMSG: the child's thread id, the former thread id, the wait status or the filter's data, by the event.
pub fn event_message(tid: i32) -> Result<u64, Errno> {
    let mut message = 0u64;
    request(GETEVENTMSG, tid, 0, addr_mut(&mut message))?;
    Ok(message)
}

/// siginfo_t as the kernel keeps it. What lies behind the first three words depends on the signal and its code: sigaction(2).
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct SigInfo([u8; 128]);

impl SigInfo {
    /// From the kernel's bytes, in the byte order and layout of this machine's 64-bit programs.
    pub fn from_bytes(bytes: [u8; 128]) -> Self {
        Self(bytes)
    }

    /// The kernel's bytes.
    pub fn bytes(&self) -> &[u8; 128] {
        &self.0
    }

    fn word(&self, at: usize) -> i32 {
        i32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    fn long(&self, at: usize) -> u64 {
        u64::from(self.word(at).cast_unsigned()) | u64::from(self.word(at + 4).cast_unsigned()) << 32
    }

    /// si_signo.
    pub fn signal(&self) -> i32 {
        self.word(0)
    }

    /// si_errno.
    pub fn errno(&self) -> i32 {
        self.word(4)
    }

    /// si_code: SI_USER 0, SI_KERNEL 128, SI_QUEUE -1, SI_TKILL -6, or the signal's own.
    pub fn code(&self) -> i32 {
        self.word(8)
    }

    /// si_pid: who sent it, where a process did; the child of a SIGCHLD.
    pub fn pid(&self) -> i32 {
        self.word(16)
    }

    /// si_uid: that process's user.
    pub fn uid(&self) -> u32 {
        self.word(20).cast_unsigned()
    }

    /// si_status of a SIGCHLD.
    pub fn status(&self) -> i32 {
        self.word(24)
    }

    /// si_value of a queued signal.
    pub fn value(&self) -> u64 {
        self.long(24)
    }

    /// si_addr of a fault; si_call_addr of a SIGSYS.
    pub fn address(&self) -> u64 {
        self.long(16)
    }

    /// si_syscall of a SIGSYS.
    pub fn syscall(&self) -> i32 {
        self.word(24)
    }

    /// si_arch of a SIGSYS (`AUDIT_ARCH_*`).
    pub fn arch(&self) -> u32 {
        self.word(28).cast_unsigned()
    }
}

impl core::fmt::Debug for SigInfo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SigInfo")
            .field("signal", &self.signal())
            .field("code", &self.code())
            .field("pid", &self.pid())
            .field("uid", &self.uid())
            .finish_non_exhaustive()
    }
}

/// PTRACE_GETSIGINFO. EINVAL in a stop that no signal caused.
pub fn signal_info(tid: i32) -> Result<SigInfo, Errno> {
    let mut info = SigInfo([0; 128]);
    request(GETSIGINFO, tid, 0, addr_mut(&mut info))?;
    Ok(info)
}

/// PTRACE_SETSIGINFO.
pub fn set_signal_info(tid: i32, info: &SigInfo) -> Result<(), Errno> {
    request(SETSIGINFO, tid, 0, addr(info)).map(drop)
}

/// What PTRACE_GET_SYSCALL_INFO says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyscallInfo {
    /// `AUDIT_ARCH_*` of the call, or of the program where there is none.
    pub arch: u32,
    /// Instruction pointer.
    pub ip: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Which stop it is.
    pub op: SyscallOp,
}

/// Which stop it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyscallOp {
    /// Not in a syscall or seccomp stop.
    None,
    /// Before the call.
    Entry {
        /// The number, 64 bits as the register had them.
        nr: u64,
        /// The six words.
        args: [u64; 6],
    },
    /// After the call.
    Exit {
        /// The result; a negated errno if `is_error`.
        value: i64,
        /// The kernel takes the result for an errno.
        is_error: bool,
    },
    /// Before the call, on behalf of a filter.
    Seccomp {
        /// The number.
        nr: u64,
        /// The six words.
        args: [u64; 6],
        /// SECCOMP_RET_DATA.
        data: u32,
    },
}

/// struct ptrace_syscall_info, the union as words.
#[repr(C)]
#[derive(Default)]
struct KernelSyscallInfo {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    ip: u64,
    sp: u64,
    words: [u64; 8],
}

const _: () = assert!(size_of::<SeccompData>() == 64 && size_of::<KernelSyscallInfo>() == 88);

/// PTRACE_GET_SYSCALL_INFO (Linux 5.3; EIO before).
pub fn syscall_info(tid: i32) -> Result<SyscallInfo, Errno> {
    let mut info = KernelSyscallInfo::default();
    let size = size_of::<KernelSyscallInfo>();
    request(GET_SYSCALL_INFO, tid, size, addr_mut(&mut info))?;
    let w = info.words;
    let args = [w[1], w[2], w[3], w[4], w[5], w[6]];
    let op = match info.op {
        1 => SyscallOp::Entry { nr: w[0], args },
        // `is_error` is one byte behind the value; the bytes after it are padding.
        2 => SyscallOp::Exit { value: w[0].cast_signed(), is_error: w[1].to_ne_bytes()[0] != 0 },
        3 => SyscallOp::Seccomp { nr: w[0], args, data: u32::from_ne_bytes(low_half(w[7])) },
        _ => SyscallOp::None,
    };
    Ok(SyscallInfo { arch: info.arch, ip: info.ip, sp: info.sp, op })
}

/// The first four bytes in memory of a word.
fn low_half(word: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = word.to_ne_bytes();
    [a, b, c, d]
}

/// PTRACE_GETREGSET of NT_PRSTATUS. The kernel's answer has the form of the code that runs: short for 32-bit code.
pub fn registers(tid: i32) -> Result<Registers, Errno> {
    let mut words = [0u64; Registers::WORDS];
    let mut iov = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: size_of_val(&words) };
    request(GETREGSET, tid, NT_PRSTATUS, addr_mut(&mut iov))?;
    Registers::from_kernel(words, iov.iov_len).ok_or(Errno::INVAL)
}

/// PTRACE_SETREGSET of NT_PRSTATUS, in the form that [`registers`] gave.
pub fn set_registers(tid: i32, registers: &Registers) -> Result<(), Errno> {
    let (words, len) = registers.to_kernel();
    let iov = libc::iovec { iov_base: words.as_ptr().cast_mut().cast(), iov_len: len };
    request(SETREGSET, tid, NT_PRSTATUS, addr(&iov))?;
    registers.set_beside(tid)
}

/// Further register sets, for architectures that keep the call's number outside NT_PRSTATUS.
#[cfg_attr(target_arch = "x86_64", expect(dead_code, reason = "x86_64 has the number among the others"))]
pub(crate) fn set_register_set(tid: i32, set: usize, bytes: &[u8]) -> Result<(), Errno> {
    let iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    request(SETREGSET, tid, set, addr(&iov)).map(drop)
}
