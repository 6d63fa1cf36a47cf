//! No guest sees a directory of control sockets: whoever gets at one could end, pause or look at every box of its user.

use std::fs::canonicalize;
use std::path::{Path, PathBuf};

use tipstaff_control::{Place, candidates};
use tipstaff_policy::profile::{CwdAccess, PathRule, Profile, Tmp};

/// Takes the directories out of what a profile shows. One that lies beneath a path that is shown is made first, so that it cannot
/// come later. Err: a mount of the profile would show it under another name.
pub(crate) fn hide(profile: &mut Profile, cwd: &Path) -> Result<(), String> {
    for dir in candidates() {
        let fs = &profile.filesystem;
        for mount in &fs.mounts {
            let source = canonicalize(cwd.join(&mount.source)).unwrap_or_default();
            if dir.starts_with(&source) || source.starts_with(&dir) {
                let source = &mount.source;
                return Err(format!(
                    "filesystem.mounts: {source:?} holds control sockets ({dir:?}); mount what you need of it alone"
                ));
            }
        }
        if shown(profile, cwd).iter().any(|path| dir.starts_with(path)) {
            // One that cannot be made is of no use to us either.
            let _ = Place::make_at(&dir);
        }
        // Somebody else's directory, or a link, holds no sockets of ours: it is not for him to say what a box sees.
        let inside = match &profile.filesystem.root {
            Some(root) => dir.strip_prefix(root).ok().map(|rest| Path::new("/").join(rest)),
            None => Some(dir.clone()),
        };
        if let (Some(inside), Ok(_)) = (inside, Place::open(&dir)) {
            profile.filesystem.deny.push(PathRule::if_exists(inside));
        }
    }
    Ok(())
}

/// The paths that a profile shows by name. `/` is none: what it stands for leaves out /tmp and /run.
fn shown(profile: &Profile, cwd: &Path) -> Vec<PathBuf> {
    let fs = &profile.filesystem;
    let rules = [&fs.read, &fs.write, &fs.exec].into_iter().flatten().map(|rule| cwd.join(&rule.path));
    let rules = rules.filter(|path| path != Path::new("/"));
    let mut paths: Vec<PathBuf> = rules.filter_map(|path| canonicalize(path).ok()).collect();
    if fs.tmp == Some(Tmp::Host) {
        paths.push("/tmp".into());
    }
    if fs.cwd.is_some_and(|access| access != CwdAccess::None) {
        paths.extend(canonicalize(cwd));
    }
    paths
}
