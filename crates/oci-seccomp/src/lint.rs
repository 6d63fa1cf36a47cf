//! What is suspicious in a profile that can be read.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use tipstaff_abi::{Arch, Sysno, nearest};
use tipstaff_seccomp::{Action, Filter};

use crate::libseccomp::{self, Version};
use crate::meaning::{Meaning, passes};
use crate::region::{Region, Steps, TooMany};
use crate::{Document, Env, Error, danger, evaluate, import};

/// Something suspicious.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where: a member of the document, or calls.
    pub place: String,
    /// What, and what to do about it.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// CLONE_NEWNS to CLONE_NEWNET.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// Everything suspicious in a document, for one machine.
///
/// # Errors
/// If the document cannot be evaluated: that is what [`evaluate`] says.
pub fn document(document: &Document, env: &Env<'_>, libseccomp: Option<Version>) -> Result<Vec<Finding>, Error> {
    let imported = evaluate(document, env)?;
    let mut found = Vec::new();
    entries(document, env, &mut found)?;
    names(document, &imported.ignored, libseccomp, &mut found);
    architectures(document, env, &mut found);
    found.extend(filter(&imported.filter)?);
    Ok(found)
}

/// Everything suspicious in what a filter allows.
///
/// # Errors
/// If a call's rules are too many to be looked at.
pub fn filter(filter: &Filter) -> Result<Vec<Finding>, Error> {
    let mut found = Vec::new();
    for table in &filter.tables {
        let arch = table.arch.name();
        if passes(table.default) {
            let what = format!(
                "what no rule names is allowed ({}): a deny list forgets what comes next; refuse by default",
                table.default
            );
            found.push(Finding { place: format!("{arch} default action"), what });
        }
        clones(filter, table.arch, &mut found)?;
        if table.arch == Arch::I386 {
            socketcall(filter, &mut found)?;
        }
    }
    let mut found = merged(found);
    dangerous(filter, &mut found)?;
    Ok(found)
}

/// The same finding on several architectures is one.
fn merged(found: Vec<Finding>) -> Vec<Finding> {
    let mut merged: Vec<(String, Vec<&str>, String)> = Vec::new();
    for Finding { place, what } in &found {
        let (arch, rest) = place.split_once(' ').unwrap_or(("", place));
        match merged.iter_mut().find(|(place, _, said)| place == rest && said == what) {
            Some((_, arches, _)) => arches.push(arch),
            None => merged.push((rest.to_owned(), vec![arch], what.clone())),
        }
    }
    let one = |(place, arches, what): (String, Vec<&str>, String)| Finding {
        place: format!("{} {place}", arches.join(",")),
        what,
    };
    merged.into_iter().map(one).collect()
}

/// What happens to a call: one action whatever its arguments are, or more. None where the architecture does not have it.
fn only(filter: &Filter, arch: Arch, name: &str) -> Result<Option<Option<Action>>, Error> {
    let Some(nr) = Sysno::by_name(arch, name) else { return Ok(None) };
    let only = Meaning::of(filter, arch, nr.0).and_then(|meaning| meaning.only());
    only.map(Some).map_err(|e| Error::value(name, e.to_string()))
}

/// Dangerous calls that are allowed, by the reason why they are.
fn dangerous(filter: &Filter, found: &mut Vec<Finding>) -> Result<(), Error> {
    let mut by_reason: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    // Of a deny list this would say again what its default action says.
    for table in filter.tables.iter().filter(|table| !passes(table.default)) {
        for name in danger::all() {
            let allowed = only(filter, table.arch, name)?.flatten().is_some_and(passes);
            let Some(why) = danger::why(name).filter(|_| allowed) else { continue };
            let (arches, names) = by_reason.entry(why).or_default();
            for (list, word) in [(arches, table.arch.name()), (names, name)] {
                if !list.contains(&word) {
                    list.push(word);
                }
            }
        }
    }
    for (why, (arches, names)) in by_reason {
        let what =
            format!("allowed with any arguments; {why}; take it out, or limit it to the arguments that are needed");
        found.push(Finding { place: format!("{} {}", arches.join(","), names.join(", ")), what });
    }
    Ok(())
}

fn clones(filter: &Filter, arch: Arch, found: &mut Vec<Finding>) -> Result<(), Error> {
    let (Some(clone), Some(clone3)) = (only(filter, arch, "clone")?, only(filter, arch, "clone3")?) else {
        return Ok(());
    };
    let place = format!("{} clone3", arch.name());
    let limited = clone.is_none();
    match clone3 {
        Some(action) if passes(action) && limited => {
            let what = "allowed, while the flags of clone are limited: its flags are behind a pointer, so the limit can be walked around; \
                        answer clone3 with ENOSYS (38), and C libraries fall back to clone";
            found.push(Finding { place, what: what.into() });
        }
        Some(Action::Errno(number)) if number != tipstaff_abi::errno::ENOSYS => {
            let what = format!(
                "refused with {}: C libraries fall back to clone on ENOSYS (38) only, and cannot make threads then",
                Action::Errno(number)
            );
            found.push(Finding { place, what });
        }
        _ => {}
    }
    if clone.is_some_and(passes) && !clone3.is_some_and(passes) {
        let what = format!(
            "allowed with any flags, so that namespaces can be made; allow it where arg0 & {NEW_NAMESPACES:#x} is 0"
        );
        found.push(Finding { place: format!("{} clone", arch.name()), what });
    }
    Ok(())
}

