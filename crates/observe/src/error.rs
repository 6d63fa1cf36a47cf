//! What can be wrong.

use std::path::PathBuf;

use tipstaff_sys::Errno;

/// Why eBPF cannot be had here: the caller takes another engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// bpf(2) said EPERM.
    #[error("bpf: {}", permission(*.capabilities, *.unprivileged_disabled, *.lockdown))]
    Permission {
        /// CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN) are held.
        capabilities: bool,
        /// `kernel.unprivileged_bpf_disabled`, where it can be read.
        unprivileged_disabled: Option<u8>,
        /// The kernel's lockdown, where it can be read: `none`, `integrity`, `confidentiality`.
        lockdown: Option<&'static str>,
    },
    /// The kernel has no bpf(2), or a filter answers ENOSYS.
    #[error("bpf: the kernel has no bpf(2)")]
    NoBpf,
    /// No type information: a kernel without CONFIG_DEBUG_INFO_BTF, or no /sys.
    #[error("/sys/kernel/btf/vmlinux: {0}: a kernel with CONFIG_DEBUG_INFO_BTF and a mounted /sys is needed")]
    NoBtf(Errno),
    /// The type information is not what it should be.
    #[error("/sys/kernel/btf/vmlinux: {0}")]
    BadBtf(&'static str),
    /// A structure, a field or a tracepoint is not there.
    #[error("the kernel has no {0}")]
    Missing(String),
    /// A map was refused.
    #[error("bpf: map {name}: {errno}")]
    Map {
        /// Which.
        name: &'static str,
        /// With what.
        errno: Errno,
    },
    /// The verifier refused a program.
    #[error("bpf: program {name}: {errno}: {log}")]
    Rejected {
        /// Which.
        name: &'static str,
        /// With what.
        errno: Errno,
        /// The last lines of the verifier's log.
        log: String,
    },
    /// A program was not attached.
    #[error("bpf: attaching {name}: {errno}")]
    Attach {
        /// Which.
        name: &'static str,
        /// With what.
        errno: Errno,
    },
    /// A size or a table that cannot be.
    #[error("{0}")]
    BadSetup(&'static str),
    /// Not an architecture that programs are made for.
    #[error("recording by eBPF is not there for this architecture yet")]
    Architecture,
    /// A test said so: see [`crate::probe`].
    #[error("switched off by TIPSTAFF_WITHOUT_BPF")]
    SwitchedOff,
}

fn permission(capabilities: bool, unprivileged_disabled: Option<u8>, lockdown: Option<&str>) -> String {
    match (capabilities, lockdown) {
        (true, Some("confidentiality")) => {
            "not permitted: the kernel is locked down (lockdown=confidentiality), which forbids reading its memory"
                .to_owned()
        }
        (true, _) => {
            "not permitted, although CAP_BPF and CAP_PERFMON are held: a security module or a filter forbids it"
                .to_owned()
        }
        (false, _) => {
            let sysctl =
                unprivileged_disabled.map(|v| format!(" (kernel.unprivileged_bpf_disabled = {v})")).unwrap_or_default();
            format!("not permitted: CAP_BPF and CAP_PERFMON are needed{sysctl}")
        }
    }
}

/// Why a recording did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No eBPF.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The target is gone.
    #[error("process {0} does not exist")]
    NoProcess(i32),
    /// The target cannot be looked at.
    #[error("process {pid}: {errno}")]
    Process {
        /// Which.
        pid: i32,
        /// With what.
        errno: Errno,
    },
    /// Not a directory of a control group.
    #[error("{}: {why}", .path.display())]
    Cgroup {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The PID namespace is the machine's own.
    #[error("process {0} is in the PID namespace of the machine: that would record everything")]
    MachineNamespace(i32),
    /// A process is recorded already.
    #[error("process {0} is being recorded already; a task belongs to one recording")]
    Taken(i32),
    /// A control group or a PID namespace is recorded already.
    #[error("the target is being recorded already")]
    TargetTaken,
    /// All slots or all pages are in use.
    #[error("no room for another recording: {0} at once are the most")]
    Full(u32),
    /// A map did not answer.
    #[error("bpf: {what}: {errno}")]
    Map {
        /// Which.
        what: &'static str,
        /// With what.
        errno: Errno,
    },
}
