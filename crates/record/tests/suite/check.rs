//! What must hold whatever somebody hands in as a recording. The fuzzer (`fuzz/`) and the tests beside ask the same.

use tipstaff_oci_seccomp::learn::ExportOptions;
use tipstaff_record::{LearnOptions, Limits, learn, profile};
use tipstaff_recording::{Phase, Recording};

/// Reads a file; what is read is written and read again, and profiles are made of it.
pub fn recording(text: &str) {
    let recording = match Recording::parse(text) {
        Ok(recording) => recording,
        Err(error) => {
            let error = error.to_string();
            return assert!(!error.is_empty() && !error.contains(char::is_control), "{error:?}");
        }
    };
    let written = recording.to_json();
    assert_eq!(Recording::parse(&written).as_ref(), Ok(&recording), "{written}");
    assert_eq!(recording.clone().merge(recording.clone()), recording);
    for limits in [Limits::None, Limits::Safe, Limits::All] {
        let options = LearnOptions { phases: &Phase::ALL, limits };
        let Some(learned) = learn(&recording, options) else { continue };
        let one_line =
            |error: &dyn std::fmt::Display| assert!(!error.to_string().contains(char::is_control), "{error}");
        match learned.document(&ExportOptions::default()) {
            Ok(exported) => drop(exported.filter.compile().expect("what is exported has been compiled")),
            Err(error) => one_line(&error),
        }
        if let Some(made) = profile(&recording, options) {
            // Paths that are not UTF-8 cannot be said in TOML.
            drop(made.profile.to_toml());
        }
    }
}
