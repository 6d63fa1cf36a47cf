//! The seccomp filter of a trace: what is wanted stops, everything else runs at full speed.

use std::collections::BTreeMap;

use tipstaff::policy::lower::{Ask, mediated, untraced};
use tipstaff_abi::bpf::Insn;
use tipstaff_abi::{Arch, Sysno};
use tipstaff_seccomp::{Action, Filter, Rule, Table};

use super::calls::{Calls, archs};

/// The data of our RET_TRACE. Another is from a filter of the program's own, newer than ours. A trace within a trace is under more filters than that, so
/// each knows its own stops.
pub fn data() -> u16 {
    0x7469_u16.wrapping_add(tipstaff_sys::seccomp::filters())
}

/// RET_TRACE for these calls, and for what guests' own tracers make ([`mediated`]), on every architecture that the kernel may run; all others are allowed, unknown numbers too, since a trace
/// must not change what a program gets.
pub fn compile(calls: &Calls, data: u16) -> Result<Vec<Insn>, String> {
    let action = |wanted| if wanted { Action::Trace(data) } else { Action::Allow };
    let asks: Vec<Ask> = mediated(false).into_iter().chain([untraced()]).collect();
    let tables = archs().iter().map(|&arch| {
        let mut table = Table {
            arch,
            rules: BTreeMap::new(),
            default: action(calls.contains_unlisted()),
            unknown: action(calls.contains_unlisted()),
        };
        for (number, _) in Sysno::all(arch) {
            let wanted = calls.contains(arch, number.0);
            if !wanted && Some(arch) == Arch::native() {
                for ask in asks.iter().filter(|ask| Some(ask.call) == number.name(arch)) {
                    table.push(number, Rule { conditions: ask.conditions.clone(), action: action(true) });
                }
            }
            if wanted != calls.contains_unlisted() {
                table.push(number, Rule::always(action(wanted)));
            }
        }
        table
    });
    let filter = Filter { tables: tables.collect(), foreign: action(calls.contains_unlisted()) };
    filter.compile().map(|program| program.insns().to_vec()).map_err(|e| format!("the filter: {e}"))
}

#[cfg(test)]
mod tests {
    use tipstaff_abi::X32_BIT;
    use tipstaff_abi::bpf::SeccompData;

    use super::*;

    const DATA: u16 = 7;

    #[test]
    fn only_what_is_wanted_stops_on_every_architecture() {
        for (text, openat_stops) in [("openat", true), ("!openat", false), ("%file", true), ("none", false)] {
            let (calls, _) = Calls::parse("-e ", text).expect("a set");
            let program = compile(&calls, DATA).expect("a filter");
            for (arch, number, openat) in [
                (Arch::X86_64, 257, true),
                (Arch::I386, 295, true),
                (Arch::X32, 257 | X32_BIT, true),
                (Arch::X86_64, 0, false),
            ] {
                let mut data = SeccompData { arch: arch.audit_arch(), ..SeccompData::default() };
                data.nr = number.cast_signed();
                let wanted = if openat { openat_stops } else { text == "!openat" };
                let got = Action::from_raw(tipstaff_seccomp::run(&program, &data).expect("a result"));
                assert_eq!(got, if wanted { Action::Trace(DATA) } else { Action::Allow }, "{text} {arch:?} {number}");
            }
        }
    }

    #[test]
    fn what_guests_trace_with_stops_and_little_else() {
        let (calls, _) = Calls::parse("-e ", "execve").expect("a set");
        let program = compile(&calls, DATA).expect("a filter");
        for (name, first, stops) in [
            ("ptrace", 0, true),
            ("wait4", 0, true),
            ("rt_sigaction", 17, true),
            ("rt_sigaction", 2, false),
            ("clone", 0x0080_0000, true),
            ("clone", 0x0003_d0f00, false),
            ("openat", 0, false),
        ] {
            let number = Sysno::by_name(Arch::X86_64, name).expect("a call").0.cast_signed();
            let args = [first, 0, 0, 0, 0, 0];
            let data = SeccompData { arch: Arch::X86_64.audit_arch(), nr: number, args, ..SeccompData::default() };
            let got = Action::from_raw(tipstaff_seccomp::run(&program, &data).expect("a result"));
            assert_eq!(got, if stops { Action::Trace(DATA) } else { Action::Allow }, "{name} {first:#x}");
        }
    }
}
