//! What must hold whatever somebody writes as a profile. The fuzzer (`fuzz/`) and the tests beside ask the same.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tipstaff_abi::SyscallSet;
use tipstaff_abi::caps::{CgroupCaps, KernelCaps};
use tipstaff_policy::lower::{Host, Kind, Surroundings, lower};
use tipstaff_policy::presets;
use tipstaff_policy::profile::Profile;

/// Reads a text; what is read is written and read again, merged with a preset, and lowered on machines of several kinds.
pub fn profile(text: &str) {
    let home = Some(Path::new("/home/u"));
    let parse = |text: &str| Profile::from_toml("p.toml", text, home);
    match parse(text) {
        Ok(profile) => {
            // What is read is UTF-8, so it can be written.
            let written = profile.to_toml().expect("TOML");
            assert_eq!(parse(&written).as_ref(), Ok(&profile), "{written}");
            lowered(&profile);
            let judge = parse(presets::text("judge").expect("a preset")).expect("a profile");
            lowered(&Profile::merge(judge, profile));
        }
        Err(error) => {
            let (line, column) = error.place.position.expect("a place");
            assert!(line >= 1 && column >= 1 && line <= text.matches('\n').count() + 1);
            one_line(&error.to_string());
        }
    }
}

/// A message is one line.
pub fn one_line(message: &str) {
    assert!(!message.is_empty() && !message.contains(char::is_control), "{message:?}");
}

/// A file system in which whatever ends in a slash-less name of a profile's own exists, and some links lead in circles.
struct Anywhere;

impl Host for Anywhere {
    fn kind(&self, path: &Path) -> Option<Kind> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Some(match name.len() % 5 {
            0 | 1 if path.components().count() < 12 => Kind::Directory,
            2 => Kind::File,
            3 => Kind::Link(PathBuf::from(format!("../{name}"))),
            _ if path.components().count() < 4 => Kind::Directory,
            _ => return None,
        })
    }

    fn list(&self, path: &Path) -> Vec<OsString> {
        if path.components().count() > 4 { Vec::new() } else { ["a", "bb", ".git", "x y"].map(OsString::from).into() }
    }

    fn text(&self, path: &Path) -> Result<String, String> {
        let rules = r#"[{"names":["read","no such"],"action":"SCMP_ACT_ALLOW"}]"#;
        match path.as_os_str().len() % 3 {
            0 => Err("no file".into()),
            1 => Ok("{".into()),
            _ => Ok(format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":{rules}}}"#)),
        }
    }
}

fn machines() -> [KernelCaps; 4] {
    let full = KernelCaps::full;
    let ordinary = KernelCaps {
        root: false,
        uid: 1000,
        gid: 1000,
        namespaces: false,
        setuid: false,
        setpcap: false,
        cgroup: CgroupCaps::NONE,
        ..full()
    };
    let bare =
        KernelCaps { user_namespace: false, mount_api: false, listener: false, clone3: false, ..ordinary.clone() };
    let old = KernelCaps { landlock_abi: 0, release: (5, 4), ..full() };
    [full(), ordinary, bare, old]
}

fn lowered(profile: &Profile) {
    for caps in machines() {
        let around = Surroundings {
            cwd: "/home/u/p".into(),
            programs: vec!["/bin/true".into()],
            core_is_piped: false,
            handled: SyscallSet::new(caps.arch),
            rewrites: false,
            registers: false,
            addresses: false,
            filters: 0,
            names: BTreeMap::new(),
        };
        match lower(profile, &caps, &Anywhere, &around) {
            Ok(plan) => assert!(!plan.rules.is_empty()),
            Err(refusal) => one_line(&refusal.to_string()),
        }
    }
}
