//! What a container is called. The state has no member for it; engines put it elsewhere.

use serde::Deserialize;

use crate::state::State;

/// Annotations that hold a container's name: the kubelet's label that CRI-O hands on, CRI-O's own, containerd's.
const KEYS: [&str; 3] =
    ["io.kubernetes.container.name", "io.kubernetes.cri-o.ContainerName", "io.kubernetes.cri.container-name"];

/// The name, or the id of a container without one.
pub fn of(state: &State) -> String {
    let annotated = KEYS.iter().find_map(|key| state.annotations().get(*key)).cloned();
    annotated.or_else(|| stored(state)).unwrap_or_else(|| state.id.clone())
}

/// containers-storage (Podman, CRI-O) keeps a bundle in `DRIVER-containers/ID/userdata`, beside `DRIVER-containers/containers.json`.
fn stored(state: &State) -> Option<String> {
    #[derive(Deserialize)]
    struct Entry {
        id: String,
        #[serde(default)]
        names: Vec<String>,
    }
    let dir = state.bundle.parent().filter(|dir| dir.file_name().is_some_and(|name| *name == *state.id))?.parent()?;
    let text = std::fs::read(dir.join("containers.json")).ok()?;
    let entries: Vec<Entry> = serde_json::from_slice(&text).ok()?;
    entries.into_iter().find(|entry| entry.id == state.id)?.names.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotation_store_id() {
        let dir = tempfile::tempdir().expect("a directory");
        let bundle = dir.path().join("vfs-containers/c16a/userdata");
        std::fs::create_dir_all(&bundle).expect("a bundle");
        let state = |more: &str| {
            let json = format!(r#"{{"id":"c16a","status":"stopped","bundle":{bundle:?},"annotations":{{{more}}}}}"#);
            State::parse(json.as_bytes()).expect("a state")
        };
        assert_eq!(of(&state("")), "c16a");
        let store = r#"[{"id":"aaaa","names":["db"]},{"id":"c16a","names":["web"],"layer":"x"}]"#;
        std::fs::write(dir.path().join("vfs-containers/containers.json"), store).expect("a store");
        assert_eq!(of(&state("")), "web");
        assert_eq!(of(&state(r#""io.kubernetes.container.name":"front""#)), "front");
    }
}
