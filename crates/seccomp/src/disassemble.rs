//! A program for people to read.

use std::fmt::Write as _;

use tipstaff_abi::{
    Arch, NO_CALL, Sysno, X32_BIT,
    bpf::{
        BPF_ADD, BPF_AND, BPF_DIV, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JSET, BPF_LSH, BPF_MUL, BPF_OR, BPF_RSH, BPF_SUB,
        BPF_XOR, Insn, SeccompData,
    },
};

use crate::{
    Action,
    check::{Kind, Operand, understand},
};

/// What is known when an instruction is reached: the offset of the word in A, and the audit architecture.
type Known = (Option<u32>, Option<u32>);

/// One line for each instruction: index, what it does, and what that means.
#[must_use]
pub fn disassemble(program: &[Insn]) -> String {
    let mut known: Vec<Option<Known>> = vec![None; program.len()];
    if let Some(first) = known.first_mut() {
        *first = Some((None, None));
    }
    let mut out = String::new();
    for (at, &insn) in program.iter().enumerate() {
        let now = known[at].unwrap_or_default();
        let kind = understand(at, insn).ok();
        let (text, comment) = line(at, insn, kind, now);
        let gap = if comment.is_empty() { "" } else { " ; " };
        let width = if comment.is_empty() { 0 } else { 32 };
        writeln!(out, "{at:5}: {text:width$}{gap}{comment}").expect("a String takes everything");
        follow(at, kind, now, &mut known);
    }
    out
}

/// Tells the instructions behind this one what is known there. Jumps go forward, so they are still to come.
fn follow(at: usize, kind: Option<Kind>, (word, arch): Known, known: &mut [Option<Known>]) {
    let mut tell = |skip: usize, (word, arch): Known| {
        if let Some(place) = known.get_mut(at + 1 + skip) {
            *place = Some(place.map_or((word, arch), |(w, a)| (w.filter(|_| w == word), a.filter(|_| a == arch))));
        }
    };
    match kind {
        Some(Kind::Load(offset)) => tell(0, (Some(offset), arch)),
        Some(Kind::Branch(test, operand, jt, jf)) => {
            let is_arch = word == Some(SeccompData::ARCH) && test == BPF_JEQ;
            let found = match operand {
                Operand::K(k) if is_arch => Some(k),
                _ => arch,
            };
            tell(jt.into(), (word, found));
            tell(jf.into(), (word, arch));
        }
        Some(Kind::Jump(by)) => tell(by as usize, (word, arch)),
        Some(Kind::Return(_) | Kind::ReturnA) | None => {}
        Some(Kind::Alu(..) | Kind::Negate | Kind::LoadImmediate(_) | Kind::LoadMemory(_) | Kind::Txa) => {
            tell(0, (None, arch))
        }
        Some(Kind::Store(_) | Kind::StoreX(_) | Kind::LoadX(_) | Kind::LoadXMemory(_) | Kind::Tax) => {
            tell(0, (word, arch))
        }
    }
}

fn line(at: usize, insn: Insn, kind: Option<Kind>, (word, arch): Known) -> (String, String) {
    let plain = |text: String| (text, String::new());
    match kind {
        None => plain(format!("?? code {:#x} k {:#x}", insn.code, insn.k)),
        Some(Kind::Load(offset)) => (format!("ld [{offset}]"), name(offset)),
        Some(Kind::Return(result)) => (format!("ret {result:#x}"), Action::from_raw(result).to_string()),
        Some(Kind::ReturnA) => plain("ret a".into()),
        Some(Kind::Jump(by)) => plain(format!("ja {}", at + 1 + by as usize)),
        Some(Kind::Branch(test, operand, jt, jf)) => {
            let (yes, no) = (at + 1 + usize::from(jt), at + 1 + usize::from(jf));
            (format!("{} {}, {yes}, {no}", test_name(test), value(operand)), meaning(test, operand, word, arch))
        }
        Some(Kind::LoadImmediate(k)) => plain(format!("ld #{k:#x}")),
        Some(Kind::LoadX(k)) => plain(format!("ldx #{k:#x}")),
        Some(Kind::LoadMemory(word)) => plain(format!("ld M[{word}]")),
        Some(Kind::LoadXMemory(word)) => plain(format!("ldx M[{word}]")),
        Some(Kind::Store(word)) => plain(format!("st M[{word}]")),
        Some(Kind::StoreX(word)) => plain(format!("stx M[{word}]")),
        Some(Kind::Alu(operation, operand)) => plain(format!("{} {}", alu_name(operation), value(operand))),
        Some(Kind::Negate) => plain("neg".into()),
        Some(Kind::Tax) => plain("tax".into()),
        Some(Kind::Txa) => plain("txa".into()),
    }
}

