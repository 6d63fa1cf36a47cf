//! A filter as lines of a systemd unit: systemd.exec(5).
//!
//! A unit names calls; it has no arguments, no errno for each call on an allow list, and the same names for every architecture.

use std::collections::BTreeSet;

use tipstaff_abi::{Arch, Sysno, errno};
use tipstaff_seccomp::{Action, Filter};

use crate::Error;
use crate::meaning::{Meaning, passes};

/// What systemd adds to every list of what is allowed (its group `@default`), whether the unit names it or not. As of systemd 257; older ones add less.
#[rustfmt::skip]
const ALWAYS: &str = "\
    arch_prctl brk cacheflush clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 execve exit exit_group \
    futex futex_time64 futex_waitv get_robust_list get_thread_area getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp \
    getpid getppid getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getsid gettid gettimeofday getuid getuid32 membarrier mmap mmap2 mprotect \
    munmap nanosleep pause prlimit64 restart_syscall rseq rt_sigreturn sched_getaffinity sched_yield set_robust_list set_thread_area set_tid_address set_tls \
    sigreturn time ugetrlimit";

/// How long a line becomes.
const WIDTH: usize = 100;

/// Lines of a unit, and what they cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The lines, as they stand in `[Service]`.
    pub text: String,
    /// What the unit does otherwise than the filter: a line each.
    pub warnings: Vec<String>,
}

/// A filter as lines of a unit.
///
/// # Errors
/// If a call's rules are too many, or if the default action is one that no unit can have.
pub fn unit(filter: &Filter) -> Result<Unit, Error> {
    let Some(native) = filter.tables.first() else {
        return Err(Error::value("architectures", "the filter has rules for none"));
    };
    let mut warnings = Vec::new();
    let allow_list = !passes(native.default);
    let mut names: BTreeSet<&'static str> = BTreeSet::new();
    let mut weaker: BTreeSet<&'static str> = BTreeSet::new();
    let mut refusals: BTreeSet<Action> = BTreeSet::new();
    let (mut logged, mut otherwise): (BTreeSet<&'static str>, BTreeSet<&'static str>) = Default::default();
    for table in &filter.tables {
        for (nr, name) in Sysno::all(table.arch) {
            let wrong = |e: crate::region::TooMany| Error::value(name, e.to_string());
            let actions = Meaning::of(filter, table.arch, nr.0).and_then(|meaning| meaning.actions()).map_err(wrong)?;
            let (some, all) = (actions.iter().copied().any(passes), actions.iter().copied().all(passes));
            if !all && some {
                weaker.insert(name);
            }
            if actions.contains(&Action::Log) {
                logged.insert(name);
            }
            if allow_list && !some && actions.iter().any(|action| *action != native.default) {
                otherwise.insert(name);
            }
            if allow_list == some {
                names.insert(name);
            }
            if !allow_list {
                refusals.extend(actions.first().copied().filter(|_| !some));
            }
        }
    }
    // On a deny list a call that is refused for some arguments only cannot be named.
    if !allow_list {
        names.retain(|name| !weaker.contains(name));
    }
    if !weaker.is_empty() {
        let list: Vec<&str> = weaker.into_iter().collect();
        warnings.push(format!("a unit has no arguments: allowed with any are {}", list.join(", ")));
    }
    let list = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(", ");
    if !logged.is_empty() {
        warnings.push(format!("a unit logs nothing that it allows: allowed without a word are {}", list(&logged)));
    }
    if !otherwise.is_empty() {
        let how = native.default;
        warnings
            .push(format!("a unit answers all that it does not allow with {how}: so it does to {}", list(&otherwise)));
    }
    if allow_list {
        let known = |name: &&str| filter.tables.iter().any(|table| Sysno::by_name(table.arch, name).is_some());
        let added =
            ALWAYS.split_whitespace().filter(known).filter(|name| !names.contains(name)).collect::<BTreeSet<_>>();
        if !added.is_empty() {
            warnings.push(format!("systemd allows by itself, in every unit, {}", list(&added)));
        }
    }
    let refusal = if allow_list { native.default } else { refusals.pop_first().unwrap_or(Action::Errno(errno::EPERM)) };
    if !refusals.is_empty() {
        warnings.push(format!("a unit has one errno: all that is refused gets {refusal}"));
    }
    if allow_list && names.is_empty() {
        let what = "it allows nothing, and a unit with an empty SystemCallFilter= has no filter at all; allow a call, exit_group for one";
        return Err(Error::value("syscalls", what));
    }
    let mut text = String::new();
    if allow_list || !names.is_empty() {
        wrap(&mut text, "SystemCallFilter=", if allow_list { "" } else { "~" }, &names);
    }
    match refusal {
        Action::Errno(number) => {
            let word = errno::name(number.into()).map_or_else(|| number.to_string(), str::to_owned);
            text.push_str(&format!("SystemCallErrorNumber={word}\n"));
        }
        // Without a number the process is killed.
        Action::KillProcess => {}
        Action::KillThread => warnings.push("what is refused kills the process, not the thread".into()),
        other => {
            return Err(Error::value(
                "defaultAction",
                format!("{other}, which no unit can say; write an errno or a kill"),
            ));
        }
    }
    let arches: Vec<&str> = filter.tables.iter().map(|table| systemd_name(table.arch)).collect();
    text.push_str(&format!("SystemCallArchitectures={}\n", arches.join(" ")));
    Ok(Unit { text, warnings })
}

