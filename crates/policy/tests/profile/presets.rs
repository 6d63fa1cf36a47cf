//! What the presets promise.

use std::path::{Path, PathBuf};

use tipstaff_policy::presets;
use tipstaff_policy::profile::*;
use tipstaff_policy::value::{NetSpec, Setting};

fn loader() -> Loader {
    Loader { home: Some(PathBuf::from("/home/u")), profile_dir: None }
}

fn preset(name: &str) -> Profile {
    loader().load(name).unwrap_or_else(|error| panic!("{error}"))
}

fn denies(profile: &Profile, path: &str) -> bool {
    profile.filesystem.deny.iter().any(|rule| rule.path == Path::new(path))
}

#[test]
fn each_is_listed_loads_and_is_its_own_toml() {
    assert_eq!(loader().list().len(), presets::ALL.len());
    for entry in loader().list() {
        assert!(entry.description.len() > 10 && !entry.description.contains('\n'), "{}", entry.name);
        let profile = preset(&entry.name);
        let again = Profile::from_toml(&entry.name, &profile.to_toml().unwrap(), None);
        assert_eq!(again, Ok(profile), "{}", entry.name);
    }
}

#[test]
fn none_has_a_network_and_every_engine_is_auto() {
    for (name, _) in presets::ALL {
        let profile = preset(name);
        assert_eq!(profile.network.allow, Some(vec![NetSpec::None]), "{name}");
        assert_eq!(profile.isolation.engine, Some(Engine::Auto), "{name}");
        assert_eq!(profile.isolation.denials, Some(Denials::Report), "{name}");
        assert_eq!(profile.isolation.best_effort, None, "{name}");
        assert_eq!(profile.filesystem.tmp, Some(Tmp::Private), "{name}");
    }
}

#[test]
fn guests_can_trace_one_another_but_for_submissions() {
    for (name, _) in presets::ALL {
        let expected = if matches!(*name, "judge" | "strict") { GuestPtrace::Deny } else { GuestPtrace::Native };
        assert_eq!(preset(name).isolation.guest_ptrace, Some(expected), "{name}");
    }
}

#[test]
fn only_build_and_agent_write_and_only_the_working_directory() {
    for (name, _) in presets::ALL {
        let profile = preset(name);
        let expected = if matches!(*name, "build" | "agent") { CwdAccess::Write } else { CwdAccess::Read };
        assert_eq!(profile.filesystem.cwd, Some(expected), "{name}");
        assert!(profile.filesystem.write.is_empty(), "{name}");
    }
}

#[test]
fn whoever_sees_the_home_sees_no_keys() {
    for name in ["default", "build", "agent"] {
        let profile = preset(name);
        for path in ["/etc/shadow", "/home/u/.ssh", "/home/u/.aws", "/home/u/.netrc", "/home/u/.bash_history"] {
            assert!(denies(&profile, path), "{name}: {path}");
        }
    }
    for name in ["judge", "strict", "python", "node"] {
        let files = preset(name).filesystem;
        let shown = [files.read, files.exec].concat();
        assert!(shown.iter().all(|rule| !Path::new("/home/u").starts_with(&rule.path)), "{name}");
        assert!(shown.iter().all(|rule| rule.path != Path::new("/etc")), "{name}");
    }
}

#[test]
fn what_must_exist_is_only_what_always_does() {
    for (name, _) in presets::ALL {
        let files = preset(name).filesystem;
        let must = [files.read, files.write, files.exec, files.deny].concat();
        for rule in must.iter().filter(|rule| !rule.if_exists) {
            assert!([Path::new("/"), Path::new(".")].contains(&&*rule.path), "{name}: {}", rule.path.display());
        }
    }
}

#[test]
fn an_agent_leaves_nothing_behind_that_runs_later() {
    let profile = preset("agent");
    for path in [".git/hooks", ".git/config", ".vscode", ".envrc", ".mcp.json", "/home/u/.bashrc", "/home/u/.zshrc"] {
        assert!(profile.filesystem.protect.contains(&PathBuf::from(path)), "{path}");
    }
}

#[test]
fn a_submission_is_limited_in_everything_it_can_waste() {
    for name in ["judge", "strict"] {
        let limits = preset(name).limits;
        assert!(limits.cpu.is_some() && limits.wall.is_some() && limits.output.is_some() && limits.file_size.is_some());
        assert!(limits.processes.is_some() && limits.open_files.is_some());
        // Thread stacks are reserved from it.
        assert!(limits.stack.and_then(Setting::value) < limits.memory.and_then(Setting::value));
    }
    assert_eq!(preset("strict").syscalls.base, Some(Base::Strict));
    assert_eq!(preset("judge").syscalls.base, Some(Base::Default));
}

#[test]
fn a_judge_that_runs_without_a_home_still_judges_and_one_that_hides_a_home_needs_to_know_it() {
    let homeless = Loader::default();
    for (name, _) in presets::ALL {
        let expected = matches!(*name, "judge" | "strict" | "python" | "node");
        assert_eq!(homeless.load(name).is_ok(), expected, "{name}");
    }
}
