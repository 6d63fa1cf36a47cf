//! From what a program was seen to do to the smallest profile that lets it.
//!
//! Whoever recorded hands over [`Learned`]: calls by architecture and number, each with the arguments that were seen. [`Learned::document`] makes
//! an OCI document of it, and [`Learned::filter`] the same as a filter, which can say more: a document names calls, and a name counts on every
//! architecture that the document lists.
//!
//! # What a document says beyond the calls
//! - What is not in it is ENOSYS, so that C libraries fall back as they do on an older kernel. Old and dangerous calls are EPERM by name.
//! - Calls that the kernel makes on a program's behalf, or that its last moment needs, are always in ([`ALWAYS`]).
//! - An `int` argument is compared in its low half (MASKED_EQ), as the kernel does.
//! - No rule compares one argument twice: runc would make two rules of it, of which one is enough.
//! - With a floor nothing is allowed that the floor does not allow, for the same arguments. What the program needed more is listed.

use std::collections::{BTreeMap, BTreeSet};

use tipstaff_abi::{Arch, Sysno, errno};
use tipstaff_seccomp::{Action, Condition, Filter, Op, Rule, Table};

use crate::{
    Arg, Document, Env, Error, Form, Syscall, danger, evaluate,
    libseccomp::{self, Version},
    meaning::{Meaning, passes},
    region::{Bits, Cube, Region, TooMany},
};

/// Calls that every profile allows: an interrupted sleep is resumed by the kernel with `restart_syscall`, which the program never made; a handler
/// returns by `rt_sigreturn`; and a run that was ended by a signal has not shown how the program exits by itself.
pub const ALWAYS: [&str; 5] = ["restart_syscall", "rt_sigreturn", "sigreturn", "exit", "exit_group"];

/// What a program was seen to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The machine's own architecture.
    pub arch: Arch,
    /// The calls, each (architecture, number) once; the order does not matter.
    pub calls: Vec<LearnedCall>,
    /// Where all this comes from, for people: a line each. Forms that have comments carry it.
    pub about: Vec<String>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LearnedCall {
    /// The table that its number belongs to.
    pub arch: Arch,
    /// Its number; for x32 with its bit.
    pub nr: u32,
    /// With which arguments.
    pub arguments: Arguments,
    /// Why it is here, for people: "run 1, nginx, 3 times". May be empty.
    pub note: String,
}

/// The arguments that a call is allowed with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arguments {
    /// Any.
    Any,
    /// One of these combinations. A combination that says nothing of an argument leaves it free.
    Tuples(Vec<Vec<ArgIs>>),
}

/// What an argument was seen to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArgIs {
    /// Which, 0 to 5.
    pub index: u8,
    /// The bits that count: [`ArgIs::INT`] for an `int`.
    pub mask: u64,
    /// What these bits are.
    pub value: u64,
}

impl ArgIs {
    /// The bits that the kernel looks at in an `int` or `unsigned int`.
    pub const INT: u64 = u32::MAX as u64;

    /// An `int` with this value.
    #[must_use]
    pub const fn int(index: u8, value: u32) -> Self {
        Self { index, mask: Self::INT, value: value as u64 }
    }

    /// A word with this value.
    #[must_use]
    pub const fn word(index: u8, value: u64) -> Self {
        Self { index, mask: u64::MAX, value }
    }
}

/// How a document is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExportOptions<'a> {
    /// Whose dialect.
    pub form: Form,
    /// Never allow what this does not, for the same architecture, call and arguments.
    pub floor: Option<&'a Filter>,
    /// Warn of names that this release does not know; the runtimes leave them out silently.
    pub libseccomp: Option<Version>,
}

/// A document that was made, and what has to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The document. It has been compiled, so a runtime can, too.
    pub document: Document,
    /// What it means on the machine that it was made for.
    pub filter: Filter,
    /// What was seen and is not allowed because the floor does not allow it.
    pub beyond: Vec<Beyond>,
    /// What a reader should know: a line each.
    pub warnings: Vec<String>,
}

/// Something that a program needs and the floor refuses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Beyond {
    /// The call's architecture.
    pub arch: Arch,
    /// Its name, or "#nnn".
    pub name: String,
    /// What exactly: "whole", or the arguments.
    pub what: String,
}

impl std::fmt::Display for Beyond {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.arch.name(), self.name, self.what)
    }
}

