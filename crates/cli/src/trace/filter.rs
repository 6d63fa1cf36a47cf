//! The seccomp filter of a trace: what is wanted stops, everything else runs at full speed.

use std::collections::BTreeMap;

use tipstaff_abi::Sysno;
use tipstaff_abi::bpf::Insn;
use tipstaff_seccomp::{Action, Filter, Rule, Table};

use super::calls::{Calls, archs};

/// The data of our RET_TRACE. Another is from a filter of the program's own, newer than ours, and nobody's to answer.
pub const DATA: u16 = 0x7469;

/// RET_TRACE for these calls, on every architecture that the kernel may run; all others are allowed, unknown numbers too, since a trace
/// must not change what a program gets.
pub fn compile(calls: &Calls) -> Result<Vec<Insn>, String> {
    let action = |wanted| if wanted { Action::Trace(DATA) } else { Action::Allow };
    let tables = archs().iter().map(|&arch| {
        let mut table = Table {
            arch,
            rules: BTreeMap::new(),
            default: action(calls.contains_unlisted()),
            unknown: action(calls.contains_unlisted()),
        };
        for (number, _) in Sysno::all(arch) {
            let wanted = calls.contains(arch, number.0);
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
    use tipstaff_abi::bpf::SeccompData;
    use tipstaff_abi::{Arch, X32_BIT};

    use super::*;

    #[test]
    fn only_what_is_wanted_stops_on_every_architecture() {
        for (text, openat_stops) in [("openat", true), ("!openat", false), ("%file", true), ("none", false)] {
            let (calls, _) = Calls::parse("-e ", text).expect("a set");
            let program = compile(&calls).expect("a filter");
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
}
