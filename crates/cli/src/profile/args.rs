//! The arguments of `tipstaff profile`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{TypedValueParser, ValueParser};
use clap::{Args, Subcommand, ValueEnum};
use tipstaff_abi::{Arch, capability, nearest};
use tipstaff_oci_seccomp::libseccomp::Version;
use tipstaff_oci_seccomp::{Form, floor};

use crate::record::args::Format;

/// `tipstaff profile …`
#[derive(Debug, Subcommand)]
pub enum ProfileAction {
    /// The presets and your own profiles, a line each.
    List,
    /// The profile with everything it extends, as TOML; of docker-default and containers-default as JSON.
    Show {
        /// A name or a file.
        name: OsString,
    },
    /// Say whether a profile can be read, and what is suspicious in it. Exit status: 0 nothing, 1 something.
    Check {
        /// A name or a file: a Tipstaff profile, or OCI seccomp JSON of any engine.
        name: OsString,
        /// Name the calls that this release of libseccomp does not know, and leaves out (2.5.4).
        #[arg(long, value_name = "VERSION", value_parser = parsed(version))]
        libseccomp: Option<Version>,
        #[command(flatten)]
        machine: Machine,
    },
    /// Say what changes from one profile to another, whatever their forms. Exit status: 0 nothing, 1 something.
    Diff {
        /// A name or a file.
        before: OsString,
        /// A name or a file.
        after: OsString,
        #[command(flatten)]
        machine: Machine,
    },
    /// Make one profile that allows what any of these allows.
    Merge {
        /// Names or files.
        #[arg(value_name = "PROFILE", required = true)]
        names: Vec<OsString>,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        machine: Machine,
    },
    /// Write a profile in another form.
    Convert {
        /// A name or a file.
        name: OsString,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        machine: Machine,
    },
    /// Say why a system call is in a profile: which rules name it, which of them decides; of a recording: who made it, and when first.
    Explain {
        /// The system call.
        call: String,
        /// A name or a file: a profile or a recording.
        profile: OsString,
        #[command(flatten)]
        machine: Machine,
    },
}

/// The machine and the container that a profile is read for.
#[derive(Debug, Args)]
pub struct Machine {
    /// The machine's architecture [default: this one].
    #[arg(long, value_name = "ARCH", value_parser = parsed(arch), help_heading = "Read for")]
    pub arch: Option<Arch>,
    /// Its kernel, as MAJOR.MINOR [default: this one].
    #[arg(long, value_name = "VERSION", value_parser = parsed(kernel), help_heading = "Read for")]
    pub kernel: Option<(u32, u32)>,
    /// Capabilities in the container's bounding set: names with commas between, docker or podman for what these give, all [default: none].
    #[arg(long, value_name = "CAPS", value_parser = parsed(caps), help_heading = "Read for")]
    pub caps: Option<Caps>,
    /// Whose rules JSON is read by [default: as its members tell].
    #[arg(long = "read-as", value_name = "FORM", help_heading = "Read for")]
    pub read_as: Option<FormName>,
}

/// Where a profile goes.
#[derive(Debug, Args)]
pub struct Output {
    /// Write to FILE; its ending says in which form [default: standard output].
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The form, whatever the ending.
    #[arg(long, value_name = "FORM")]
    pub format: Option<Format>,
}

/// Capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps(pub Vec<String>);

/// `--read-as`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormName {
    /// The runtime specification.
    Oci,
    /// Docker.
    Docker,
    /// containers-common: Podman, Buildah, CRI-O.
    Containers,
}

impl From<FormName> for Form {
    fn from(name: FormName) -> Self {
        match name {
            FormName::Oci => Self::Strict,
            FormName::Docker => Self::Docker,
            FormName::Containers => Self::Containers,
        }
    }
}

fn parsed<T: Clone + Send + Sync + 'static>(parse: fn(&str) -> Result<T, String>) -> ValueParser {
    ValueParser::new(clap::builder::StringValueParser::new().try_map(move |text| parse(&text)))
}

fn arch(text: &str) -> Result<Arch, String> {
    Arch::by_name(text).ok_or_else(|| {
        let known = Arch::ALL.map(Arch::name);
        format!("no table for it; known are {}", known.join(", "))
    })
}

fn kernel(text: &str) -> Result<(u32, u32), String> {
    let parts = text.split_once('.').and_then(|(major, minor)| {
        let minor = minor.split('.').next()?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    parts.ok_or_else(|| "write MAJOR.MINOR, as in 6.1".to_owned())
}

fn version(text: &str) -> Result<Version, String> {
    Version::parse(text).ok_or_else(|| "write a release, as in 2.5.4".to_owned())
}

fn caps(text: &str) -> Result<Caps, String> {
    Ok(Caps(match text {
        "none" | "" => Vec::new(),
        "all" => capabilities().map(str::to_owned).collect(),
        "docker" => floor::Default::Docker.caps(),
        "podman" => floor::Default::Containers.caps(),
        names => names.split(',').map(cap).collect::<Result<_, _>>()?,
    }))
}

fn cap(text: &str) -> Result<String, String> {
    let upper = text.trim().to_ascii_uppercase();
    let name = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    if capabilities().any(|known| known == name) {
        return Ok(name);
    }
    let near = nearest(&name, capabilities()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    Err(format!("no capability is called {text}{near}"))
}

fn capabilities() -> impl Iterator<Item = &'static str> {
    (0..=u8::MAX).map_while(capability::name)
}