impl LearnedCall {
    /// The call's name, or "#nnn" for a number that no table knows.
    #[must_use]
    pub fn name(&self) -> String {
        name(self.arch, self.nr)
    }

    /// Its arguments as a set.
    ///
    /// # Errors
    /// If an argument is none, or a value has bits that do not count.
    pub fn region(&self) -> Result<Region, Error> {
        let Arguments::Tuples(tuples) = &self.arguments else { return Ok(Region::all()) };
        let cubes = tuples.iter().map(|tuple| cube(tuple)).collect::<Option<Vec<_>>>();
        let wrong = || Error::value(self.name(), "arguments 0 to 5, each once, with values inside their masks");
        cubes.map(Region::of).ok_or_else(wrong)
    }
}

fn cube(tuple: &[ArgIs]) -> Option<Cube> {
    let mut cube = Cube::ALL;
    for &ArgIs { index, mask, value } in tuple {
        let bits = cube.0.get_mut(usize::from(index))?;
        if *bits != Bits::default() || value & !mask != 0 {
            return None;
        }
        *bits = Bits { mask, value };
    }
    Some(cube)
}

/// The name of a call, or "#nnn".
#[must_use]
pub fn name(arch: Arch, nr: u32) -> String {
    Sysno(nr).name(arch).map_or_else(|| format!("#{nr}"), str::to_owned)
}

impl Learned {
    /// The calls as a filter: exact for each architecture, unknown numbers too. What is not in it is ENOSYS; an architecture that was not seen
    /// is killed.
    ///
    /// # Errors
    /// If a call's arguments cannot be meant.
    pub fn filter(&self) -> Result<Filter, Error> {
        let absent = Action::Errno(errno::ENOSYS);
        let mut tables: Vec<Table> = Vec::new();
        for arch in self.arches() {
            let mut table = Table { arch, rules: BTreeMap::new(), default: absent, unknown: absent };
            for name in ALWAYS {
                if let Some(nr) = Sysno::by_name(arch, name) {
                    table.rules.insert(nr.0, vec![Rule::always(Action::Allow)]);
                }
            }
            for call in self.calls.iter().filter(|call| call.arch == arch) {
                let rules = table.rules.entry(call.nr).or_default();
                if !rules.iter().any(|rule| rule.conditions.is_empty()) {
                    let region = call.region()?;
                    rules.extend(
                        region.cubes().iter().map(|cube| Rule { conditions: cube.conditions(), action: Action::Allow }),
                    );
                }
            }
            tables.push(table);
        }
        Ok(Filter { tables, foreign: Action::KillProcess })
    }

    /// The machine's own architecture, then the others that were seen.
    fn arches(&self) -> Vec<Arch> {
        let others: BTreeSet<Arch> =
            self.calls.iter().map(|call| call.arch).filter(|&arch| arch != self.arch).collect();
        std::iter::once(self.arch).chain(others).collect()
    }

    /// The calls as an OCI document: the same bytes for the same calls, whatever their order.
    ///
    /// # Errors
    /// If a call's arguments cannot be meant, or if the result does not fit into a filter.
    pub fn document(&self, options: &ExportOptions<'_>) -> Result<Exported, Error> {
        let mut made = Making::default();
        for call in &self.calls {
            made.add(call, options.floor)?;
        }
        made.clone_in_place_of_clone3(self, options.floor)?;
        let arches = self.arches();
        for name in ALWAYS {
            if arches.iter().any(|&arch| Sysno::by_name(arch, name).is_some()) {
                made.names.insert(name.to_owned(), Region::all());
            }
        }
        if arches.len() > 1 {
            made.shared(self, &arches);
        }
        if let Some(version) = options.libseccomp {
            let unknown = made.names.keys().filter(|name| !version.knows(name));
            made.warnings.extend(unknown.map(|name| {
                let first = match libseccomp::first_with(name) {
                    Some(first) => format!("{first} is the first that does"),
                    None => "no release up to 2.6.0 does".to_owned(),
                };
                format!("{name}: libseccomp {version} does not know it, and a runtime with that leaves it out; {first}")
            }));
        }
        let document = made.document(self, &arches, options.form);
        let env = Env { arch: self.arch, kernel: (u32::MAX, 0), caps: &[], form: Some(options.form) };
        let filter = evaluate(&document, &env)?.filter;
        made.beyond.sort();
        made.beyond.dedup();
        Ok(Exported { document, filter, beyond: made.beyond, warnings: made.warnings })
    }
}

