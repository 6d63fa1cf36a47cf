//! A profile in any form, to a file or to standard output.

use std::io::Write;
use std::path::Path;

use base64::Engine;
use tipstaff::policy::profile::{Profile, Syscalls};
use tipstaff_abi::{Arch, Sysno};
use tipstaff_artifact::Target;
use tipstaff_oci_seccomp::learn::ALWAYS;
use tipstaff_oci_seccomp::meaning::Meaning;
use tipstaff_oci_seccomp::{Document, Env, Form, evaluate, systemd};
use tipstaff_seccomp::{Filter, prove};

use super::args::Output;
use super::source::{Loaded, Source};
use crate::record::args::Format;
use crate::record::outputs::by_ending;

/// What was made, and what has to be said of it.
pub struct Made {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What it says otherwise than what it was made of: a line each.
    pub warnings: Vec<String>,
}

impl Output {
    /// The form that is asked for; none where nothing says which.
    pub fn form(&self) -> Result<Option<Format>, String> {
        let file = self.output.as_deref().filter(|path| *path != Path::new("-"));
        match (self.format, file) {
            (Some(Format::Recording), _) => {
                Err("--format recording: a profile cannot become one; choose another form".into())
            }
            (Some(format), _) => Ok(Some(format)),
            (None, Some(path)) => match by_ending(path) {
                Some(format) if format != Format::Recording => Ok(Some(format)),
                _ => Err(format!(
                    "-o {}: no form for this ending; end it in .json, .toml, .bpf or .conf, or name one with --format",
                    path.display()
                )),
            },
            (None, None) => Ok(None),
        }
    }

    /// The place, looked at before the work.
    pub fn open(&self) -> Result<Option<Target>, String> {
        let file = self.output.as_deref().filter(|path| *path != Path::new("-"));
        file.map(|path| Target::at(path).map_err(|e| format!("-o {e}"))).transpose()
    }
}

/// Writes what was made, then what has to be said of it.
pub fn write(made: &Made, target: Option<&Target>) -> Result<(), String> {
    match target {
        Some(target) => target.replace(&made.bytes).map_err(|e| format!("-o {e}"))?,
        None => {
            let mut out = std::io::stdout().lock();
            let written = out.write_all(&made.bytes).and_then(|()| out.flush());
            written.map_err(|e| format!("standard output: {}", crate::say::words(&e)))?;
        }
    }
    made.warnings.iter().for_each(crate::say::note);
    Ok(())
}

/// A profile in another form; without one, in its own.
pub fn convert(loaded: &Loaded, format: Option<Format>) -> Result<Made, String> {
    let wrong = |message: String| format!("{}: {message}", loaded.name);
    match (&loaded.source, format) {
        (Source::Document(document), None) => of_document(document.as_ref().clone(), &loaded.env()).map_err(wrong),
        (Source::Document(document), Some(format)) if json_form(format).is_some() => {
            let form = json_form(format).unwrap_or_default();
            let document = document.in_form(form, &loaded.env()).map_err(|e| wrong(e.to_string()))?;
            let made = of_document(document, &Env { form: Some(form), ..loaded.env() }).map_err(wrong)?;
            Ok(Made { bytes: dressed(format, made.bytes)?, ..made })
        }
        (Source::Profile(profile), None | Some(Format::Toml)) => {
            let text = profile.to_toml().map_err(|e| e.to_string())?;
            Ok(Made { bytes: text.into_bytes(), warnings: Vec::new() })
        }
        (_, Some(format)) => of_filter(&loaded.filter()?, format, &loaded.env()).map_err(wrong),
    }
}

/// A filter in a form.
pub fn of_filter(filter: &Filter, format: Format, env: &Env<'_>) -> Result<Made, String> {
    if let Some(form) = json_form(format) {
        let made = Document::of_filter(filter, form).map_err(|e| e.to_string())?;
        let mut written = of_document(made.document, &Env { form: Some(form), ..*env })?;
        written.warnings.splice(..0, made.warnings);
        return Ok(Made { bytes: dressed(format, written.bytes)?, ..written });
    }
    match format {
        Format::Toml => of_calls(filter, env.arch),
        Format::Systemd => {
            let unit = systemd::unit(filter).map_err(|e| e.to_string())?;
            Ok(Made { bytes: format!("[Service]\n{}", unit.text).into_bytes(), warnings: unit.warnings })
        }
        Format::BpfBase64 => {
            let text = base64::engine::general_purpose::STANDARD.encode(compiled(filter)?);
            Ok(Made { bytes: format!("{text}\n").into_bytes(), warnings: Vec::new() })
        }
        _ => Ok(Made { bytes: compiled(filter)?, warnings: Vec::new() }),
    }
}

/// A document as it stands. It is compiled, and the program is proven, before anybody gets it.
pub fn of_document(document: Document, env: &Env<'_>) -> Result<Made, String> {
    let filter = evaluate(&document, env).map_err(|e| e.to_string())?.filter;
    compiled(&filter)?;
    Ok(Made { bytes: document.to_json().into_bytes(), warnings: Vec::new() })
}

fn of_calls(filter: &Filter, arch: Arch) -> Result<Made, String> {
    let (syscalls, mut warnings) = Syscalls::of_filter(filter, arch)?;
    let added = added_by_base(filter, arch);
    if !added.is_empty() {
        warnings.push(format!("a Tipstaff profile always allows {}, which this one refuses", added.join(", ")));
    }
    let text = Profile { syscalls, ..Profile::default() }.to_toml().map_err(|e| e.to_string())?;
    Ok(Made { bytes: text.into_bytes(), warnings })
}

/// What every Tipstaff profile lets pass: without these no program ends.
fn added_by_base(filter: &Filter, arch: Arch) -> Vec<&'static str> {
    let passes =
        |nr: u32| Meaning::of(filter, arch, nr).and_then(|meaning| meaning.passes_always()).is_ok_and(|passes| passes);
    ALWAYS.into_iter().filter(|name| Sysno::by_name(arch, name).is_some_and(|nr| !passes(nr.0))).collect()
}

/// The program as the kernel takes it: struct sock_filter, as the machine has it. Proven to decide as the rules do.
pub fn compiled(filter: &Filter) -> Result<Vec<u8>, String> {
    let program = filter.compile().map_err(|e| e.to_string())?;
    prove(filter, &program).map_err(|e| format!("internal error: {e}"))?;
    let bytes = |insn: &tipstaff_abi::bpf::Insn| {
        let [a, b] = insn.code.to_ne_bytes();
        let [c, d, e, f] = insn.k.to_ne_bytes();
        [a, b, insn.jt, insn.jf, c, d, e, f]
    };
    Ok(program.insns().iter().flat_map(bytes).collect())
}

/// JSON as a form wants it: a label is one line, quoted as Containerfiles quote.
pub fn dressed(format: Format, json: Vec<u8>) -> Result<Vec<u8>, String> {
    if format != Format::Label {
        return Ok(json);
    }
    let document: serde_json::Value = serde_json::from_slice(&json).map_err(|e| e.to_string())?;
    let mut line = String::from("LABEL io.containers.seccomp.profile=\"");
    for character in document.to_string().chars() {
        if matches!(character, '"' | '\\' | '$') {
            line.push('\\');
        }
        line.push(character);
    }
    Ok(format!("{line}\"\n").into_bytes())
}

const fn json_form(format: Format) -> Option<Form> {
    match format {
        Format::Oci => Some(Form::Strict),
        Format::Docker => Some(Form::Docker),
        Format::Containers | Format::Label => Some(Form::Containers),
        _ => None,
    }
}
