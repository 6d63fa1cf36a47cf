//! From a filter to `[syscalls]`: what was recorded or read from elsewhere, as a profile.

use std::collections::BTreeMap;

use tipstaff_abi::{Arch, Sysno, errno};
use tipstaff_oci_seccomp::meaning::Meaning;
use tipstaff_oci_seccomp::region::Cube;
use tipstaff_seccomp::{Action, Filter};

use super::{ArgCondition, Base, CompareOp, RuleAction, SyscallRule, Syscalls, Width};

impl Syscalls {
    /// The calls of one architecture as an allow list over the base that allows nothing, with what the profile says otherwise than the filter: a line
    /// each.
    ///
    /// # Errors
    /// If the filter allows what no rule names, if it has no rules for the architecture, or if a call's rules are too many: with the cure.
    pub fn of_filter(filter: &Filter, arch: Arch) -> Result<(Self, Vec<String>), String> {
        let table = filter
            .table(arch)
            .ok_or_else(|| format!("no rules for {}: choose a profile that has some", arch.name()))?;
        let mut warnings = Vec::new();
        match table.default {
            Action::Errno(errno::ENOSYS) => {}
            Action::Allow | Action::Log => {
                let cure = "keep the file and name it: `syscalls.base = \"./profile.json\"`";
                return Err(format!("what no rule names is allowed, which a list of calls cannot say; {cure}"));
            }
            other => warnings.push(format!("what is not allowed is ENOSYS, and not {other}")),
        }
        let others: Vec<&str> =
            filter.tables.iter().filter(|other| other.arch != arch).map(|other| other.arch.name()).collect();
        if !others.is_empty() {
            warnings.push(format!(
                "a program that uses another architecture is killed: rules for {} are left out",
                others.join(", ")
            ));
        }
        let mut plain: BTreeMap<Action, Vec<String>> = BTreeMap::new();
        let mut limited: Vec<SyscallRule> = Vec::new();
        for &nr in table.rules.keys() {
            let Some(name) = Sysno(nr).name(arch) else {
                warnings.push(format!("#{nr}: a number without a name, which is left out"));
                continue;
            };
            let meaning = Meaning::of(filter, arch, nr).map_err(|e| format!("{name}: {e}"))?;
            if let Some(action) = meaning.only().map_err(|e| format!("{name}: {e}"))? {
                if action != table.default {
                    plain.entry(action).or_default().push(name.to_owned());
                }
                continue;
            }
            // Rules with conditions are asked before those without, and the last first.
            if meaning.rest() != table.default {
                plain.entry(meaning.rest()).or_default().push(name.to_owned());
            }
            for (cube, action) in meaning.rules().iter().rev() {
                let action = rule_action(*action).ok_or_else(|| cannot(name, *action))?;
                limited.push(SyscallRule { names: vec![name.to_owned()], conditions: conditions(cube), action });
            }
        }
        let mut rules = Vec::new();
        for (action, mut names) in plain {
            names.sort();
            let action = rule_action(action).ok_or_else(|| cannot(&names.join(", "), action))?;
            rules.push(SyscallRule { names, conditions: Vec::new(), action });
        }
        limited.sort_by(|one, two| one.names.cmp(&two.names));
        rules.extend(limited);
        Ok((Self { base: Some(Base::Nothing), rules }, warnings))
    }
}

fn cannot(name: &str, action: Action) -> String {
    format!("{name}: {action}, which no profile can say; allow it, refuse it with an errno or kill")
}

fn rule_action(action: Action) -> Option<RuleAction> {
    Some(match action {
        Action::Allow => RuleAction::Allow,
        Action::Log => RuleAction::Log,
        Action::Errno(number) => RuleAction::Errno(number.into()),
        Action::KillProcess | Action::KillThread => RuleAction::Kill,
        Action::Trace(_) | Action::Notify | Action::Trap(_) => return None,
    })
}

fn conditions(cube: &Cube) -> Vec<ArgCondition> {
    const LOW: u64 = u32::MAX as u64;
    let said = cube.0.iter().zip(0..).filter(|(bits, _)| bits.mask != 0);
    said.map(|(bits, index)| {
        let (op, mask, width) = match bits.mask {
            u64::MAX => (CompareOp::Eq, u64::MAX, Width::W64),
            LOW => (CompareOp::Eq, u64::MAX, Width::W32),
            mask if mask <= LOW => (CompareOp::MaskedEq, mask, Width::W32),
            mask => (CompareOp::MaskedEq, mask, Width::W64),
        };
        ArgCondition { index, op, value: bits.value, mask, width: Some(width) }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use tipstaff_abi::caps::KernelCaps;
    use tipstaff_oci_seccomp::compare::compare;
    use tipstaff_oci_seccomp::learn::{ArgIs, Arguments, Learned, LearnedCall};

    use super::*;
    use crate::lower::meaning;
    use crate::profile::Profile;

    fn learned() -> Filter {
        let call = |name, arguments| LearnedCall {
            arch: Arch::X86_64,
            nr: Sysno::by_name(Arch::X86_64, name).expect("a call").0,
            arguments,
            note: String::new(),
        };
        let socket = vec![vec![ArgIs::int(0, 1), ArgIs::int(1, 0x80001)], vec![ArgIs::int(0, 10)]];
        let calls = vec![
            call("read", Arguments::Any),
            call("socket", Arguments::Tuples(socket)),
            call("clone", Arguments::Tuples(vec![vec![ArgIs { index: 0, mask: 0x7e02_0000, value: 0 }]])),
            call("lseek", Arguments::Tuples(vec![vec![ArgIs::word(1, 1 << 40)]])),
        ];
        Learned { arch: Arch::X86_64, calls, about: Vec::new() }.filter().expect("good")
    }

    #[test]
    fn what_is_written_means_what_was_recorded() {
        let filter = learned();
        let (syscalls, warnings) = Syscalls::of_filter(&filter, Arch::X86_64).expect("can be said");
        assert_eq!(warnings, [""; 0]);
        let text = Profile { syscalls, ..Profile::default() }.to_toml().expect("writes");
        let loader = crate::profile::Loader::default();
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("p.toml");
        std::fs::write(&path, &text).expect("written");
        let again = loader.load(&path).expect(&text);
        let found = meaning(&again, &KernelCaps::full(), &|_| Err("no files".into())).expect("good");
        let differences = compare(&filter, &found).expect("few");
        assert!(differences.is_empty(), "{differences:?}\n{text}");
        // The control: another rule is a difference.
        let wider = text.replace("\"read\"", "\"write\"");
        std::fs::write(&path, wider).expect("written");
        let other = meaning(&loader.load(&path).expect("good"), &KernelCaps::full(), &|_| Err("no files".into()))
            .expect("good");
        assert_eq!(compare(&filter, &other).expect("few").calls.len(), 2);
    }

    #[test]
    fn what_a_list_cannot_say_is_refused_with_the_cure() {
        let mut filter = learned();
        filter.tables[0].default = Action::Allow;
        let said = Syscalls::of_filter(&filter, Arch::X86_64).expect_err("a deny list");
        assert!(said.contains("syscalls.base = "), "{said}");
        filter.tables[0].default = Action::Errno(1);
        let (_, warnings) = Syscalls::of_filter(&filter, Arch::X86_64).expect("can be said");
        assert_eq!(warnings, ["what is not allowed is ENOSYS, and not errno EPERM"]);
    }
}
