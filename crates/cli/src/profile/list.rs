//! `tipstaff profile list|show`.

use std::ffi::OsStr;

use tipstaff::policy::profile::{Loader, Origin};
use tipstaff_oci_seccomp::floor;

/// A line for each profile that has a name; the exit status.
pub fn list() -> u8 {
    let entries = Loader::from_env().list();
    let width = entries.iter().map(|e| e.name.chars().count()).max().unwrap_or(0);
    for entry in entries {
        let origin = match &entry.origin {
            Origin::Preset => "preset".to_owned(),
            Origin::File(path) => path.display().to_string(),
            Origin::Hidden(path) => format!("{} (hidden by the preset)", path.display()),
        };
        println!("{:width$}  {}  [{origin}]", entry.name, entry.description);
    }
    0
}

/// The profile with what it extends; the exit status.
pub fn show(name: &OsStr) -> Result<u8, String> {
    let text = match name.to_str().and_then(floor::Default::by_name) {
        Some(default) => default.document().to_json(),
        None => Loader::from_env().load(name).and_then(|profile| profile.to_toml()).map_err(|e| e.to_string())?,
    };
    print!("{text}");
    Ok(0)
}
