//! Refusals of handlers, as the report wants them.

use tipstaff_abi::Arch;
use tipstaff_policy::lower::DeniedCall;

use crate::handler::Denied;

/// A call that a handler has refused; without an errno, the box is killed for it.
pub(super) fn refused(name: Option<&str>, number: u32, arch: Arch, handler: &str, errno: Option<u16>) -> DeniedCall {
    DeniedCall {
        syscall: name.map_or_else(|| format!("syscall {number}"), str::to_owned),
        arch: arch.name().to_owned(),
        rule: format!("handler {handler}"),
        kill: errno.is_none(),
        errno: errno.map_or(0, i32::from),
        allow_with: None,
    }
}

/// A call that a rule has refused.
pub(super) fn ruled(name: Option<&str>, number: u32, arch: Arch, denied: Denied) -> DeniedCall {
    let Denied { errno, rule, allow_with } = denied;
    DeniedCall { rule, allow_with, ..refused(name, number, arch, "", Some(errno)) }
}

/// An exec that has become another program than the one that a handler has looked at.
pub(super) fn another(arch: Option<Arch>) -> DeniedCall {
    DeniedCall {
        syscall: "execve".to_owned(),
        arch: arch.map_or("", |arch| arch.name()).to_owned(),
        rule: "the executed program is not the approved one".to_owned(),
        kill: true,
        errno: 0,
        allow_with: None,
    }
}
