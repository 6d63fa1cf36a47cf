//! A control group by its directory, cgroups(7).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::maps::size;

/// A control group as the programs know it: its hierarchy's number and its own.
pub(crate) fn key(directory: &Path) -> Result<[u8; size::CGROUP], Error> {
    let error = |why: &str| Error::Cgroup { path: directory.to_owned(), why: why.to_owned() };
    let directory: PathBuf = directory.canonicalize().map_err(|e| error(&e.to_string()))?;
    let meta = fs::metadata(&directory).map_err(|e| error(&e.to_string()))?;
    if !directory.join("cgroup.procs").exists() {
        return Err(error("not a directory of a control group"));
    }
    // The mount that it lies in, by the device number (proc_pid_mountinfo(5)).
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|e| error(&e.to_string()))?;
    let device = format!("{}:{}", rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some(&device));
    let (kind, options) = mount
        .and_then(|line| line.split_once(" - "))
        .and_then(|(_, rest)| rest.split_once(' '))
        .and_then(|(kind, rest)| Some((kind, rest.rsplit_once(' ')?.1)))
        .ok_or_else(|| error("no mount of a control group"))?;
    let hierarchy = match kind {
        "cgroup2" => 0,
        _ => {
            // cgroups(7): hierarchy, controllers, path; the controllers are among the super block's options.
            let own = fs::read_to_string("/proc/self/cgroup").map_err(|e| error(&e.to_string()))?;
            let given: BTreeSet<&str> = options.split(',').collect();
            own.lines()
                .filter_map(|line| line.split_once(':'))
                .filter_map(|(number, rest)| Some((number, rest.split_once(':')?.0)))
                .find(|(_, controllers)| {
                    !controllers.is_empty() && controllers.split(',').all(|controller| given.contains(controller))
                })
                .and_then(|(number, _)| number.parse::<u32>().ok())
                .ok_or_else(|| error("its hierarchy is not known"))?
        }
    };
    let mut key = [0; size::CGROUP];
    key[..4].copy_from_slice(&hierarchy.to_ne_bytes());
    key[8..].copy_from_slice(&meta.ino().to_ne_bytes());
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_no_group_is_told() {
        let error = key(Path::new("/tmp")).expect_err("no control group");
        assert_eq!(error.to_string(), "/tmp: not a directory of a control group");
    }
}
