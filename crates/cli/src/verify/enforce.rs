//! A program under nothing but a profile's system calls, and what these refuse.

use std::ffi::OsString;
use std::io::Write;

use tipstaff::Command;
use tipstaff::policy::profile::{Base, GuestPtrace, Namespaces, PathRule, Profile};
use tipstaff::policy::value::NetSpec;
use tipstaff::report::Denial;
use tipstaff_oci_seccomp::{Document, Form};
use tipstaff_seccomp::Filter;

use crate::profile::source::{Loaded, Source};
use crate::say;

/// Runs it; how many kinds of calls were refused.
pub fn run(loaded: &Loaded, filter: &Filter, argv: &[OsString]) -> Result<usize, String> {
    let Some((program, args)) = argv.split_first() else { return Err("no program given: name one after `--`".into()) };
    // A file of its own, so that the profile is what it means here: for this machine and these capabilities.
    let file = tempfile::Builder::new().prefix("tipstaff-").suffix(".json").tempfile();
    let mut file = file.map_err(|e| format!("a temporary file: {}", say::words(&e)))?;
    let profile = match &loaded.source {
        Source::Profile(profile) => profile.as_ref().clone(),
        Source::Document(_) => {
            let document =
                Document::of_filter(filter, Form::Strict).map_err(|e| format!("{}: {e}", loaded.name))?.document;
            let written = file.write_all(document.to_json().as_bytes()).and_then(|()| file.flush());
            written.map_err(|e| format!("a temporary file: {}", say::words(&e)))?;
            let mut profile = open();
            profile.syscalls.base = Some(Base::Oci(file.path().to_owned()));
            profile
        }
    };
    let mut command = Command::new(program);
    command.args(args).profile(profile);
    let mut child = command.spawn().map_err(|e| format!("under the profile: {e}"))?;
    let report = child.wait().map_err(|e| format!("under the profile: {e}"))?;
    for denial in &report.denials {
        say::note(line(denial));
    }
    let status = report.exit_status();
    if status != 0 {
        say::note(format_args!("under the profile the program ended with status {status}"));
    }
    Ok(report.denials.len())
}

/// A box that restricts nothing: what is left are the system calls.
fn open() -> Profile {
    let mut profile = Profile::default();
    let everywhere = ["/", "/proc", "/sys", "/dev", "/run", "/tmp", "/boot"];
    let all = || everywhere.iter().map(PathRule::if_exists).collect::<Vec<_>>();
    let files = &mut profile.filesystem;
    (files.read, files.write, files.exec) = (all(), all(), all());
    files.tmp = Some(tipstaff::policy::profile::Tmp::Host);
    files.cwd = Some(tipstaff::policy::profile::CwdAccess::Write);
    profile.network.allow = Some(vec![NetSpec::Host]);
    profile.isolation.namespaces = Some(Namespaces::None);
    profile.isolation.guest_ptrace = Some(GuestPtrace::Native);
    profile.isolation.best_effort = Some(true);
    profile.program.pass_env = std::env::vars_os().map(|(name, _)| name).collect();
    profile
}

fn line(denial: &Denial) -> String {
    let errno = denial.errno.as_ref().map(|errno| format!(" {errno}")).unwrap_or_default();
    let args: Vec<String> = denial.args.iter().map(|arg| format!("{arg:#x}")).collect();
    let times = if denial.count == 1 { "once".to_owned() } else { format!("{} times", denial.count) };
    format!("refused {} {}({}): {}{errno}; {times}", denial.arch, denial.syscall, args.join(", "), denial.action)
}
