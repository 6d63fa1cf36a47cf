//! What is run, and what it is given.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// What is run, and what it is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments; never empty when it was parsed.
    pub argv: Option<Vec<OsString>>,
    /// Variables on top of the clean environment (PATH, HOME, TERM, LANG).
    pub env: BTreeMap<OsString, OsString>,
    /// Names of variables that are handed through, where they are set.
    pub pass_env: Vec<OsString>,
    /// Working directory; relative to the caller's.
    pub cwd: Option<PathBuf>,
    /// File that standard input comes from.
    pub stdin: Option<PathBuf>,
    /// File that standard output goes to.
    pub stdout: Option<PathBuf>,
    /// File that standard error goes to.
    pub stderr: Option<PathBuf>,
    /// User id inside the box.
    pub uid: Option<u32>,
    /// Group id inside the box.
    pub gid: Option<u32>,
    /// Give the program a terminal of its own.
    pub tty: Option<bool>,
}

impl Program {
    pub(super) fn merge(base: Self, over: Self) -> Self {
        // Whichever was said last counts: a value, or the caller's own.
        let mut env = base.env;
        env.retain(|name, _| !over.pass_env.contains(name));
        let mut pass_env = base.pass_env;
        pass_env.retain(|name| !over.env.contains_key(name));
        env.extend(over.env);
        Self {
            argv: over.argv.or(base.argv),
            env,
            pass_env: super::append(pass_env, over.pass_env),
            cwd: over.cwd.or(base.cwd),
            stdin: over.stdin.or(base.stdin),
            stdout: over.stdout.or(base.stdout),
            stderr: over.stderr.or(base.stderr),
            uid: over.uid.or(base.uid),
            gid: over.gid.or(base.gid),
            tty: over.tty.or(base.tty),
        }
    }
}