/// Several lines of one setting add up; each begins with the setting's name again.
fn wrap(text: &mut String, key: &str, sign: &str, names: &BTreeSet<&str>) {
    let mut line = String::new();
    for name in names {
        if !line.is_empty() && key.len() + sign.len() + line.len() + 1 + name.len() > WIDTH {
            text.push_str(&format!("{key}{sign}{line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(name);
    }
    text.push_str(&format!("{key}{sign}{line}\n"));
}

const fn systemd_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86-64",
        Arch::I386 => "x86",
        Arch::X32 => "x32",
        Arch::Aarch64 => "arm64",
        _ => "arm",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Env, import};

    fn of(json: &str) -> Result<Unit, String> {
        let env = Env { arch: Arch::X86_64, kernel: (6, 18), caps: &[], form: None };
        unit(&import(json, &env).expect("a profile").filter).map_err(|e| e.to_string())
    }

    #[test]
    fn what_a_unit_does_otherwise_is_told() {
        let made = of(r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"syscalls":[
            {"names":["read"],"action":"SCMP_ACT_ALLOW"},{"names":["write"],"action":"SCMP_ACT_LOG"},
            {"names":["mount"],"action":"SCMP_ACT_ERRNO","errnoRet":1},{"names":["bpf"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#)
        .expect("a unit");
        assert!(made.text.starts_with("SystemCallFilter=read write\nSystemCallErrorNumber=ENOSYS\n"), "{}", made.text);
        assert_eq!(made.warnings[0], "a unit logs nothing that it allows: allowed without a word are write");
        assert_eq!(
            made.warnings[1],
            "a unit answers all that it does not allow with errno ENOSYS: so it does to bpf, mount"
        );
        assert!(made.warnings[2].starts_with("systemd allows by itself, in every unit, arch_prctl, brk, "), "{made:?}");
        let names: Vec<String> = ALWAYS.split_whitespace().map(|name| format!("{name:?}")).collect();
        let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":[NAMES],"action":"SCMP_ACT_ALLOW"}]}"#;
        assert_eq!(of(&json.replace("NAMES", &names.join(","))).expect("a unit").warnings, [""; 0]);
    }

    #[test]
    fn an_empty_list_is_no_list() {
        // SystemCallFilter= without a name takes all filters away.
        assert!(of(r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#).expect_err("nothing allowed").contains("no filter at all"));
        assert_eq!(
            of(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#).expect("a unit").text,
            "SystemCallErrorNumber=EPERM\nSystemCallArchitectures=x86-64\n"
        );
    }
}