/// 32-bit x86 reaches sockets by socketcall, too, whose arguments are behind a pointer.
fn socketcall(filter: &Filter, found: &mut Vec<Finding>) -> Result<(), Error> {
    let (Some(socket), Some(call)) = (only(filter, Arch::I386, "socket")?, only(filter, Arch::I386, "socketcall")?)
    else {
        return Ok(());
    };
    if socket.is_none() && call.is_some_and(passes) {
        let what = "allowed, while socket is limited: it makes any socket, since its arguments are behind a pointer; take it out, or leave out SCMP_ARCH_X86";
        found.push(Finding { place: "i386 socketcall".into(), what: what.into() });
    }
    Ok(())
}

/// An entry that names a call: its place, its action, and for which arguments.
type Earlier = (usize, Action, Rc<Region>);

/// Entries that decide nothing.
fn entries(document: &Document, env: &Env<'_>, found: &mut Vec<Finding>) -> Result<(), Error> {
    if document.is_off(env) {
        return Ok(());
    }
    let form = env.form.unwrap_or_else(|| document.form());
    let (_, default) = import::default_action(document)?;
    // Those that count here, by name, as far as they go.
    let mut earlier: BTreeMap<&str, (Vec<Earlier>, Region)> = BTreeMap::new();
    let mut steps = Steps::new();
    let all: Vec<_> = document.syscalls.iter().flatten().enumerate().collect();
    // An entry without arguments hides those with, wherever it stands.
    let whole = |entry: &crate::Syscall| entry.args.as_ref().is_none_or(Vec::is_empty);
    let (plain, limited): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, entry)| whole(entry));
    for (at, entry) in plain.into_iter().chain(limited) {
        let path = format!("syscalls[{at}]");
        let (_, action) = import::entry_action(entry, &path)?;
        if !import::counts(entry, &path, env, form)? {
            continue;
        }
        if action == default {
            found.push(Finding {
                place: path,
                what: "has the default action, so runtimes leave it out; remove it".into(),
            });
            continue;
        }
        if import::repeats(entry) {
            let what = "compares one argument twice, which runtimes read as \"one of these\", not as \"all of these\"; write an entry for each";
            found.push(Finding { place: format!("{path}.args"), what: what.into() });
        }
        let region = Rc::new(import::region(entry, &path)?);
        let wrong = |e: TooMany| Error::value(&path, e.to_string());
        for name in entry.names.iter().flatten().chain(&entry.name) {
            let (before, others) = earlier.entry(name).or_default();
            let hidden = region.within(others, &mut steps).map_err(wrong)?;
            if hidden && !before.is_empty() {
                let says =
                    |(_, theirs, other): &&Earlier| *theirs == action && region.within(other, &mut steps) == Ok(true);
                let (first, how) = match before.iter().find(says) {
                    Some((first, ..)) => (*first, "says it already"),
                    None => (before[0].0, "decides first"),
                };
                let what = format!("{name} is never reached: syscalls[{first}] {how}; remove it here");
                found.push(Finding { place: path.clone(), what });
            } else {
                // What is never reached hides nothing that is not hidden without it.
                others.add(&region).map_err(wrong)?;
                before.push((at, action, Rc::clone(&region)));
            }
        }
    }
    Ok(())
}

/// Names that nobody here knows, and those that a runtime's library would drop.
fn names(document: &Document, ignored: &[String], libseccomp: Option<Version>, found: &mut Vec<Finding>) {
    for (at, entry) in document.syscalls.iter().flatten().enumerate() {
        for name in entry.names.iter().flatten().chain(&entry.name) {
            let place = format!("syscalls[{at}]");
            if ignored.contains(name)
                && !Arch::ALL.into_iter().any(|arch| Sysno::by_name(arch, name).is_some())
                && !is_foreign(name)
            {
                let known = Arch::ALL.into_iter().flat_map(|arch| Sysno::all(arch).map(|(_, name)| name));
                let near = nearest(name, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                found.push(Finding { place, what: format!("no table knows {name}{near}") });
            } else if let Some(version) = libseccomp.filter(|version| !version.knows(name) && !is_foreign(name)) {
                let first = libseccomp::first_with(name)
                    .map_or_else(|| "none up to 2.6.0".to_owned(), |first| first.to_string());
                let what = format!(
                    "libseccomp {version} does not know {name} and leaves it out; the first that does: {first}"
                );
                found.push(Finding { place, what });
            }
        }
    }
}

/// Calls of architectures without a table here, and libseccomp's own names, which the engines' profiles have.
fn is_foreign(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "multiplexer",
        "riscv_flush_icache",
        "riscv_hwprobe",
        "rtas",
        "spu_create",
        "spu_run",
        "subpage_prot",
        "swapcontext",
        "switch_endian",
        "syscall",
        "sys_debug_setcontext",
        "timerfd",
        "sync_file_range2",
        "cachectl",
    ];
    name.starts_with("s390_") || name.starts_with("sysmips") || NAMES.contains(&name)
}

fn architectures(document: &Document, env: &Env<'_>, found: &mut Vec<Finding>) {
    let own = env.arch.oci_name();
    match (&document.architectures, &document.arch_map) {
        (_, Some(map)) if !map.is_empty() && !map.iter().any(|entry| import::is_native(&entry.architecture, env)) => {
            let what = format!(
                "has no entry for {own}: there the engine lists no architecture, and programs of others are killed"
            );
            found.push(Finding { place: "archMap".into(), what });
        }
        (Some(list), _) if !list.is_empty() && !list.iter().any(|name| import::is_native(name, env)) => {
            let what =
                format!("does not list {own}; runtimes add it, so that the list says less than what holds; add it");
            found.push(Finding { place: "architectures".into(), what });
        }
        _ => {}
    }
}
