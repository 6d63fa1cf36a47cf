//! How two profiles become one.

use tipstaff_policy::profile::*;
use tipstaff_policy::value::Setting;

use crate::good;

fn merged(base: &str, over: &str) -> Profile {
    Profile::merge(good(base), good(over))
}

#[test]
fn silence_changes_nothing() {
    let text = "limits.cpu = \"1s\"\nfilesystem.read = [\"/x\"]\nnetwork.allow = [\"host\"]\nprogram.env.A = \"1\"";
    assert_eq!(merged(text, ""), good(text));
    assert_eq!(merged("", text), good(text));
}

#[test]
fn a_single_value_replaces() {
    let profile = merged("limits.cpu = \"1s\"\nlimits.wall = \"2s\"", "limits.cpu = \"unlimited\"");
    assert_eq!(profile.limits.cpu, Some(Setting::Unlimited));
    assert!(profile.limits.wall.is_some());
}

#[test]
fn lists_add_and_each_path_stands_once() {
    let profile = merged("filesystem.read_if_exists = [\"/a\", \"/b\"]", "filesystem.read = [\"/b\", \"/c\"]");
    let expected = [PathRule::new("/b"), PathRule::new("/c"), PathRule::if_exists("/a")];
    assert_eq!(profile.filesystem.read, expected);
}

#[test]
fn a_list_starts_afresh_where_the_profile_says_so() {
    let over = "filesystem.replace = [\"read\"]\nfilesystem.read = [\"/c\"]\nfilesystem.exec = [\"/d\"]";
    let profile = merged("filesystem.read = [\"/a\"]\nfilesystem.exec = [\"/b\"]", over);
    assert_eq!(profile.filesystem.read, [PathRule::new("/c")]);
    assert_eq!(profile.filesystem.exec, [PathRule::new("/b"), PathRule::new("/d")]);
}

#[test]
fn the_network_is_replaced_as_a_whole_so_that_none_closes_it() {
    let profile = merged("network.allow = [\"host\"]", "network.allow = []");
    assert_eq!(profile.network.allow, Some(vec![]));
    assert!(merged("network.deny = [\"10.0.0.0/8\"]", "network.deny = [\"*:25\"]").network.deny.len() == 2);
}

#[test]
fn a_path_that_is_allowed_again_is_no_longer_denied() {
    let base = "filesystem.deny = [\"~/.ssh\", \"~/.aws\"]\nfilesystem.protect = [\".git/hooks\"]";
    let profile = merged(base, "filesystem.read = [\"~/.ssh/\"]\nfilesystem.write = [\".git/hooks\"]");
    assert_eq!(profile.filesystem.deny, [PathRule::new("/home/u/.aws")]);
    assert!(profile.filesystem.protect.is_empty());
    // A path above or below it changes nothing.
    let profile = merged(base, "filesystem.read = [\"~\", \"~/.ssh/id\"]\nfilesystem.write = [\".\"]");
    assert_eq!((profile.filesystem.deny.len(), profile.filesystem.protect.len()), (2, 1));
    // Reading is no reason to write.
    assert_eq!(merged(base, "filesystem.read = [\".git/hooks\"]").filesystem.protect.len(), 1);
    // What is denied later is denied.
    let profile = merged("filesystem.read = [\"/x\"]", "filesystem.deny = [\"/x\"]");
    assert_eq!(profile.filesystem.deny, [PathRule::new("/x")]);
}

#[test]
fn the_environment_is_replaced_name_by_name() {
    let profile = merged(
        "program.env = { A = \"1\", B = \"1\" }\nprogram.pass_env = [\"C\"]",
        "program.env = { A = \"2\", C = \"2\" }\nprogram.pass_env = [\"B\"]",
    );
    let env: Vec<_> = profile.program.env.iter().map(|(name, value)| (name.to_str(), value.to_str())).collect();
    assert_eq!(env, [(Some("A"), Some("2")), (Some("C"), Some("2"))]);
    assert_eq!(profile.program.pass_env, ["B"]);
}

#[test]
fn rules_of_system_calls_stand_in_order() {
    let profile = merged("syscalls.deny = [\"open\"]", "syscalls.allow = [\"open\"]");
    let actions: Vec<_> = profile.syscalls.rules.iter().map(|rule| rule.action).collect();
    assert_eq!(actions, [RuleAction::Errno(1), RuleAction::Allow]);
    assert_eq!(good(&profile.to_toml().unwrap()), profile);
}
