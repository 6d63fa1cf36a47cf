//! Signals and errors in words, and what to do about them.

use tipstaff_abi::{Arch, Sysno};
use tipstaff_decode::Value;

use super::process::Delivered;

/// What a deadly signal says about the program, from siginfo where there is one (sigaction(2)).
pub(super) fn signal_reason(signal: &str, info: Option<&Delivered>) -> Option<String> {
    let word = |name: &str| info.and_then(|info| info.word(name));
    let code = word("si_code").unwrap_or_default();
    let address = word("si_addr").unwrap_or_else(|| "an unknown address".to_owned());
    Some(match (signal, &*code) {
        ("SIGSEGV", "SEGV_MAPERR") => {
            let null = matches!(
                info.and_then(|info| info.field("si_addr")),
                Some(Value::Address(0..4096) | Value::Hex(0..4096))
            );
            let guess = if null { ", a null pointer most likely" } else { "" };
            format!("it used {address}, where nothing is mapped (SEGV_MAPERR){guess}")
        }
        ("SIGSEGV", "SEGV_ACCERR") => format!("it used {address} in a way that the mapping forbids (SEGV_ACCERR)"),
        ("SIGSEGV", "SI_KERNEL") => {
            "it used an address that no program can have, or its stack could not grow".to_owned()
        }
        ("SIGBUS", "BUS_ADRERR") => {
            format!("it used {address}, behind the end of a mapped file or in memory that could not be had")
        }
        ("SIGBUS", _) if info.is_some() => format!("it used {address} ({code})"),
        ("SIGFPE", "FPE_INTDIV") => format!("it divided by zero at {address}"),
        ("SIGFPE" | "SIGILL" | "SIGTRAP", _) if info.is_some() && !code.starts_with("SI_") => {
            format!("at {address} ({code})")
        }
        ("SIGSYS", _) => match info.and_then(refused_call).or_else(|| word("si_syscall")) {
            Some(call) => format!("a seccomp filter refused the system call {call}"),
            None => "a seccomp filter refused a system call".to_owned(),
        },
        ("SIGPIPE", _) => "it wrote to a pipe or socket that nobody reads any more".to_owned(),
        ("SIGXCPU", _) => "it used up its processor time (RLIMIT_CPU)".to_owned(),
        ("SIGXFSZ", _) => "it wrote beyond the file size that it may (RLIMIT_FSIZE)".to_owned(),
        _ => return None,
    })
}

/// The name of the call that SIGSYS is about: siginfo has its number, and the architecture that it belongs to.
fn refused_call(info: &Delivered) -> Option<String> {
    let number = |name: &str| match info.field(name)? {
        Value::Int(number) => u32::try_from(*number).ok(),
        Value::Uint(number) | Value::Hex(number) => u32::try_from(*number).ok(),
        _ => None,
    };
    let call = number("si_syscall")?;
    let arch = Arch::of(number("si_arch")?, call)?;
    Sysno(call).name(arch).map(str::to_owned)
}

/// What is worth knowing about an error, where the words of strerror(3) leave it open.
pub(super) fn hint(errno: &str, call: &str, found: bool) -> Option<&'static str> {
    Some(match (errno, call) {
        ("ENOENT", "execve" | "execveat") if found => {
            "the file is there: the interpreter that it names (after #!, or as ELF loader) is not"
        }
        ("ENOENT", "execve" | "execveat") => {
            "either the file is not there, or the interpreter that it names (after #!, or as ELF loader)"
        }
        ("ENOEXEC", "execve" | "execveat") => {
            "the file is neither an ELF program for this machine nor a script that begins with #!"
        }
        ("EACCES", "execve" | "execveat") => {
            "the file is not executable, or lies on a file system mounted noexec, or a directory above it may not be searched"
        }
        ("E2BIG", "execve" | "execveat") => "arguments and environment together are too long for one command",
        ("ENOTDIR", _) => "something on the path that should be a directory is none",
        ("EACCES", "connect" | "bind" | "sendto") => "the address may not be used: a privileged port, or a firewall",
        ("EACCES", _) => "the file's mode, or that of a directory above it, does not let this user in",
        ("EPERM", _) => "this takes a privilege that the process does not have, or a seccomp filter refuses it",
        ("EROFS", _) => "the file system is mounted read-only",
        ("ENOSPC", _) => "the file system is full, or out of inodes",
        ("EDQUOT", _) => "the user's quota is used up",
        ("EMFILE", _) => "the process has as many descriptors as RLIMIT_NOFILE lets it have",
        ("EAGAIN", "clone" | "clone3" | "fork" | "vfork") => {
            "no further process: RLIMIT_NPROC, a control group, or threads-max"
        }
        ("ENOMEM", _) => "no memory: RLIMIT_AS, overcommit, or a control group",
        ("ECONNREFUSED", _) => "nobody listens at that address",
        ("EADDRINUSE", _) => "somebody else has that address",
        ("EADDRNOTAVAIL", _) => "this machine does not have that address",
        ("ENETUNREACH" | "EHOSTUNREACH", _) => "no route leads there; without a network every address is so",
        ("ETXTBSY", _) => "the file is being executed, or is open for writing",
        ("ELOOP", _) => "the symbolic links lead in a circle",
        _ => return None,
    })
}
