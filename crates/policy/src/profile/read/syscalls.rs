//! `[syscalls]`

use tipstaff_abi::{Arch, Sysno, errno, family};

use super::section::{Section, Span};
use crate::profile::{ArgCondition, Base, CompareOp, Error, Problem, RuleAction, SyscallRule, Syscalls, Width};
use crate::value::{ValueError, nearest, words};

pub(super) const KEYS: &[&str] = &["base", "allow", "deny", "errno", "kill", "log", "rule"];
const RULE_KEYS: &[&str] = &["names", "action", "errno", "args"];
const ARG_KEYS: &[&str] = &["index", "op", "value", "mask", "width"];

/// What `deny` answers.
const EPERM: i32 = errno::EPERM as i32;

words! {
    /// The actions of `[[syscalls.rule]]`.
    pub enum ActionWord {
        /// It is made.
        Allow = "allow",
        /// It is refused with EPERM.
        Deny = "deny",
        /// It is refused with the errno beside.
        Errno = "errno",
        /// The run ends.
        Kill = "kill",
        /// It is made and logged.
        Log = "log",
    }
}

pub(super) fn read(section: Section<'_>) -> Result<Syscalls, Error> {
    let mut plain = Plain { section: &section, seen: Vec::new(), rules: Vec::new() };
    plain.list(&section, "allow", RuleAction::Allow)?;
    plain.list(&section, "log", RuleAction::Log)?;
    plain.list(&section, "deny", RuleAction::Errno(EPERM))?;
    if let Some(table) = section.free("errno")? {
        for (span, name, _) in table.entries() {
            let number = errno_number(&section, span, name)?;
            plain.list(&table, name, RuleAction::Errno(number))?;
        }
    }
    plain.list(&section, "kill", RuleAction::Kill)?;
    let mut rules = plain.rules;
    for table in section.sections("rule", RULE_KEYS)? {
        rules.push(rule(&table)?);
    }
    Ok(Syscalls { base: base(&section)?, rules })
}

/// The lists without conditions, in which a call stands once.
struct Plain<'a, 'b> {
    section: &'b Section<'a>,
    seen: Vec<(String, String)>,
    rules: Vec<SyscallRule>,
}

impl Plain<'_, '_> {
    fn list(&mut self, section: &Section<'_>, key: &str, action: RuleAction) -> Result<(), Error> {
        let named = names(section, key)?;
        let list = section.full(key);
        for (span, name) in &named {
            match self.seen.iter().find(|(known, first)| known == name && *first != list) {
                Some((_, first)) => {
                    let (name, first) = (name.clone(), first.clone());
                    return Err(self.section.error(span.clone(), Problem::Contradiction { name, first, second: list }));
                }
                None => self.seen.push((name.clone(), list.clone())),
            }
        }
        let names: Vec<_> = named.into_iter().map(|(_, name)| name).collect();
        if !names.is_empty() {
            self.rules.push(SyscallRule { names, conditions: Vec::new(), action });
        }
        Ok(())
    }
}

/// The calls of a list; each exists.
fn names(section: &Section<'_>, key: &str) -> Result<Vec<(Span, String)>, Error> {
    let mut names = Vec::new();
    for item in section.items(key)?.unwrap_or_default() {
        let (span, name) = section.as_text(key, item)?;
        if !exists(name) {
            let problem = Problem::UnknownSyscall { name: name.to_owned(), nearest: near(name) };
            return Err(section.error(span, problem));
        }
        names.push((span, name.to_owned()));
    }
    Ok(names)
}

fn exists(name: &str) -> bool {
    match name.strip_prefix('%') {
        Some(family) => family::by_name(family).is_some(),
        None => Arch::ALL.into_iter().any(|arch| Sysno::by_name(arch, name).is_some()),
    }
}

fn near(name: &str) -> Option<String> {
    match name.strip_prefix('%') {
        Some(family) => {
            nearest(family, family::FAMILIES.iter().map(|family| family.name)).map(|near| format!("%{near}"))
        }
        None => nearest(name, Sysno::all(Arch::X86_64).map(|(_, name)| name)).map(str::to_owned),
    }
}

