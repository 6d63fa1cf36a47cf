//! From a document to a filter, for one machine.

use std::collections::BTreeMap;

use tipstaff_abi::{Arch, Sysno, errno};
use tipstaff_seccomp::{self as seccomp, Action, Filter, Op, Rule, Table, Width};

use crate::{
    Arg, Document, Env, Error, Form, Syscall,
    region::Region,
    words::{self, Written, unknown},
};

/// A document, evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// What it means here.
    pub filter: Filter,
    /// Names that no architecture of the filter knows, in order, each once.
    pub ignored: Vec<String>,
    /// What was understood and has no effect here, in words: flags and listeners that the launcher chooses itself,
    /// architectures that this machine cannot run, rules that an unconditional one hides.
    pub notes: Vec<String>,
}

/// Reads JSON.
///
/// # Errors
/// With line, column and the member's path, and the nearest key if one was misspelt.
pub fn parse(json: &str) -> Result<Document, Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let document = serde_path_to_error::deserialize(&mut reader).map_err(|wrong| {
        let path = wrong.path().to_string();
        json_error(if path == "." { String::new() } else { path }, wrong.inner())
    })?;
    reader.end().map_err(|wrong| json_error(String::new(), &wrong))?;
    Ok(document)
}

fn json_error(path: String, wrong: &serde_json::Error) -> Error {
    let text = wrong.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    let message = nearest_key(&message).unwrap_or(message);
    Error::Json { line: wrong.line(), column: wrong.column(), path, message }
}

/// serde lists every key that it expected; the nearest is enough.
fn nearest_key(message: &str) -> Option<String> {
    let (found, expected) = message.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    let keys: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    Some(format!("unknown key `{found}`; {}", words::suggestion(found, &keys)))
}

/// Reads JSON and evaluates it.
///
/// # Errors
/// The first thing that is wrong, with its place and what to write instead.
pub fn import(json: &str, env: &Env<'_>) -> Result<Imported, Error> {
    evaluate(&parse(json)?, env)
}

/// Evaluates a document for one machine.
///
/// # Errors
/// The first thing that is wrong, with its place and what to write instead.
pub fn evaluate(document: &Document, env: &Env<'_>) -> Result<Imported, Error> {
    let mut notes = Vec::new();
    let default = if document.is_off(env) {
        notes.push("defaultAction: empty and without rules: the engines use no filter then".into());
        Action::Allow
    } else {
        default_action(document)?.1
    };
    for (at, flag) in document.flags.iter().flatten().enumerate() {
        let path = format!("flags[{at}]");
        if !words::FLAGS.contains(&flag.as_str()) {
            return Err(unknown(&path, "flag", flag, &words::FLAGS));
        }
        notes.push(format!("{path}: {flag} is for the launcher to decide"));
    }
    if document.listener_path.is_none() && document.listener_metadata.is_some() {
        return Err(Error::value("listenerMetadata", "needs a listenerPath"));
    }
    if document.listener_path.is_some() {
        notes.push("listenerPath: the supervisor listens itself".into());
    }
    let arches = arches(document, env, &mut notes)?;
    let form = env.form.unwrap_or_else(|| document.form());
    let mut rules = Vec::new();
    for (at, entry) in document.syscalls.iter().flatten().enumerate() {
        rules.extend(entry_rules(entry, &format!("syscalls[{at}]"), default, env, form)?);
    }
    let mut tables = Vec::new();
    for arch in arches {
        tables.push(table(arch, &rules, default, &mut notes));
    }
    let known = |name: &str| tables.iter().any(|table| Sysno::by_name(table.arch, name).is_some());
    let mut ignored: Vec<String> = Vec::new();
    for entry in document.syscalls.iter().flatten() {
        for name in entry.names.iter().flatten().chain(&entry.name) {
            if !known(name) && !ignored.contains(name) {
                ignored.push(name.clone());
            }
        }
    }
    let filter = Filter { tables, foreign: Action::KillProcess };
    // What cannot be compiled is refused now, where the document is at hand.
    filter.compile()?;
    Ok(Imported { filter, ignored, notes })
}

/// The errno of the default action, if it has one, and that action.
pub(crate) fn default_action(document: &Document) -> Result<(Option<u32>, Action), Error> {
    if document.default_action.is_empty() {
        return Err(Error::value(
            "defaultAction",
            "is missing: write what happens to a call without a rule, as SCMP_ACT_ERRNO",
        ));
    }
    written(&Written {
        place: "",
        keys: ["defaultAction", "defaultErrno"],
        action: &document.default_action,
        ret: document.default_errno_ret,
        name: document.default_errno.as_deref(),
    })
}

/// The same of an entry.
pub(crate) fn entry_action(entry: &Syscall, path: &str) -> Result<(Option<u32>, Action), Error> {
    written(&Written {
        place: &format!("{path}."),
        keys: ["action", "errno"],
        action: &entry.action,
        ret: entry.errno_ret,
        name: entry.errno.as_deref(),
    })
}

