//! Where a recording and its profiles go.

use std::io::Write;
use std::path::{Path, PathBuf};

use tipstaff_abi::Arch;
use tipstaff_artifact::Target;
use tipstaff_oci_seccomp::learn::{Beyond, ExportOptions, Learned};
use tipstaff_oci_seccomp::runtimes::Runtime;
use tipstaff_oci_seccomp::{Env, Form, floor, systemd};
use tipstaff_record::{LearnOptions, Limits, learn, meet_floor};
use tipstaff_recording::{Phase, Recording};
use tipstaff_seccomp::Filter;

use super::args::{Format, ProfileOptions};

/// An output whose place has been looked at.
pub struct Output {
    format: Format,
    place: Place,
}

enum Place {
    Stdout,
    File(Target),
}

/// How profiles are made.
pub struct Profiles {
    phases: Vec<Phase>,
    limits: Limits,
    runtimes: Vec<Runtime>,
    floor: Option<(String, Filter)>,
}

/// What was made, and what has to be said of it.
#[derive(Default)]
pub struct Made {
    /// What the program needs and the floor refuses; and other things that a reader should know.
    pub notes: Vec<String>,
}

/// The form that a file's ending asks for.
pub fn by_ending(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?;
    let ends = |ending: &str| name.ends_with(ending);
    Some(match () {
        () if ends(".recording.json") || ends(".rec") => Format::Recording,
        () if ends(".json") => Format::Oci,
        () if ends(".toml") => Format::Toml,
        () if ends(".bpf") => Format::Bpf,
        () if ends(".service") || ends(".conf") => Format::Systemd,
        () => return None,
    })
}

/// Of two results at one place the second would replace the first.
pub fn apart<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), String> {
    let mut known = Vec::new();
    for path in paths {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Where there is no such directory, that is told by whoever opens it.
        let place =
            parent.canonicalize().unwrap_or_else(|_| parent.to_owned()).join(path.file_name().unwrap_or_default());
        if known.contains(&place) {
            return Err(format!("-o {}: given twice; name another file", path.display()));
        }
        known.push(place);
    }
    Ok(())
}

impl Output {
    /// Looks at the place: an output that cannot be written is said before anything runs.
    pub fn open(path: &Path, format: Option<Format>) -> Result<Self, String> {
        let stdout = path == Path::new("-");
        let format = match format.or_else(|| by_ending(path)) {
            Some(format) => format,
            None if stdout => Format::Oci,
            None => {
                return Err(format!(
                    "-o {}: no form for this ending; end it in .json, .toml, .bpf, .conf or .rec, or name one with --format",
                    path.display()
                ));
            }
        };
        let place = if stdout { Place::Stdout } else { Place::File(Target::at(path).map_err(|e| format!("-o {e}"))?) };
        Ok(Self { format, place })
    }

    /// All of them; two at one place would be one.
    pub fn open_all(paths: &[PathBuf], format: Option<Format>) -> Result<Vec<Self>, String> {
        apart(paths)?;
        paths.iter().map(|path| Self::open(path, format)).collect()
    }

    /// Whether files and sockets are needed for it.
    pub fn wants_files(&self) -> bool {
        self.format == Format::Toml
    }

    /// Whether it can be written while the target runs.
    pub fn is_file(&self) -> bool {
        matches!(self.place, Place::File(_))
    }

    /// Makes and writes it.
    pub fn write(&self, recording: &Recording, profiles: &Profiles, made: &mut Made) -> Result<(), String> {
        let bytes = profiles.make(recording, self.format, made)?;
        match &self.place {
            Place::Stdout => {
                let mut out = std::io::stdout().lock();
                out.write_all(&bytes).and_then(|()| out.flush()).map_err(|e| format!("standard output: {e}"))
            }
            Place::File(target) => target.replace(&bytes).map_err(|e| format!("-o {e}")),
        }
    }
}

impl Profiles {
    /// From the command line.
    pub fn new(options: &ProfileOptions) -> Result<Self, String> {
        let floor = options.floor.as_ref().map(|floor| floor_of(floor)).transpose()?;
        let phases = options.phases.iter().map(|&phase| phase.into()).collect();
        Ok(Self { phases, limits: options.limits.into(), runtimes: options.runtimes.clone(), floor })
    }