fn errno_number(section: &Section<'_>, span: Span, name: &str) -> Result<i32, Error> {
    errno::by_name(name).ok_or_else(|| {
        let nearest = nearest(name, errno::all().map(|(_, name, _)| name)).map(str::to_owned);
        section.error(span, Problem::UnknownErrno { name: name.to_owned(), nearest })
    })
}

/// A word or, with a `/` in it, a path.
fn base(section: &Section<'_>) -> Result<Option<Base>, Error> {
    let Some((span, text)) = section.text("base")? else { return Ok(None) };
    match text {
        "default" => Ok(Some(Base::Default)),
        "strict" => Ok(Some(Base::Strict)),
        "nothing" => Ok(Some(Base::Nothing)),
        _ if text.contains('/') || text.ends_with(".json") => Ok(section.path("base")?.map(Base::Oci)),
        _ => {
            let error = ValueError::UnknownWord {
                text: text.to_owned(),
                nearest: nearest(text, ["default", "strict", "nothing"]).map(str::to_owned),
                choices: vec!["default".into(), "strict".into(), "nothing".into(), "the path of an OCI profile".into()],
            };
            section.at("base", span, Err(error))
        }
    }
}

/// One `[[syscalls.rule]]`.
fn rule(table: &Section<'_>) -> Result<SyscallRule, Error> {
    let missing = |key| table.error_here(Problem::Missing { key: table.full(key) });
    let names: Vec<_> = names(table, "names")?.into_iter().map(|(_, name)| name).collect();
    if names.is_empty() {
        return Err(missing("names"));
    }
    let errno = table.text("errno")?;
    let action = match table.parsed("action")?.ok_or_else(|| missing("action"))? {
        ActionWord::Errno => {
            let (span, name) = errno.ok_or_else(|| missing("errno"))?;
            RuleAction::Errno(errno_number(table, span, name)?)
        }
        other => {
            if let Some((span, _)) = errno {
                let choices = vec!["errno".to_owned()];
                let error = ValueError::UnknownWord { text: other.to_string(), nearest: Some("errno".into()), choices };
                return table.at("action", span, Err(error));
            }
            match other {
                ActionWord::Allow => RuleAction::Allow,
                ActionWord::Kill => RuleAction::Kill,
                ActionWord::Log => RuleAction::Log,
                ActionWord::Deny | ActionWord::Errno => RuleAction::Errno(EPERM),
            }
        }
    };
    let conditions = table.sections("args", ARG_KEYS)?.iter().map(condition).collect::<Result<_, _>>()?;
    Ok(SyscallRule { names, conditions, action })
}

/// One entry of `args`.
fn condition(table: &Section<'_>) -> Result<ArgCondition, Error> {
    let missing = |key| table.error_here(Problem::Missing { key: table.full(key) });
    let width = match table.number("width", (32, 64), "32 to 64, and none between")? {
        None => None,
        Some(32) => Some(Width::W32),
        Some(64) => Some(Width::W64),
        Some(other) => {
            let span = table.get("width").map_or(0..0, |value| value.span());
            let problem = Problem::OutOfRange {
                key: table.full("width"),
                found: other.to_string(),
                range: "32 to 64, and none between",
            };
            return Err(table.error(span, problem));
        }
    };
    let index = table.number("index", (0, 5), "0 to 5")?.ok_or_else(|| missing("index"))?;
    let op = table.parsed("op")?.unwrap_or(CompareOp::Eq);
    let value = word(table, "value", width)?.ok_or_else(|| missing("value"))?;
    let mask = word(table, "mask", width)?;
    if mask.is_some() != (op == CompareOp::MaskedEq) {
        return Err(table.error_here(Problem::Mask));
    }
    Ok(ArgCondition { index: index as u8, op, value, mask: mask.unwrap_or(u64::MAX), width })
}

/// A word of the condition's width; a negative number is the word that C would make of it.
fn word(table: &Section<'_>, key: &'static str, width: Option<Width>) -> Result<Option<u64>, Error> {
    Ok(match width {
        Some(Width::W32) => {
            let range = (i128::from(i32::MIN), i128::from(u32::MAX));
            table.number(key, range, "-2147483648 to 4294967295")?.map(|number| u64::from(number as u32))
        }
        _ => {
            let range = (i128::from(i64::MIN), i128::from(u64::MAX));
            table.number(key, range, "-9223372036854775808 to 18446744073709551615")?.map(|number| number as u64)
        }
    })
}
