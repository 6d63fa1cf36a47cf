//! The engines' default profiles, as floors: a profile that was recorded shall not allow what the default would have refused.
//!
//! The defaults are not copied: [`table`] has what they let pass, for the architectures that have a table here. Docker's is the current moby
//! profile, containers-common's the current one of Podman, Buildah and CRI-O; what a distribution ships may be older, and is given as a file then.

use tipstaff_abi::errno::{EINVAL, ENOSYS, EPERM};

use crate::learn::errno_entry;
use crate::{ArchMap, Arg, Condition, Document, Form, Syscall};

mod table;

/// A default profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// `docker-default`
    Docker,
    /// `containers-default`
    Containers,
}

impl Default {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Docker, Self::Containers];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker-default",
            Self::Containers => "containers-default",
        }
    }

    /// From the word.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|default| default.as_str() == name)
    }

    /// The capabilities that a container of the engine has unless told otherwise: rules depend on them.
    #[must_use]
    pub fn caps(self) -> Vec<String> {
        let caps: &[&str] = match self {
            Self::Docker => &table::DOCKER_CAPS,
            Self::Containers => &table::CONTAINERS_CAPS,
        };
        caps.iter().map(|&cap| cap.to_owned()).collect()
    }

    /// The profile in the engine's own form.
    #[must_use]
    pub fn document(self) -> Document {
        let mut rules = vec![allow(table::BOTH)];
        for value in table::PERSONALITIES {
            rules.push(Syscall { args: Some(vec![compare(0, "SCMP_CMP_EQ", value, None)]), ..allow("personality") });
        }
        for (arches, calls) in table::BY_ARCH {
            let arches = Some(arches.iter().map(|&arch| arch.to_owned()).collect());
            rules.push(Syscall { includes: Some(Condition { arches, ..Condition::default() }), ..allow(calls) });
        }
        for (cap, docker, containers) in table::BY_CAP {
            let calls = if self == Self::Docker { docker } else { containers };
            if !calls.is_empty() {
                rules.push(Syscall { includes: Some(caps(&[cap])), ..allow(calls) });
            }
        }
        match self {
            Self::Docker => docker(&mut rules),
            Self::Containers => containers(&mut rules),
        }
        let (errno, name) = match self {
            Self::Docker => (EPERM, None),
            Self::Containers => (ENOSYS, Some("ENOSYS".to_owned())),
        };
        let sub = |own: &str, subs: &[&str]| ArchMap {
            architecture: own.to_owned(),
            sub_architectures: Some(subs.iter().map(|&sub| sub.to_owned()).collect()),
        };
        Document {
            default_action: "SCMP_ACT_ERRNO".into(),
            default_errno_ret: Some(errno.into()),
            default_errno: name,
            arch_map: Some(vec![
                sub("SCMP_ARCH_X86_64", &["SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
                sub("SCMP_ARCH_AARCH64", &["SCMP_ARCH_ARM"]),
            ]),
            syscalls: Some(rules),
            ..Document::default()
        }
    }
}

fn docker(rules: &mut Vec<Syscall>) {
    rules.push(allow(table::DOCKER));
    // A tracer could change a number behind the filter's back before Linux 4.8.
    let since = Condition { min_kernel: Some("4.8".into()), ..Condition::default() };
    rules.push(Syscall { includes: Some(since), ..allow("process_vm_readv process_vm_writev ptrace") });
    // All families but AF_ALG (38) and AF_VSOCK (40), where the kernel's bugs were.
    for (op, family) in [("SCMP_CMP_LT", 38), ("SCMP_CMP_EQ", 39), ("SCMP_CMP_GT", 40)] {
        rules.push(Syscall { args: Some(vec![compare(0, op, family, None)]), ..allow("socket") });
    }
    let unprivileged = || Some(caps(&["CAP_SYS_ADMIN"]));
    let masked = compare(0, "SCMP_CMP_MASKED_EQ", table::NAMESPACES, Some(0));
    rules.push(Syscall { args: Some(vec![masked]), excludes: unprivileged(), ..allow("clone") });
    rules.push(Syscall { excludes: unprivileged(), ..errno_entry(&["clone3"], ENOSYS, Form::Docker) });
}

fn containers(rules: &mut Vec<Syscall>) {
    rules.push(allow(table::CONTAINERS));
    let names: Vec<&str> = table::CONTAINERS_EPERM.split_whitespace().collect();
    rules.push(errno_entry(&names, EPERM, Form::Containers));
    for (cap, _, calls) in table::BY_CAP.iter().filter(|(_, _, calls)| !calls.is_empty()) {
        // Either of two capabilities is enough for these; the refusal would hide the permission.
        let also: &[&str] = match *cap {
            "CAP_BPF" | "CAP_PERFMON" => continue,
            "CAP_SYS_ADMIN" => &["CAP_SYS_ADMIN", "CAP_BPF"],
            cap => &[cap],
        };
        let names: Vec<&str> = calls.split_whitespace().collect();
        rules.push(Syscall { excludes: Some(caps(also)), ..errno_entry(&names, EPERM, Form::Containers) });
    }
    let unaudited = || Some(caps(&["CAP_AUDIT_WRITE"]));
    let audit = || [(0, 16), (2, 9)];
    // A netlink socket to the audit system needs its capability, and says so with EINVAL, as it would without one.
    let both = audit().map(|(arg, value)| compare(arg, "SCMP_CMP_EQ", value, None)).to_vec();
    rules.push(Syscall {
        args: Some(both),
        excludes: unaudited(),
        ..errno_entry(&["socket"], EINVAL, Form::Containers)
    });
    for (arg, value) in audit() {
        let args = Some(vec![compare(arg, "SCMP_CMP_NE", value, None)]);
        rules.push(Syscall { args, excludes: unaudited(), ..allow("socket") });
    }
    rules.push(Syscall { includes: unaudited(), ..allow("socket") });
}

fn allow(calls: &str) -> Syscall {
    let names = calls.split_whitespace().map(str::to_owned).collect();
    Syscall { names: Some(names), action: "SCMP_ACT_ALLOW".into(), ..Syscall::default() }
}

fn caps(names: &[&str]) -> Condition {
    Condition { caps: Some(names.iter().map(|&name| name.to_owned()).collect()), ..Condition::default() }
}

fn compare(index: u32, op: &str, value: u64, value_two: Option<u64>) -> Arg {
    Arg { index, value, value_two, op: op.to_owned() }
}
