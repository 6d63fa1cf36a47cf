//! How profiles are found, and how they extend one another.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use tipstaff_policy::profile::*;
use tipstaff_policy::value::Setting;

/// A user with these profiles.
fn user(files: &[(&str, &str)]) -> (TempDir, Loader) {
    let dir = TempDir::new().unwrap();
    let profile_dir = dir.path().join("profiles");
    fs::create_dir(&profile_dir).unwrap();
    for (name, text) in files {
        fs::write(profile_dir.join(name), text).unwrap();
    }
    (dir, Loader { home: Some(PathBuf::from("/home/u")), profile_dir: Some(profile_dir) })
}

#[test]
fn a_name_is_a_preset_or_a_file_of_the_users() {
    let (_dir, loader) = user(&[("mine.toml", "limits.processes = 7")]);
    assert!(loader.load("judge").unwrap().limits.cpu.is_some());
    assert_eq!(loader.load("mine").unwrap().limits.processes, Some(Setting::At(7)));
}

#[test]
fn a_slash_or_the_ending_makes_a_path() {
    let (dir, loader) = user(&[("mine.toml", "limits.processes = 7")]);
    fs::write(dir.path().join("other"), "limits.processes = 8").unwrap();
    assert_eq!(loader.load(dir.path().join("other")).unwrap().limits.processes, Some(Setting::At(8)));
    let error = loader.load("mine.toml").unwrap_err();
    assert_eq!(error.to_string(), "mine.toml: No such file or directory; give the path of a file that can be read");
    assert!(loader.load("./judge").is_err());
}

#[test]
fn a_file_cannot_hide_a_preset() {
    let (_dir, loader) = user(&[("judge.toml", "# mine\nlimits.processes = 7"), ("a.toml", "#  A profile. \n")]);
    assert_ne!(loader.load("judge").unwrap().limits.processes, Some(Setting::At(7)));
    let list = loader.list();
    assert_eq!(list.iter().filter(|entry| entry.origin == Origin::Preset).count(), 7);
    assert!(
        matches!(&list[7], Entry { name, origin: Origin::File(_), description } if name == "a" && description == "A profile.")
    );
    assert!(matches!(&list[8], Entry { name, origin: Origin::Hidden(_), .. } if name == "judge"));
}

#[test]
fn a_name_that_matches_nothing_names_its_neighbour() {
    let (_dir, loader) = user(&[("mine.toml", "")]);
    assert_eq!(loader.load("juge").unwrap_err().to_string(), "juge: there is no profile `juge`; did you mean `judge`?");
    assert_eq!(loader.load("min").unwrap_err().to_string(), "min: there is no profile `min`; did you mean `mine`?");
    let message = loader.load("xyzzy").unwrap_err().to_string();
    assert!(
        message.ends_with("known: default, strict, judge, python, node, build, agent, mine; write ./NAME for a file")
    );
    assert!(loader.load("").is_err());
}

#[test]
fn a_chain_is_followed_to_its_end() {
    let (_dir, loader) = user(&[
        ("a.toml", "extends = \"b\"\nlimits.cpu = \"1s\""),
        ("b.toml", "extends = \"./c.toml\"\nlimits.cpu = \"2s\"\nlimits.processes = 2"),
        ("c.toml", "extends = \"judge\"\nlimits.processes = 3\nlimits.open_files = 3\nfilesystem.replace = [\"read\"]"),
    ]);
    let profile = loader.load("a").unwrap();
    assert_eq!(profile.extends, None);
    assert!(profile.filesystem.replace.is_empty() && profile.filesystem.read.is_empty());
    let seconds = std::time::Duration::from_secs;
    assert_eq!(profile.limits.cpu, Some(Setting::At(seconds(1))));
    assert_eq!((profile.limits.processes, profile.limits.open_files), (Some(Setting::At(2)), Some(Setting::At(3))));
    assert_eq!(profile.limits.wall, loader.load("judge").unwrap().limits.wall);
}

#[test]
fn a_circle_is_found_however_its_members_are_called() {
    let (dir, loader) = user(&[
        ("a.toml", "extends = \"b\""),
        ("b.toml", "extends = \"../profiles/c.toml\""),
        ("c.toml", "\n  extends = \"b\""),
        ("self.toml", "extends = \"self\""),
    ]);
    let error = loader.load("a").unwrap_err();
    assert!(matches!(&*error.problem, Problem::Cycle { chain } if chain.len() == 3), "{error}");
    assert_eq!(error.place.position, Some((2, 13)));
    assert!(matches!(*loader.load("self").unwrap_err().problem, Problem::Cycle { .. }));
    drop(dir);
}

#[test]
fn a_base_that_is_not_there_is_an_error_of_the_profile_that_names_it() {
    let (dir, loader) = user(&[("a.toml", "extends = \"defalt\""), ("b.toml", "\nextends = \"./nope.toml\"")]);
    let file = dir.path().join("profiles/a.toml");
    let expected = format!("{}:1:11: there is no profile `defalt`; did you mean `default`?", file.display());
    assert_eq!(loader.load("a").unwrap_err().to_string(), expected);
    let message = loader.load("b").unwrap_err().to_string();
    assert!(
        message.contains("b.toml:2:11: cannot read `") && message.contains("nope.toml`: No such file"),
        "{message}"
    );
}

#[test]
fn what_is_no_profile_is_an_error_of_one_line() {
    let (dir, loader) = user(&[]);
    let path = dir.path().join("x.toml");
    let error = loader.load(dir.path()).unwrap_err();
    assert!(matches!(*error.problem, Problem::Unreadable { .. }), "{error}");
    fs::write(&path, b"# ok\nx = \"\xff\"").unwrap();
    let error = loader.load(&path).unwrap_err();
    assert_eq!((*error.problem, error.place.position), (Problem::NotUtf8, Some((2, 6))));
    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(*loader.load(&path).unwrap_err().problem, Problem::TooLarge);
    assert_eq!(*loader.load("/dev/zero").unwrap_err().problem, Problem::TooLarge);
    fs::write(&path, vec![b'#'; 1 << 20]).unwrap();
    assert_eq!(loader.load(&path), Ok(Profile::default()));
}