fn written(written: &Written<'_>) -> Result<(Option<u32>, Action), Error> {
    let action = words::action(written)?;
    let given = written.ret.is_some() || written.name.is_some_and(|name| !name.is_empty());
    let ret = match action {
        Action::Errno(data) | Action::Trace(data) if given => Some(data.into()),
        _ => None,
    };
    Ok((ret, action))
}

/// The machine's own architecture, and the listed ones that it can run.
fn arches(document: &Document, env: &Env<'_>, notes: &mut Vec<String>) -> Result<Vec<Arch>, Error> {
    let mut named: Vec<(String, &str)> = Vec::new();
    match (&document.architectures, &document.arch_map) {
        (Some(list), Some(map)) if !list.is_empty() && !map.is_empty() => {
            return Err(Error::value("archMap", "cannot stand beside architectures: remove one of them"));
        }
        (list, map) => {
            for (at, name) in list.iter().flatten().enumerate() {
                named.push((format!("architectures[{at}]"), name));
            }
            for (at, entry) in map.iter().flatten().enumerate() {
                let own = format!("archMap[{at}].architecture");
                let subs: Vec<_> = entry.sub_architectures.iter().flatten().enumerate().collect();
                for (path, name) in subs
                    .iter()
                    .map(|(sub, name)| (format!("archMap[{at}].subArchitectures[{sub}]"), name.as_str()))
                    .chain([(own, entry.architecture.as_str())])
                {
                    check_arch(&path, name)?;
                    // Only the machine's own entry counts, with what comes with it.
                    if is_native(&entry.architecture, env) {
                        named.push((path, name));
                    }
                }
            }
        }
    }
    let mut found = vec![env.arch];
    for (path, name) in named {
        check_arch(&path, name)?;
        match arch(name, env).filter(|arch| env.arch.with_compat().contains(arch)) {
            Some(arch) if found.contains(&arch) => {}
            Some(arch) => found.push(arch),
            None => notes.push(format!("{path}: {} cannot run {name}", env.arch.name())),
        }
    }
    Ok(found)
}

fn arch(name: &str, env: &Env<'_>) -> Option<Arch> {
    if name == "SCMP_ARCH_NATIVE" { Some(env.arch) } else { Arch::by_name(name) }
}

/// Whether an architecture's name is the machine's own.
pub(crate) fn is_native(name: &str, env: &Env<'_>) -> bool {
    arch(name, env) == Some(env.arch)
}

fn check_arch(path: &str, name: &str) -> Result<(), Error> {
    if words::ARCHES.contains(&name) { Ok(()) } else { Err(unknown(path, "architecture", name, &words::ARCHES)) }
}

/// One entry's rules with the name of the call that each is for; none if the entry does not count here.
fn entry_rules(
    entry: &Syscall,
    path: &str,
    default: Action,
    env: &Env<'_>,
    form: Form,
) -> Result<Vec<(String, Rule)>, Error> {
    let names: Vec<&String> = match (&entry.names, &entry.name) {
        (Some(names), Some(name)) if !names.is_empty() && !name.is_empty() => {
            return Err(Error::value(format!("{path}.name"), "cannot stand beside names: move it in there"));
        }
        (names, name) => names.iter().flatten().chain(name.iter().filter(|name| !name.is_empty())).collect(),
    };
    if names.is_empty() {
        return Err(Error::value(format!("{path}.names"), "at least one call is needed: name it or remove the entry"));
    }
    if let Some(at) = names.iter().position(|name| name.is_empty()) {
        return Err(Error::value(format!("{path}.names[{at}]"), "an empty name"));
    }
    let (_, action) = entry_action(entry, path)?;
    let alternatives = alternatives(entry, path)?;
    let counts = counts(entry, path, env, form)?;
    if !counts || action == default {
        return Ok(Vec::new());
    }
    let alternatives: Vec<Rule> = alternatives.into_iter().map(|conditions| Rule { conditions, action }).collect();
    let each = |name: &String| alternatives.iter().map(|rule| (name.clone(), rule.clone())).collect::<Vec<_>>();
    Ok(names.into_iter().flat_map(each).collect())
}

/// Whether an entry compares one argument twice.
pub(crate) fn repeats(entry: &Syscall) -> bool {
    let args = entry.args.as_deref().unwrap_or_default();
    args.iter().enumerate().any(|(at, one)| args[..at].iter().any(|two| one.index == two.index))
}

/// The conditions of an entry: one list of which all must hold, or several of which one must.
pub(crate) fn alternatives(entry: &Syscall, path: &str) -> Result<Vec<Vec<seccomp::Condition>>, Error> {
    let mut conditions = Vec::new();
    for (at, arg) in entry.args.iter().flatten().enumerate() {
        conditions.push(condition(arg, &format!("{path}.args[{at}]"))?);
    }
    // runc makes a rule of each, where one argument is compared twice.
    Ok(if repeats(entry) {
        conditions.into_iter().map(|condition| vec![condition]).collect()
    } else {
        vec![conditions]
    })
}

