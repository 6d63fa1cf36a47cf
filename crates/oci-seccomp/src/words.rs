//! The words of the specification, and the nearest to a misspelt one.

use tipstaff_abi::{errno, nearest};
use tipstaff_seccomp::Action;

use crate::Error;

const ACTIONS: [&str; 9] = [
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

/// Architectures that the specification knows; most have no table here.
pub(crate) const ARCHES: [&str; 24] = [
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_NATIVE",
];

/// How an install is asked to behave; the launcher decides about all of these itself.
pub(crate) const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

pub(crate) const OPS: [&str; 7] =
    ["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"];

/// An action as it is written: three keys that belong together.
pub(crate) struct Written<'a> {
    /// The path of the object that they stand in, ending in a dot unless it is empty.
    pub place: &'a str,
    /// The keys: action, errno by name.
    pub keys: [&'a str; 2],
    pub action: &'a str,
    pub ret: Option<u32>,
    pub name: Option<&'a str>,
}

/// An action with its errno: the name wins over the number, and the specification's default is EPERM.
pub(crate) fn action(written: &Written<'_>) -> Result<Action, Error> {
    let &Written { place, keys: [key, errno_key], action, ret, name } = written;
    let path = &format!("{place}{key}");
    let takes_data = matches!(action, "SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE");
    let given = match name.filter(|name| !name.is_empty()) {
        Some(name) => Some(number(&format!("{place}{errno_key}"), name)?),
        None => ret,
    };
    // Engines write 0 or 1 beside other actions, so only a value that would be lost is refused.
    if let Some(value) = given.filter(|&value| !takes_data && value > 1) {
        return Err(Error::value(
            path,
            format!("errno {value} has no meaning for {action}: only ERRNO and TRACE return it"),
        ));
    }
    let data = u16::try_from(given.unwrap_or(1))
        .map_err(|_| Error::value(path, "an errno or trace value over 65535: use a smaller one"))?;
    Ok(match action {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_TRAP" => Action::Trap(0),
        "SCMP_ACT_ERRNO" if data > Action::MAX_ERRNO => {
            return Err(Error::value(path, format!("errno {data} is over {}", Action::MAX_ERRNO)));
        }
        "SCMP_ACT_ERRNO" => Action::Errno(data),
        "SCMP_ACT_TRACE" => Action::Trace(data),
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_NOTIFY" => Action::Notify,
        _ => return Err(unknown(path, "action", action, &ACTIONS)),
    })
}

fn number(path: &str, name: &str) -> Result<u32, Error> {
    let number = name.parse().ok().or_else(|| errno::by_name(name).map(i32::unsigned_abs));
    number.ok_or_else(|| {
        let names: Vec<_> = errno::all().map(|(_, name, _)| name).collect();
        unknown(path, "errno", name, &names)
    })
}

/// "unknown action `SCMP_ACT_ALOW`; did you mean `SCMP_ACT_ALLOW`?"
pub(crate) fn unknown(path: &str, what: &str, found: &str, known: &[&str]) -> Error {
    Error::value(path, format!("unknown {what} `{found}`; {}", suggestion(found, known)))
}

pub(crate) fn suggestion(found: &str, known: &[&str]) -> String {
    match nearest(found, known.iter().copied()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("known are {}", known.join(", ")),
    }
}
