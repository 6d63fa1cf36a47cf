//! `[program]`

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::section::Section;
use crate::profile::{Error, Problem, Program};

pub(super) const KEYS: &[&str] = &["argv", "env", "pass_env", "cwd", "stdin", "stdout", "stderr", "uid", "gid", "tty"];

pub(super) fn read(section: Section<'_>) -> Result<Program, Error> {
    Ok(Program {
        argv: argv(&section)?,
        env: env(&section)?,
        pass_env: pass_env(&section)?,
        cwd: section.path("cwd")?,
        stdin: section.path("stdin")?,
        stdout: section.path("stdout")?,
        stderr: section.path("stderr")?,
        uid: id(&section, "uid")?,
        gid: id(&section, "gid")?,
        tty: section.flag("tty")?,
    })
}

/// The first must have a name; the rest may be empty, as arguments may.
fn argv(section: &Section<'_>) -> Result<Option<Vec<OsString>>, Error> {
    let Some(items) = section.items("argv")? else { return Ok(None) };
    let Some(&program) = items.first() else {
        let span = section.get("argv").map_or(0..0, |value| value.span());
        return Err(section.error(span, Problem::Empty { key: section.full("argv") }));
    };
    section.as_text("argv", program)?;
    let texts = items.into_iter().map(|item| section.as_any_text("argv", item).map(|(_, text)| text.into()));
    texts.collect::<Result<_, _>>().map(Some)
}

fn env(section: &Section<'_>) -> Result<BTreeMap<OsString, OsString>, Error> {
    let Some(table) = section.free("env")? else { return Ok(BTreeMap::new()) };
    let mut env = BTreeMap::new();
    for (span, name, value) in table.entries() {
        variable(section, span, name)?;
        env.insert(name.into(), table.as_any_text(name, value)?.1.into());
    }
    Ok(env)
}

fn pass_env(section: &Section<'_>) -> Result<Vec<OsString>, Error> {
    for (span, name) in section.texts("pass_env")?.unwrap_or_default() {
        variable(section, span, name)?;
    }
    section.os_texts("pass_env")
}

fn variable(section: &Section<'_>, span: super::section::Span, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(section.error(span, Problem::BadVariable { name: name.to_owned() }));
    }
    Ok(())
}

fn id(section: &Section<'_>, key: &'static str) -> Result<Option<u32>, Error> {
    // The last number means "no id" to the kernel.
    let range = (0, i128::from(u32::MAX) - 1);
    Ok(section.number(key, range, "0 to 4294967294")?.map(|id| id as u32))
}