/// What will be a document.
#[derive(Default)]
struct Making {
    /// What is allowed, by name.
    names: BTreeMap<String, Region>,
    notes: BTreeMap<String, Vec<String>>,
    beyond: Vec<Beyond>,
    warnings: Vec<String>,
}

impl Making {
    fn add(&mut self, call: &LearnedCall, floor: Option<&Filter>) -> Result<(), Error> {
        let name = call.name();
        let mut region = call.region()?;
        if region.is_empty() {
            return Ok(());
        }
        if let Some(floor) = floor {
            region = self.above(call, &region, floor)?;
        }
        if region.is_empty() {
            return Ok(());
        }
        if name.starts_with('#') {
            self.warnings.push(format!(
                "{} {name}: a number without a name, which no document can say; it stays ENOSYS (raw BPF can allow it)",
                call.arch.name()
            ));
            return Ok(());
        }
        if !call.note.is_empty() {
            self.notes.entry(name.clone()).or_default().push(call.note.clone());
        }
        self.allow(name, &region)
    }

    fn allow(&mut self, name: String, region: &Region) -> Result<(), Error> {
        let there = self.names.entry(name.clone()).or_default();
        *there = there.join(region).map_err(|e| Error::value(name, e.to_string()))?;
        Ok(())
    }

    /// What of these arguments the floor allows. A combination that was seen, and that the floor refuses with all other bits zero, as programs pass them,
    /// is beyond it: nothing is left of it, not even the values with stray high bits that the floor's 64-bit comparison lets through.
    fn above(&mut self, call: &LearnedCall, region: &Region, floor: &Filter) -> Result<Region, Error> {
        let name = call.name();
        let wrong = |e: TooMany| Error::value(format!("the floor's {name}"), e.to_string());
        let floor = Meaning::of(floor, call.arch, call.nr).map_err(wrong)?;
        let missing = |what: String| Beyond { arch: call.arch, name: name.clone(), what };
        if !floor.passes_sometimes().map_err(wrong)? {
            // What falls back by itself is no need; see `clone_in_place_of_clone3`.
            if name != "clone3" {
                self.beyond.push(missing("refused whole by the floor".to_owned()));
            }
            return Ok(Region::none());
        }
        if floor.passes_always().map_err(wrong)? {
            return Ok(region.clone());
        }
        if region.is_all() {
            self.warnings.push(format!(
                "{} {name}: its arguments are not known; allowed as far as the floor allows it",
                call.arch.name()
            ));
            return floor.passing(&Cube::ALL).map_err(wrong);
        }
        let mut kept = Region::none();
        for cube in region.cubes() {
            if cube.usual().iter().any(|args| passes(floor.at(args))) {
                kept = kept.join(&floor.passing(cube).map_err(wrong)?).map_err(wrong)?;
            } else {
                self.beyond.push(missing(format!("the floor refuses {cube}")));
            }
        }
        Ok(kept)
    }

    /// The flags of clone3 are behind a pointer, where no filter looks: a floor that limits clone's flags refuses clone3 with ENOSYS, and C libraries
    /// fall back to clone. So that is allowed then, as far as the floor does.
    fn clone_in_place_of_clone3(&mut self, learned: &Learned, floor: Option<&Filter>) -> Result<(), Error> {
        let Some(floor) = floor else { return Ok(()) };
        for call in learned.calls.iter().filter(|call| call.name() == "clone3") {
            if self.names.contains_key("clone3") {
                continue;
            }
            let Some(clone) = Sysno::by_name(call.arch, "clone") else { continue };
            let wrong = |e: TooMany| Error::value("the floor's clone", e.to_string());
            let plain =
                Meaning::of(floor, call.arch, clone.0).and_then(|clone| clone.passing(&Cube::ALL)).map_err(wrong)?;
            if plain.is_empty() {
                self.beyond.push(Beyond {
                    arch: call.arch,
                    name: "clone3".into(),
                    what: "refused by the floor, and clone, too".into(),
                });
                continue;
            }
            self.warnings.push(
                "clone3: ENOSYS, as the floor has it; clone is allowed in its place, as far as the floor allows it"
                    .into(),
            );
            self.allow("clone".into(), &plain)?;
        }
        Ok(())
    }

