//! `tipstaff profile`: profiles as documents.

use std::ffi::OsStr;

use tipstaff_oci_seccomp::compare::{Comparison, compare};
use tipstaff_oci_seccomp::libseccomp::Version;
use tipstaff_oci_seccomp::{lint, merge};

use crate::record::args::Format;
use crate::say;
use args::{Machine, Output, ProfileAction};
use source::{Loaded, Source, load};

pub mod args;
mod explain;
mod list;
pub mod output;
pub mod source;

/// Does it; the exit status.
pub fn call(action: &ProfileAction) -> u8 {
    match action {
        ProfileAction::List => Ok(list::list()),
        ProfileAction::Show { name } => list::show(name),
        ProfileAction::Check { name, libseccomp, machine } => check(name, *libseccomp, machine),
        ProfileAction::Diff { before, after, machine } => diff(before, after, machine),
        ProfileAction::Merge { names, output, machine } => merged(names, output, machine).map(|()| 0),
        ProfileAction::Convert { name, output, machine } => convert(name, output, machine).map(|()| 0),
        ProfileAction::Explain { call, profile, machine } => explain::call(call, profile, machine),
    }
    .unwrap_or_else(|message| {
        say::error(message);
        say::FAILED
    })
}

/// 1 when something is suspicious, or when it is no profile at all; what was not found is nobody's profile.
fn check(name: &OsStr, libseccomp: Option<Version>, machine: &Machine) -> Result<u8, String> {
    let loaded = match load(name, machine) {
        Ok(loaded) => loaded,
        Err(wrong) if wrong.unread => return Err(wrong.message),
        Err(wrong) => {
            say::error(wrong.message);
            return Ok(1);
        }
    };
    let findings = match &loaded.source {
        Source::Document(document) => {
            lint::document(document, &loaded.env(), libseccomp).map_err(|e| format!("{}: {e}", loaded.name))?
        }
        // The default base is a deny list, and dangerous calls are on it: nothing to say of it.
        Source::Profile(_) if loaded.is_over_default() => Vec::new(),
        Source::Profile(_) => lint::filter(&loaded.filter()?).map_err(|e| format!("{}: {e}", loaded.name))?,
    };
    for finding in &findings {
        println!("{}: {finding}", loaded.name);
    }
    if findings.is_empty() {
        println!("{}: ok", loaded.name);
    }
    Ok(u8::from(!findings.is_empty()))
}

fn diff(before: &OsStr, after: &OsStr, machine: &Machine) -> Result<u8, String> {
    let (before, after) = (load(before, machine)?, load(after, machine)?);
    let comparison = compare(&before.filter()?, &after.filter()?).map_err(|e| e.to_string())?;
    print(&comparison);
    Ok(u8::from(!comparison.is_empty()))
}

fn print(comparison: &Comparison) {
    for arch in &comparison.gained {
        println!("+ {}: an architecture that only the second has rules for", arch.name());
    }
    for arch in &comparison.lost {
        println!("- {}: an architecture that only the first has rules for", arch.name());
    }
    comparison.calls.iter().for_each(|difference| println!("{difference}"));
}

fn convert(name: &OsStr, output: &Output, machine: &Machine) -> Result<(), String> {
    let (format, target) = (output.form()?, output.open()?);
    let made = output::convert(&load(name, machine)?, format)?;
    output::write(&made, target.as_ref())
}

fn merged(names: &[std::ffi::OsString], output: &Output, machine: &Machine) -> Result<(), String> {
    let (format, target) = (output.form()?, output.open()?);
    let loaded = names.iter().map(|name| load(name, machine)).collect::<Result<Vec<Loaded>, _>>()?;
    let Some(first) = loaded.first() else { return Err("nothing to merge; name profiles".into()) };
    let documents: Option<Vec<_>> = loaded
        .iter()
        .map(|each| match &each.source {
            Source::Document(document) => Some(document.as_ref().clone()),
            Source::Profile(_) => None,
        })
        .collect();
    let form = match format {
        None | Some(Format::Oci) => Some(tipstaff_oci_seccomp::Form::Strict),
        Some(Format::Docker) => Some(tipstaff_oci_seccomp::Form::Docker),
        Some(Format::Containers) => Some(tipstaff_oci_seccomp::Form::Containers),
        Some(_) => None,
    };
    let made = match (documents, form) {
        // As documents, since they may name calls that no table here has.
        (Some(documents), Some(form)) => {
            let merged = merge::documents(&documents, &first.env(), form).map_err(|e| e.to_string())?;
            let mut made = output::of_document(merged.document, &first.env())?;
            made.warnings.splice(..0, merged.warnings);
            made
        }
        _ => {
            let filters = loaded.iter().map(Loaded::filter).collect::<Result<Vec<_>, _>>()?;
            let union = merge::union(&filters).map_err(|e| e.to_string())?;
            output::of_filter(&union, format.unwrap_or(Format::Oci), &first.env())?
        }
    };
    output::write(&made, target.as_ref())
}
