//! Profiles of any form, by name or file.

use std::ffi::OsStr;
use std::path::Path;

use tipstaff::policy::lower;
use tipstaff::policy::profile::{Base, Loader, Profile};
use tipstaff_abi::Arch;
use tipstaff_abi::caps::KernelCaps;
use tipstaff_oci_seccomp::{Document, Env, Form, evaluate, floor, parse};
use tipstaff_seccomp::Filter;

use super::args::Machine;
use crate::say;

/// No profile is larger.
const MOST_BYTES: u64 = 8 << 20;

/// A profile, in the form that it was written in.
pub enum Source {
    /// OCI seccomp JSON.
    Document(Box<Document>),
    /// A Tipstaff profile.
    Profile(Box<Profile>),
}

/// A profile, and for what machine it is read.
pub struct Loaded {
    /// As it was given.
    pub name: String,
    /// What it says.
    pub source: Source,
    /// The machine's architecture.
    pub arch: Arch,
    kernel: (u32, u32),
    caps: Vec<String>,
    form: Option<Form>,
}

/// Why a profile could not be had.
pub struct Wrong {
    /// One line: where, what, the cure.
    pub message: String,
    /// Nothing can be said of its text: it was not found or could not be read.
    pub unread: bool,
}

impl From<Wrong> for String {
    fn from(wrong: Wrong) -> Self {
        wrong.message
    }
}

/// A profile by its name or file: a preset, a name in the user's directory, a TOML file, a JSON file, the `config.json` of a bundle, or an
/// engine's default.
pub fn load(name: &OsStr, machine: &Machine) -> Result<Loaded, Wrong> {
    let shown = name.to_string_lossy().into_owned();
    let unread = |message: String| Wrong { message, unread: true };
    let Some(arch) = machine.arch.or_else(Arch::native) else {
        return Err(unread("no table of this machine's calls; name one with --arch".into()));
    };
    let kernel = machine.kernel.unwrap_or_else(tipstaff_sys::ids::release);
    let mut loaded = Loaded {
        name: shown.clone(),
        source: Source::Document(Box::default()),
        arch,
        kernel,
        caps: machine.caps.clone().map(|caps| caps.0).unwrap_or_default(),
        form: machine.read_as.map(Form::from),
    };
    if let Some(default) = floor::Default::by_name(&shown) {
        if machine.caps.is_none() {
            loaded.caps = default.caps();
        }
        loaded.source = Source::Document(Box::new(default.document()));
        return Ok(loaded);
    }
    if let Some(text) = json(Path::new(name)).map_err(|e| unread(format!("{shown}: {e}")))? {
        let wrong = |message: String| Wrong { message: format!("{shown}: {message}"), unread: false };
        let document = document(&text).map_err(wrong)?;
        // What cannot be evaluated is no profile; later on nothing fails but what is too much.
        evaluate(&document, &loaded.env()).map_err(|e| wrong(e.to_string()))?;
        loaded.source = Source::Document(Box::new(document));
        return Ok(loaded);
    }
    let profile = Loader::from_env().load(name).map_err(|e| Wrong { unread: e.is_unread(), message: e.to_string() })?;
    loaded.source = Source::Profile(Box::new(profile));
    Ok(loaded)
}

/// The text of a file that is JSON by its ending or by its first letter.
fn json(path: &Path) -> Result<Option<String>, String> {
    let named = path.extension().is_some_and(|ending| ending == "json");
    let toml = path.extension().is_some_and(|ending| ending == "toml");
    let is_path = path.as_os_str().as_encoded_bytes().contains(&b'/');
    if toml || !(named || is_path) {
        return Ok(None);
    }
    let text = text(path)?;
    Ok((named || text.trim_start().starts_with('{')).then_some(text))
}

/// The text of a file of a size that a profile can have.
pub fn text(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| format!("{}; give the path of a profile", say::words(&e)))?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| say::words(&e))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err("larger than 8 MiB; give the path of a profile".into());
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8; save the file as UTF-8".into())
}

/// A document, or the one inside the `config.json` of a bundle.
fn document(text: &str) -> Result<Document, String> {
    if text.contains("\"ociVersion\"")
        && let Ok(config) = serde_json::from_str::<serde_json::Value>(text)
        && config.get("ociVersion").is_some()
    {
        let inside =
            config.pointer("/linux/seccomp").ok_or("linux.seccomp: is missing: the container runs without a filter")?;
        return parse(&inside.to_string()).map_err(|e| format!("linux.seccomp: {e}"));
    }
    parse(text).map_err(|e| e.to_string())
}

impl Loaded {
    /// The machine that it is read for.
    pub fn env(&self) -> Env<'_> {
        Env { arch: self.arch, kernel: self.kernel, caps: &self.caps, form: self.form }
    }

    /// The same place and machine, with something else in it.
    pub fn with(&self, source: Source) -> Self {
        let Self { name, arch, kernel, caps, form, .. } = self;
        Self { name: name.clone(), source, arch: *arch, kernel: *kernel, caps: caps.clone(), form: *form }
    }

    /// What it means.
    pub fn filter(&self) -> Result<Filter, String> {
        match &self.source {
            Source::Document(document) => {
                let imported = evaluate(document, &self.env()).map_err(|e| format!("{}: {e}", self.name))?;
                Ok(imported.filter)
            }
            Source::Profile(profile) => {
                let caps = KernelCaps { arch: self.arch, release: self.kernel, ..KernelCaps::full() };
                lower::meaning(profile, &caps, &|path| text(path)).map_err(|e| format!("{}: {e}", self.name))
            }
        }
    }

    /// Whether it is a Tipstaff profile over the default base, which is a deny list on purpose.
    pub fn is_over_default(&self) -> bool {
        matches!(&self.source, Source::Profile(profile) if matches!(profile.syscalls.base, None | Some(Base::Default)))
    }
}