    /// A document's names count on all its architectures: what that allows beyond what was seen.
    fn shared(&mut self, learned: &Learned, arches: &[Arch]) {
        for &arch in arches {
            let seen: BTreeSet<String> =
                learned.calls.iter().filter(|call| call.arch == arch).map(LearnedCall::name).collect();
            let more = |name: &&String| {
                !seen.contains(*name) && !ALWAYS.contains(&name.as_str()) && Sysno::by_name(arch, name).is_some()
            };
            let names: Vec<&str> = self.names.keys().filter(more).map(String::as_str).collect();
            if !names.is_empty() {
                self.warnings.push(format!(
                    "a name counts on every architecture: on {} this also allows {} (raw BPF keeps them apart)",
                    arch.name(),
                    names.join(", ")
                ));
            }
        }
    }

    fn document(&self, learned: &Learned, arches: &[Arch], form: Form) -> Document {
        let mut by_rule: BTreeMap<Vec<Key>, BTreeSet<&str>> = BTreeMap::new();
        for (name, region) in &self.names {
            for cube in region.cubes() {
                by_rule.entry(key(cube)).or_default().insert(name);
            }
        }
        let mut entries: Vec<(Vec<Key>, Vec<&str>)> =
            by_rule.into_iter().map(|(key, names)| (key, names.into_iter().collect())).collect();
        // Those without arguments first, then by the names that people look for.
        entries.sort_by(|(a, one), (b, two)| (!a.is_empty(), one, a).cmp(&(!b.is_empty(), two, b)));
        let mut syscalls: Vec<Syscall> = entries
            .into_iter()
            .map(|(args, names)| Syscall {
                comment: self.comment(learned, &args, &names, form),
                ..entry(&names, "SCMP_ACT_ALLOW", args.iter().map(arg).collect())
            })
            .collect();
        let refused = danger::refused_by_name().filter(|name| {
            !self.names.contains_key(*name) && arches.iter().any(|&arch| Sysno::by_name(arch, name).is_some())
        });
        let refused: BTreeSet<&str> = refused.collect();
        if !refused.is_empty() {
            let names: Vec<&str> = refused.into_iter().collect();
            syscalls.push(errno_entry(&names, errno::EPERM, form));
        }
        Document {
            default_action: "SCMP_ACT_ERRNO".into(),
            default_errno_ret: Some(errno::ENOSYS.into()),
            default_errno: (form == Form::Containers).then(|| "ENOSYS".into()),
            architectures: Some(arches.iter().map(|arch| arch.oci_name().to_owned()).collect()),
            syscalls: Some(syscalls),
            ..Document::default()
        }
    }

    fn comment(&self, learned: &Learned, args: &[Key], names: &[&str], form: Form) -> Option<String> {
        if form == Form::Strict {
            return None;
        }
        let lines: Vec<String> = if args.is_empty() {
            learned.about.clone()
        } else {
            names.iter().filter_map(|name| Some(format!("{name}: {}", self.notes.get(*name)?.join("; ")))).collect()
        };
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}

/// One condition, in an order for output.
type Key = (u8, u64, u64);

fn key(cube: &Cube) -> Vec<Key> {
    cube.0.iter().zip(0..).filter(|(bits, _)| bits.mask != 0).map(|(bits, arg)| (arg, bits.mask, bits.value)).collect()
}

fn arg(&(index, mask, value): &Key) -> Arg {
    let condition = match mask {
        u64::MAX => Condition::w64(index, Op::Eq, value),
        _ => Condition::w64(index, Op::MaskedEq(mask), value),
    };
    crate::write::arg(&condition)
}

fn entry(names: &[&str], action: &str, args: Vec<Arg>) -> Syscall {
    Syscall {
        names: Some(names.iter().map(|&name| name.to_owned()).collect()),
        action: action.to_owned(),
        args: (!args.is_empty()).then_some(args),
        ..Syscall::default()
    }
}

pub(crate) fn errno_entry(names: &[&str], number: u16, form: Form) -> Syscall {
    let by_name = errno::name(i32::from(number)).filter(|_| form == Form::Containers);
    Syscall {
        errno_ret: Some(number.into()),
        errno: by_name.map(str::to_owned),
        ..entry(names, "SCMP_ACT_ERRNO", Vec::new())
    }
}
