//! One run of a program: what is watched, and its client beside it.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use super::guests::Guests;
use super::program::Program;
use super::wait;

/// A run takes seconds; postgresql under strace some more.
const LIMIT: Duration = Duration::from_secs(180);

/// What every script has besides its own functions.
const PRELUDE: &str = r#"
await_port() { i=0; until (exec 3<>/dev/tcp/127.0.0.1/$PORT) 2>/dev/null; do i=$((i + 1)); [ $i -lt 1200 ] || exit 1; sleep 0.05; done; }
"$@"
"#;

/// Runs of one program.
pub struct Scripts<'a> {
    /// Where everything is.
    pub dir: &'a Path,
    /// Which program.
    pub program: &'a Program,
    /// What no package has.
    pub guests: &'a Guests,
}

/// A run that has been prepared.
pub struct Prepared {
    /// Its working directory.
    pub dir: PathBuf,
    /// What is watched: the program and its arguments.
    pub words: Vec<OsString>,
    port: String,
    script: PathBuf,
    user: Vec<OsString>,
    guests: PathBuf,
}

impl Scripts<'_> {
    /// Makes a directory of its own for a run.
    pub fn prepare(&self, run: &str) -> anyhow::Result<Prepared> {
        let dir = tempfile::Builder::new().prefix(&format!("run-{run}-")).tempdir_in(self.dir)?.keep();
        super::open_to_all(&dir)?;
        let script = self.dir.join(format!("{}.sh", self.program.name));
        std::fs::write(&script, format!("{}{PRELUDE}", self.program.script))?;
        let mut user: Vec<OsString> = Vec::new();
        if let Some(name) = self.program.user {
            let status = Command::new("chown").arg(name).arg(&dir).status()?;
            anyhow::ensure!(status.success(), "there is no user {name}");
            let words = ["setpriv", "--reuid", name, "--regid", name, "--clear-groups", "--"];
            user = words.map(OsString::from).to_vec();
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let mut words = user.clone();
        words.extend(["/bin/sh".into(), script.clone().into(), "main".into(), run.into()]);
        Ok(Prepared { dir, words, port, script, user, guests: self.guests.dir.clone() })
    }

    /// Makes a run to its end, watched by the words that stand before it.
    pub fn run(&self, run: &str, before: &[OsString]) -> anyhow::Result<()> {
        let prepared = self.prepare(run)?;
        let words = [before, &prepared.words].concat();
        let child = prepared.command(&words).stdin(Stdio::null()).spawn()?;
        self.finish(run, &prepared, child).with_context(|| format!("run {run}"))
    }

    /// Drives a program that has been started, and waits for its end. Both must end well.
    pub fn finish(&self, run: &str, prepared: &Prepared, mut child: Child) -> anyhow::Result<()> {
        let driven = if self.program.is_driven() { prepared.drive(run) } else { Ok(()) };
        if driven.is_err() {
            // A server whose client has failed is told to end by nobody else.
            end_all_in(&prepared.dir);
        }
        let ended = wait(&mut child, LIMIT);
        if ended.is_err() {
            end_all_in(&prepared.dir);
        }
        driven?;
        let status = ended?;
        if !status.success() {
            let text = std::fs::read(prepared.dir.join("stderr")).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            bail!("{status}: {}", text.lines().last().unwrap_or_default());
        }
        Ok(())
    }
}

impl Prepared {
    /// A command in the run's directory and environment; what it says is kept there.
    pub fn command(&self, words: &[OsString]) -> Command {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&self.dir).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("PORT", &self.port).env("GUESTS", &self.guests);
        command.env("LANG", "C.UTF-8");
        for (name, to) in [
            ("stdout", Command::stdout as fn(&mut Command, std::fs::File) -> &mut Command),
            ("stderr", Command::stderr),
        ] {
            if let Ok(file) = std::fs::File::create(self.dir.join(name)) {
                to(&mut command, file);
            }
        }
        command
    }

    fn drive(&self, run: &str) -> anyhow::Result<()> {
        let mut words = self.user.clone();
        words.extend(["/bin/bash".into(), "-e".into(), self.script.clone().into(), "drive".into(), run.into()]);
        let mut command = self.command(&words);
        let (out, err) = (self.dir.join("client-stdout"), self.dir.join("client-stderr"));
        command.stdin(Stdio::null()).stdout(std::fs::File::create(&out)?).stderr(std::fs::File::create(&err)?);
        let status = wait(&mut command.spawn()?, LIMIT)?;
        let text = std::fs::read_to_string(&err).unwrap_or_default();
        anyhow::ensure!(
            status.success(),
            "its client ended with {status}: {}",
            text.lines().last().unwrap_or_default()
        );
        Ok(())
    }
}

/// Kills whoever works in a run's directory: nobody else does.
fn end_all_in(dir: &Path) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid =
            entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(rustix::process::Pid::from_raw);
        let works_there = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
        if let Some(pid) = pid.filter(|_| works_there) {
            // It may have ended in the meantime.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}