/// The arguments that an entry is for.
pub(crate) fn region(entry: &Syscall, path: &str) -> Result<Region, Error> {
    let wrong = |e: crate::region::TooMany| Error::value(path, e.to_string());
    let mut region = Region::none();
    for conditions in alternatives(entry, path)? {
        let one = Region::of_conditions(&conditions).map_err(wrong)?;
        region.add(&one).map_err(wrong)?;
    }
    Ok(region)
}

fn condition(arg: &Arg, path: &str) -> Result<seccomp::Condition, Error> {
    let index = u8::try_from(arg.index).ok().filter(|&index| index < 6);
    let index = index.ok_or_else(|| Error::value(format!("{path}.index"), "a call has arguments 0 to 5"))?;
    let (op, value) = match arg.op.as_str() {
        "SCMP_CMP_NE" => (Op::Ne, arg.value),
        "SCMP_CMP_LT" => (Op::Lt, arg.value),
        "SCMP_CMP_LE" => (Op::Le, arg.value),
        "SCMP_CMP_EQ" => (Op::Eq, arg.value),
        "SCMP_CMP_GE" => (Op::Ge, arg.value),
        "SCMP_CMP_GT" => (Op::Gt, arg.value),
        // Here `value` is the mask. libseccomp compares within the mask only, so bits outside do not count.
        "SCMP_CMP_MASKED_EQ" => (Op::MaskedEq(arg.value), arg.value_two.unwrap_or(0) & arg.value),
        other => return Err(unknown(&format!("{path}.op"), "operator", other, &words::OPS)),
    };
    Ok(seccomp::Condition { arg: index, width: Width::W64, op, value })
}

/// Whether an entry counts on this machine. Everything in it is checked either way.
pub(crate) fn counts(entry: &Syscall, path: &str, env: &Env<'_>, form: Form) -> Result<bool, Error> {
    let kernel = kernel_counts(entry, path, env)? || form == Form::Containers;
    let is_ours = |name: &String| name == env.arch.engine_name() || Arch::by_name(name) == Some(env.arch);
    let has = |cap: &String| env.caps.contains(cap);
    let excluded = entry.excludes.as_ref().is_some_and(|excludes| {
        excludes.arches.iter().flatten().any(is_ours) || excludes.caps.iter().flatten().any(has)
    });
    let included = entry.includes.as_ref().is_none_or(|includes| {
        let arches = includes.arches.as_deref().unwrap_or_default();
        (arches.is_empty() || arches.iter().any(is_ours)) && includes.caps.iter().flatten().all(has)
    });
    Ok(kernel && included && !excluded)
}

/// Whether the kernel is one that an entry is for.
pub(crate) fn kernel_counts(entry: &Syscall, path: &str, env: &Env<'_>) -> Result<bool, Error> {
    let least = |which: &str, condition: &Option<crate::Condition>| {
        let text =
            condition.as_ref().and_then(|condition| condition.min_kernel.as_deref()).filter(|text| !text.is_empty());
        text.map(|text| min_kernel(&format!("{path}.{which}.minKernel"), text)).transpose()
    };
    let newer = least("excludes", &entry.excludes)?.is_some_and(|min| env.kernel >= min);
    let older = least("includes", &entry.includes)?.is_some_and(|min| env.kernel < min);
    Ok(!newer && !older)
}

fn min_kernel(path: &str, text: &str) -> Result<(u32, u32), Error> {
    let parts = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parts
        .filter(|&version| version != (0, 0))
        .ok_or_else(|| Error::value(path, format!("`{text}` is no kernel version: write MAJOR.MINOR, as in \"4.8\"")))
}

fn table(arch: Arch, rules: &[(String, Rule)], default: Action, notes: &mut Vec<String>) -> Table {
    let mut by_call: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
    for (name, rule) in rules {
        if let Some(nr) = Sysno::by_name(arch, name) {
            by_call.entry(nr.0).or_default().push(rule.clone());
        }
    }
    for (&number, rules) in &mut by_call {
        let Some(whole) = rules.iter().position(|rule| rule.conditions.is_empty()) else { continue };
        let whole = rules.swap_remove(whole);
        if rules.iter().any(|rule| rule.action != whole.action) {
            let name = Sysno(number).name(arch).unwrap_or_default();
            notes.push(format!(
                "{} {name}: the entry without arguments ({}) hides the others",
                arch.name(),
                whole.action
            ));
        }
        *rules = vec![whole];
    }
    Table { arch, rules: by_call, default, unknown: Action::Errno(errno::ENOSYS) }
}
