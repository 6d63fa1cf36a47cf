//! `[filesystem]`

use super::section::Section;
use crate::profile::filesystem::add;
use crate::profile::{Error, Filesystem, Mount, Problem};

pub(super) const KEYS: &[&str] = &[
    "read",
    "read_if_exists",
    "write",
    "write_if_exists",
    "exec",
    "exec_if_exists",
    "deny",
    "deny_if_exists",
    "protect",
    "protect_git",
    "root",
    "mounts",
    "tmp",
    "tmp_exec",
    "cwd",
    "replace",
];

const MOUNT_KEYS: &[&str] = &["source", "target", "read_only"];

pub(super) fn read(section: Section<'_>) -> Result<Filesystem, Error> {
    Ok(Filesystem {
        read: add(Vec::new(), section.allowed("read", "read_if_exists")?),
        write: add(Vec::new(), section.allowed("write", "write_if_exists")?),
        exec: add(Vec::new(), section.allowed("exec", "exec_if_exists")?),
        deny: add(Vec::new(), section.path_rules("deny", "deny_if_exists")?),
        protect: section.paths("protect")?,
        protect_git: section.flag("protect_git")?,
        root: section.path("root")?,
        mounts: section.sections("mounts", MOUNT_KEYS)?.iter().map(mount).collect::<Result<_, _>>()?,
        tmp: section.parsed("tmp")?,
        tmp_exec: section.flag("tmp_exec")?,
        cwd: section.parsed("cwd")?,
        replace: section.parsed_list("replace")?.unwrap_or_default(),
    })
}

fn mount(table: &Section<'_>) -> Result<Mount, Error> {
    let missing = |key| table.error_here(Problem::Missing { key: table.full(key) });
    let source = table.path("source")?.ok_or_else(|| missing("source"))?;
    let target = table.path("target")?.ok_or_else(|| missing("target"))?;
    if !target.is_absolute() {
        let span = table.get("target").map_or(0..0, |value| value.span());
        let path = target.to_string_lossy().into_owned();
        return Err(table.error(span, Problem::RelativePath { key: table.full("target"), path }));
    }
    Ok(Mount { source, target, read_only: table.flag("read_only")?.unwrap_or(true) })
}