fn value(operand: Operand) -> String {
    match operand {
        Operand::K(k) => format!("#{k:#x}"),
        Operand::X => "x".into(),
    }
}

fn name(offset: u32) -> String {
    match offset {
        SeccompData::NR => "nr".into(),
        SeccompData::ARCH => "arch".into(),
        _ if offset < SeccompData::ARGS => if offset == SeccompData::IP { "ip.lo" } else { "ip.hi" }.into(),
        _ => {
            let arg = (offset - SeccompData::ARGS) / 8;
            let half = if offset.is_multiple_of(8) { "lo" } else { "hi" };
            format!("arg{arg}.{half}")
        }
    }
}

/// The comparison as a sentence, if it is known what is compared.
fn meaning(test: u16, operand: Operand, word: Option<u32>, arch: Option<u32>) -> String {
    let (Operand::K(k), Some(word)) = (operand, word) else { return String::new() };
    let sign = match test {
        BPF_JEQ => "==",
        BPF_JGT => ">",
        BPF_JGE => ">=",
        _ => "&",
    };
    let compared = match word {
        SeccompData::ARCH => {
            let known = Arch::ALL.into_iter().find(|arch| arch.audit_arch() == k);
            known.map_or_else(|| format!("{k:#x}"), |arch| arch.name().to_owned())
        }
        SeccompData::NR if k == X32_BIT => "x32".into(),
        SeccompData::NR if k >= NO_CALL => format!("{k:#x}"),
        SeccompData::NR => {
            let call = arch.and_then(|audit| Arch::of(audit, k)).and_then(|arch| Sysno(k).name(arch));
            call.map_or_else(|| k.to_string(), str::to_owned)
        }
        _ => format!("{k:#x}"),
    };
    format!("{} {sign} {compared}", name(word))
}

const fn test_name(test: u16) -> &'static str {
    match test {
        BPF_JEQ => "jeq",
        BPF_JGT => "jgt",
        BPF_JGE => "jge",
        BPF_JSET => "jset",
        _ => "j??",
    }
}

const fn alu_name(operation: u16) -> &'static str {
    match operation {
        BPF_ADD => "add",
        BPF_SUB => "sub",
        BPF_MUL => "mul",
        BPF_DIV => "div",
        BPF_OR => "or",
        BPF_AND => "and",
        BPF_LSH => "lsh",
        BPF_RSH => "rsh",
        BPF_XOR => "xor",
        _ => "alu??",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Condition, Filter, Op, Rule, Table};
    use std::collections::BTreeMap;

    #[test]
    fn names_architectures_calls_arguments_and_actions() {
        let rule = Rule { conditions: vec![Condition::w32(1, Op::Eq, 0x5412)], action: Action::Errno(1) };
        let table = Table {
            arch: Arch::X86_64,
            rules: BTreeMap::from([(16, vec![rule]), (59, vec![Rule::always(Action::Notify)])]),
            default: Action::Allow,
            unknown: Action::Errno(38),
        };
        let filter = Filter { tables: vec![table], foreign: Action::KillProcess };
        let text = disassemble(filter.compile().expect("small").insns());
        for part in [
            "; arch == x86_64",
            "; nr >= ioctl",
            "; nr == execve",
            "nr >= x32",
            "; arg1.lo == 0x5412",
            "; errno EPERM",
            "; kill process",
            "; notify",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(disassemble(&[]), "");
    }
}
