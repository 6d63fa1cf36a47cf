//! Running containers by their id, as their runtimes keep them on disk.
//!
//! runc has `ROOT/ID/state.json` with the first process, the control groups and, among the labels, the bundle; crun has `ROOT/ID/status` with process, control
//! group and bundle. Podman's containers are such of its runtime's, in the same places. ROOT is /run/runc or /run/crun, of an ordinary user the same
//! below XDG_RUNTIME_DIR; containerd and Docker give their runc others.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tipstaff_recording::Container;

use crate::{ContainerTarget, Error, process};

/// Finds a running container.
///
/// # Errors
/// If no runtime has it, or it is not running.
pub fn container(id: &str) -> Result<ContainerTarget, Error> {
    let wrong = |why: String| Error::Target(format!("{id}: {why}"));
    if id.is_empty() || id.contains('/') || id.starts_with('.') {
        return Err(wrong("no container id".into()));
    }
    let places = places();
    for (directory, runtime) in &places {
        let Some(known) = find(directory, id).map_err(&wrong)? else { continue };
        let path = directory.join(known).join(if *runtime == "crun" { "status" } else { "state.json" });
        let text = fs::read_to_string(&path).map_err(|e| wrong(format!("{}: {e}", path.display())))?;
        let state: Value = serde_json::from_str(&text).map_err(|e| wrong(format!("{}: {e}", path.display())))?;
        return target(&state, runtime, &path).map_err(wrong);
    }
    let looked: Vec<String> = places.iter().map(|(directory, _)| directory.display().to_string()).collect();
    Err(wrong(format!("no container of runc or crun is called so; looked in {}", looked.join(", "))))
}

/// Where runtimes keep their containers: their own places, and those that containerd and Docker give to runc, one for each of their namespaces.
fn places() -> Vec<(PathBuf, &'static str)> {
    let mut roots = vec![PathBuf::from("/run")];
    roots.extend(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
    let mut places = Vec::new();
    for root in roots {
        places.extend(["runc", "crun"].map(|runtime| (root.join(runtime), runtime)));
    }
    for parent in ["/run/containerd/runc", "/run/docker/runtime-runc"] {
        let namespaces = fs::read_dir(parent).into_iter().flatten().flatten();
        places.extend(namespaces.map(|namespace| (namespace.path(), "runc")));
    }
    places
}

/// The whole id: engines show its beginning only.
fn find(directory: &Path, id: &str) -> Result<Option<String>, String> {
    if directory.join(id).is_dir() {
        return Ok(Some(id.to_owned()));
    }
    let Ok(entries) = fs::read_dir(directory) else { return Ok(None) };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| id.len() >= 4 && name.starts_with(id)).collect();
    match names.len() {
        0 | 1 => Ok(names.pop()),
        n => Err(format!("{n} containers begin so; write more of the id")),
    }
}

fn target(state: &Value, runtime: &str, path: &Path) -> Result<ContainerTarget, String> {
    let number = |key: &str| state.get(key).and_then(Value::as_i64).and_then(|pid| i32::try_from(pid).ok());
    // runc's and crun's names for it.
    let init = number("init_process_pid").or_else(|| number("pid")).filter(|&pid| pid > 0);
    let init = init.ok_or_else(|| format!("{}: no process; is it running?", path.display()))?;
    if process::threads(init).is_empty() {
        return Err(format!("not running: its process {init} is gone"));
    }
    let id = path.parent().and_then(Path::file_name).and_then(OsStr::to_str).unwrap_or_default().to_owned();
    let bundle = bundle(state);
    let config = bundle.as_deref().and_then(|bundle| fs::read_to_string(bundle.join("config.json")).ok());
    let config: Option<Value> = config.and_then(|text| serde_json::from_str(&text).ok());
    let text = |pointer: &str| Some(config.as_ref()?.pointer(pointer)?.as_str()?.to_owned());
    let no_new_privs =
        config.as_ref().map(|config| config.pointer("/process/noNewPrivileges") == Some(&Value::Bool(true)));
    let about = Container {
        id,
        runtime: Some(runtime.to_owned()),
        bundle: bundle.as_deref().map(process::bytes),
        image: text("/annotations/io.kubernetes.cri.image-name")
            .or_else(|| text("/annotations/io.container.manager.image"))
            .or_else(|| text("/annotations/org.opencontainers.image.ref.name")),
        no_new_privs,
    };
    Ok(ContainerTarget { about, init, cgroups: process::own_cgroups(init), starting: false })
}

fn bundle(state: &Value) -> Option<PathBuf> {
    if let Some(bundle) = state.get("bundle").and_then(Value::as_str) {
        return Some(bundle.into());
    }
    // runc: a list of "key=value".
    let labels = state.pointer("/config/labels")?.as_array()?;
    labels.iter().filter_map(Value::as_str).find_map(|label| label.strip_prefix("bundle=")).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_both_runtimes_are_read() {
        let me = std::process::id();
        let runc = format!(r#"{{"init_process_pid": {me}, "config": {{"labels": ["x=y", "bundle=/nowhere/b"]}}}}"#);
        let runc =
            target(&serde_json::from_str(&runc).unwrap(), "runc", Path::new("/run/runc/web/state.json")).unwrap();
        assert_eq!((runc.about.id.as_str(), runc.init), ("web", me as i32));
        assert_eq!(runc.about.bundle, Some("/nowhere/b".into()));
        let crun = format!(r#"{{"pid": {me}, "bundle": "/nowhere/c"}}"#);
        let crun = target(&serde_json::from_str(&crun).unwrap(), "crun", Path::new("/run/crun/db/status")).unwrap();
        assert_eq!(crun.about.bundle, Some("/nowhere/c".into()));
        assert_eq!(crun.about.no_new_privs, None, "no config.json, nothing known");
        let gone =
            target(&serde_json::from_str(r#"{"pid": 2147483646}"#).unwrap(), "crun", Path::new("/run/crun/x/status"));
        assert!(gone.unwrap_err().contains("gone"));
    }

    #[test]
    fn ids_that_are_none_are_refused() {
        for id in ["", "../etc", ".", "no-such-container"] {
            assert!(container(id).is_err(), "{id}");
        }
    }
}