    /// What counts of a recording.
    pub fn learn_options(&self) -> LearnOptions<'_> {
        LearnOptions { phases: &self.phases, limits: self.limits }
    }

    fn make(&self, recording: &Recording, format: Format, made: &mut Made) -> Result<Vec<u8>, String> {
        if format == Format::Recording {
            return Ok(recording.to_json().into_bytes());
        }
        let mut learned = learn(recording, self.learn_options()).ok_or("the recording has no run")?;
        if learned.calls.is_empty() {
            return Err("nothing was recorded, and a profile that allows nothing is not written".into());
        }
        // A runtime starts programs under filters that we did not make; where we start them ourselves, nothing more is needed.
        learned.add_runtimes(&self.runtimes, false);
        match format {
            Format::Toml => self.toml(recording, &learned, made),
            _ => self.oci(&learned, format, made),
        }
    }

    /// What is needed and the floor refuses.
    fn beyond(&self, beyond: &[Beyond], made: &mut Made) {
        let Some((name, _)) = &self.floor else { return };
        for beyond in beyond {
            made.note(format!("needed, and refused by --floor {name}: {beyond}"));
        }
    }

    fn oci(&self, learned: &Learned, format: Format, made: &mut Made) -> Result<Vec<u8>, String> {
        let form = match format {
            Format::Docker => Form::Docker,
            Format::Containers | Format::Label => Form::Containers,
            _ => Form::Strict,
        };
        let floor = self.floor.as_ref().map(|(_, filter)| filter);
        let exported = learned.document(&ExportOptions { form, floor, libseccomp: None }).map_err(|e| e.to_string())?;
        self.beyond(&exported.beyond, made);
        // Exact for each architecture; a floor is met by the document only.
        let exact = || match floor {
            Some(_) => Ok(exported.filter.clone()),
            None => learned.filter().map_err(|e| e.to_string()),
        };
        match format {
            Format::Bpf | Format::BpfBase64 => {
                let env = Env { arch: learned.arch, kernel: tipstaff_sys::ids::release(), caps: &[], form: None };
                Ok(crate::profile::output::of_filter(&exact()?, format, &env)?.bytes)
            }
            Format::Systemd => {
                let unit = systemd::unit(&exact()?).map_err(|e| e.to_string())?;
                unit.warnings.into_iter().for_each(|warning| made.note(warning));
                let about: String = learned.about.iter().map(|line| format!("# {}\n", one_line(line))).collect();
                Ok(format!("{about}[Service]\n{}", unit.text).into_bytes())
            }
            _ => {
                exported.warnings.into_iter().for_each(|warning| made.note(warning));
                crate::profile::output::dressed(format, exported.document.to_json().into_bytes())
            }
        }
    }

    fn toml(&self, recording: &Recording, learned: &Learned, made: &mut Made) -> Result<Vec<u8>, String> {
        let mut made_of =
            tipstaff_record::profile(recording, self.learn_options()).ok_or("the recording has no run")?;
        made_of.notes.into_iter().for_each(|note| made.note(note));
        if let Some((name, floor)) = &self.floor {
            let options = ExportOptions { form: Form::Strict, floor: Some(floor), libseccomp: None };
            let beyond = learned.document(&options).map_err(|e| e.to_string())?.beyond;
            self.beyond(&beyond, made);
            meet_floor(&mut made_of.profile, learned.arch, floor).map_err(|e| format!("--floor {name}: {e}"))?;
        }
        let text = made_of.profile.to_toml().map_err(|e| e.to_string())?;
        Ok(format!("{}\n{text}", tipstaff_record::heading(recording)).into_bytes())
    }
}

/// A comment ends with its line.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

impl Made {
    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// A default of an engine by name, or a file.
fn floor_of(name: &std::ffi::OsStr) -> Result<(String, Filter), String> {
    let shown = name.to_string_lossy().into_owned();
    let arch = Arch::native().ok_or("no table of this machine's calls")?;
    let release = tipstaff_sys::ids::release();
    let wrong = |e: tipstaff_oci_seccomp::Error| format!("--floor {shown}: {e}");
    let (text, caps, form) = match floor::Default::by_name(&shown) {
        Some(default) => (default.document().to_json(), default.caps(), None),
        None => {
            let text = std::fs::read_to_string(name).map_err(|e| {
                let known: Vec<&str> = floor::Default::ALL.into_iter().map(floor::Default::as_str).collect();
                format!("--floor {shown}: {}; name a file, or {}", crate::say::words(&e), known.join(" or "))
            })?;
            // Whose document it is says what its engine's containers may.
            let of_containers =
                tipstaff_oci_seccomp::parse(&text).is_ok_and(|document| document.form() == Form::Containers);
            let engine = if of_containers { floor::Default::Containers } else { floor::Default::Docker };
            (text, engine.caps(), None)
        }
    };
    let env = Env { arch, kernel: release, caps: &caps, form };
    let imported = tipstaff_oci_seccomp::import(&text, &env).map_err(wrong)?;
    Ok((shown.clone(), imported.filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_s_file_is_read_as_its_engine_reads_it() {
        let dir = tempfile::tempdir().expect("a directory");
        for default in floor::Default::ALL {
            let file = dir.path().join("seccomp.json");
            std::fs::write(&file, default.document().to_json()).expect("a file");
            let (_, by_file) = floor_of(file.as_os_str()).expect("a floor");
            let (_, by_name) = floor_of(default.as_str().as_ref()).expect("a floor");
            let changes = tipstaff_oci_seccomp::compare::compare(&by_name, &by_file).expect("few rules");
            assert!(changes.is_empty(), "{}: {changes:?}", default.as_str());
        }
    }
}
