//! Why a document does with a call what it does: which entries name it, which of them count here, which decides.

use tipstaff_abi::Sysno;
use tipstaff_seccomp as seccomp;

use crate::meaning::Meaning;
use crate::region::Plain;
use crate::{Condition, Document, Env, Error, Form, Syscall, evaluate, import};

/// Why a document does with a call what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// By architecture, its name and what happens. Architectures that do not have the call are left out.
    pub meanings: Vec<(&'static str, Meaning)>,
    /// The entries that name it, in the document's order.
    pub entries: Vec<Reason>,
    /// The default action, in words.
    pub default: String,
}

/// What one entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its place.
    pub place: String,
    /// What it says, in words.
    pub says: String,
    /// Why it does not count here; none if it does.
    pub idle: Option<String>,
    /// Its comment.
    pub comment: Option<String>,
}

/// Explains one call.
///
/// # Errors
/// If the document cannot be evaluated, or if no table knows the call and the document does not either.
pub fn explain(document: &Document, call: &str, env: &Env<'_>) -> Result<Explained, Error> {
    let filter = evaluate(document, env)?.filter;
    let form = env.form.unwrap_or_else(|| document.form());
    let mut meanings = Vec::new();
    for table in &filter.tables {
        if let Some(nr) = Sysno::by_name(table.arch, call) {
            let meaning = Meaning::of(&filter, table.arch, nr.0).map_err(|e| Error::value(call, e.to_string()))?;
            meanings.push((table.arch.name(), meaning));
        }
    }
    let mut entries = Vec::new();
    for (at, entry) in document.syscalls.iter().flatten().enumerate() {
        if !entry.names.iter().flatten().chain(&entry.name).any(|name| name == call) {
            continue;
        }
        let place = format!("syscalls[{at}]");
        let (_, action) = import::entry_action(entry, &place)?;
        let rules = import::alternatives(entry, &place)?;
        let said = |conditions: &Vec<seccomp::Condition>| {
            let words: Vec<String> = conditions.iter().map(|condition| Plain(condition).to_string()).collect();
            words.join(" and ")
        };
        let said: Vec<String> = rules.iter().map(said).collect();
        let says = if entry.args.as_ref().is_none_or(Vec::is_empty) {
            action.to_string()
        } else {
            format!("{action} if {}", said.join(" or "))
        };
        let idle = if import::counts(entry, &place, env, form)? { None } else { Some(why_not(entry, env, form)) };
        entries.push(Reason { place, says, idle, comment: entry.comment.clone().filter(|text| !text.is_empty()) });
    }
    if meanings.is_empty() && entries.is_empty() {
        let near = Sysno::nearest(env.arch, call).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        return Err(Error::value(call, format!("no table knows this call{near}")));
    }
    let default =
        if document.is_off(env) { "no filter".to_owned() } else { import::default_action(document)?.1.to_string() };
    Ok(Explained { meanings, entries, default })
}

/// What keeps an entry from counting.
fn why_not(entry: &Syscall, env: &Env<'_>, form: Form) -> String {
    let has = |cap: &&String| env.caps.contains(cap);
    let list = |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let part = |condition: &Option<Condition>| condition.clone().unwrap_or_default();
    let (includes, excludes) = (part(&entry.includes), part(&entry.excludes));
    let lacking: Vec<_> = includes.caps.iter().flatten().filter(|cap| !has(cap)).collect();
    if !lacking.is_empty() {
        return format!("needs {}", list(lacking));
    }
    let had: Vec<_> = excludes.caps.iter().flatten().filter(has).collect();
    if !had.is_empty() {
        return format!("not with {}", list(had));
    }
    let kernel = format!("{}.{}", env.kernel.0, env.kernel.1);
    match (includes.min_kernel, excludes.min_kernel) {
        (Some(least), _) if form != Form::Containers => format!("from Linux {least} on, and this is {kernel}"),
        (_, Some(least)) if form != Form::Containers => format!("before Linux {least}, and this is {kernel}"),
        _ => format!("not on {}", env.arch.engine_name()),
    }
}
