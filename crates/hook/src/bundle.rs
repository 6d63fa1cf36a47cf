//! `config.json` of a bundle: what bears on a recording and on the profile made of it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;

/// What a container's configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The first program, as it is called.
    pub program: Option<String>,
    /// User and group inside.
    pub user: (u32, u32),
    /// no_new_privs: without it a runtime sets ids and capabilities after the filter is in force, and the profile must allow that.
    pub no_new_privileges: bool,
    /// The bounding set, as "CAP_CHOWN".
    pub capabilities: Vec<String>,
    /// It runs under a seccomp filter already: calls that the filter refuses change what the program does next, so the recording is biased.
    pub filtered: bool,
    /// It has a PID namespace of its own.
    pub pid_namespace: bool,
}

#[derive(Deserialize)]
struct Config {
    process: Option<Process>,
    linux: Option<Linux>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    #[serde(default)]
    args: Option<Vec<String>>,
    #[serde(default)]
    no_new_privileges: bool,
    user: Option<User>,
    capabilities: Option<Capabilities>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
}

#[derive(Deserialize)]
struct Capabilities {
    #[serde(default)]
    bounding: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Linux {
    seccomp: Option<Seccomp>,
    #[serde(default)]
    namespaces: Option<Vec<Namespace>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seccomp {
    #[serde(default)]
    default_action: String,
    #[serde(default)]
    syscalls: Option<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
struct Namespace {
    r#type: String,
    /// One that is there already, which this container shares.
    #[serde(default)]
    path: Option<String>,
}

impl Bundle {
    /// Reads the configuration of a bundle.
    ///
    /// # Errors
    /// No such file, no JSON, or a member of the wrong kind.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("config.json");
        let text = std::fs::read(&path).map_err(|e| Error::Bundle(path.clone(), crate::words(&e)))?;
        Self::parse(&text).map_err(|e| Error::Bundle(path, e.to_string()))
    }

    pub(crate) fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let config: Config = serde_json::from_slice(text)?;
        let mut bundle = Self::default();
        if let Some(process) = config.process {
            bundle.program = process.args.unwrap_or_default().into_iter().next();
            bundle.no_new_privileges = process.no_new_privileges;
            bundle.user = process.user.map_or((0, 0), |user| (user.uid, user.gid));
            bundle.capabilities = process.capabilities.and_then(|caps| caps.bounding).unwrap_or_default();
        }
        if let Some(linux) = config.linux {
            let spaces = linux.namespaces.unwrap_or_default();
            let own = |space: &Namespace| space.path.as_ref().is_none_or(String::is_empty);
            bundle.pid_namespace = spaces.iter().any(|space| space.r#type == "pid" && own(space));
            // An empty profile is none, and one that allows everything refuses nothing.
            bundle.filtered = linux.seccomp.is_some_and(|seccomp| {
                let allows = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", ""].contains(&seccomp.default_action.as_str());
                !allows || seccomp.syscalls.is_some_and(|rules| !rules.is_empty())
            });
        }
        Ok(bundle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bears_on_a_recording() {
        let text = br#"{"ociVersion":"1.0.2","process":{"user":{"uid":5,"gid":6},"args":["sh","-c","ls"],"noNewPrivileges":true,
            "capabilities":{"bounding":["CAP_CHOWN"],"effective":[]}},"hooks":{"prestart":[{"path":"/x"}]},
            "linux":{"namespaces":[{"type":"pid"},{"type":"mount"}],"seccomp":{"defaultAction":"SCMP_ACT_ERRNO"}}}"#;
        let expected = Bundle {
            program: Some("sh".into()),
            user: (5, 6),
            no_new_privileges: true,
            capabilities: vec!["CAP_CHOWN".into()],
            filtered: true,
            pid_namespace: true,
        };
        assert_eq!(Bundle::parse(text).expect("a bundle"), expected);
        let text =
            br#"{"process":{"args":null,"capabilities":null},"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW"}}}"#;
        assert_eq!(Bundle::parse(text).expect("a bundle"), Bundle::default());
        let text = br#"{"linux":{"namespaces":[{"type":"pid","path":"/proc/7/ns/pid"}]}}"#;
        assert_eq!(Bundle::parse(text).expect("a bundle"), Bundle::default(), "another container's namespace");
        assert_eq!(Bundle::parse(b"{}").expect("a bundle"), Bundle::default());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Bundle::read(Path::new("/nonexistent")).expect_err("no bundle").to_string();
        assert_eq!(error, r#""/nonexistent/config.json": no such file or directory"#);
    }
}
