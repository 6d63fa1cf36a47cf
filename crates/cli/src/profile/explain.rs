//! `tipstaff profile explain`: why a call is in a profile.

use std::ffi::OsStr;

use tipstaff_abi::Sysno;
use tipstaff_oci_seccomp::explain::explain;
use tipstaff_oci_seccomp::meaning::Meaning;

use super::args::Machine;
use super::source::{Loaded, Source, load};

/// Says it; the exit status.
pub fn call(call: &str, name: &OsStr, machine: &Machine) -> Result<u8, String> {
    let loaded = load(name, machine)?;
    match &loaded.source {
        Source::Document(document) => {
            let explained = explain(document, call, &loaded.env()).map_err(|e| format!("{}: {e}", loaded.name))?;
            for (arch, meaning) in &explained.meanings {
                println!("{call} on {arch}: {meaning}");
            }
            for entry in &explained.entries {
                let comment = entry.comment.as_ref().map(|comment| format!("  # {comment}")).unwrap_or_default();
                match &entry.idle {
                    None => println!("  {}: {}{comment}", entry.place, entry.says),
                    Some(why) => {
                        println!("  {}: {}, which does not count here: {why}{comment}", entry.place, entry.says)
                    }
                }
            }
            println!("  defaultAction: {}", explained.default);
        }
        Source::Profile(_) => of_profile(call, &loaded)?,
    }
    Ok(0)
}

fn of_profile(call: &str, loaded: &Loaded) -> Result<(), String> {
    let filter = loaded.filter()?;
    let Some(nr) = Sysno::by_name(loaded.arch, call) else {
        let near = Sysno::nearest(loaded.arch, call).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        return Err(format!("{call}: no table knows this call{near}"));
    };
    let meaning = Meaning::of(&filter, loaded.arch, nr.0).map_err(|e| format!("{call}: {e}"))?;
    println!("{call} on {}: {meaning}", loaded.arch.name());
    Ok(())
}
