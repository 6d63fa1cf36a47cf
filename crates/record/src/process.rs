//! What proc(5) says of the processes that are recorded.

use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tipstaff_abi::Arch;
use tipstaff_report::Bytes;

/// The program that a process runs; empty where it cannot be told. What the kernel adds to a removed file's name is left out.
pub(crate) fn executable(pid: i32) -> Bytes {
    let path = fs::read_link(format!("/proc/{pid}/exe")).map(|path| path.into_os_string().into_vec());
    let path = path.unwrap_or_default();
    Bytes::from(path.strip_suffix(b" (deleted)").map_or(path.as_slice(), |path| path))
}

/// A path that a task names, from the root: relative ones start at its working directory, or at one of its descriptors. As it is where that
/// cannot be told.
pub(crate) fn absolute(tid: i32, directory: Option<i32>, path: &[u8]) -> Bytes {
    if path.first() == Some(&b'/') {
        return Bytes::from(tidy(path));
    }
    let start = match directory {
        Some(fd) => fs::read_link(format!("/proc/{tid}/fd/{fd}")),
        None => fs::read_link(format!("/proc/{tid}/cwd")),
    };
    match start {
        Ok(start) if start.is_absolute() => {
            let mut whole = start.into_os_string().into_vec();
            whole.push(b'/');
            whole.extend_from_slice(path);
            Bytes::from(tidy(&whole))
        }
        _ => Bytes::from(path),
    }
}

/// Without empty components and single dots; `..` stays, since what it means depends on links.
pub(crate) fn tidy(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for part in path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".") {
        out.push(b'/');
        out.extend_from_slice(part);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

/// A number of `/proc/PID/status`.
pub(crate) fn status(pid: i32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Where a process's stack begins: another place after each exec. `None`: it is gone, or may not be looked at.
pub(crate) fn stack(pid: i32) -> Option<u64> {
    const STARTSTACK: usize = 28;
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name, in brackets, may hold anything; the third field follows the last one of them.
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(STARTSTACK - 3)?.parse().ok()
}

/// Whether a seccomp filter is in force for it.
pub(crate) fn is_filtered(pid: i32) -> bool {
    status(pid, "Seccomp").is_some_and(|mode| mode != 0)
}

/// Whether a thread sleeps, or is stopped; also if it is gone.
pub(crate) fn is_blocked(tid: i32) -> bool {
    let text = fs::read_to_string(format!("/proc/{tid}/stat")).unwrap_or_default();
    // The command's name, in brackets, may hold anything.
    !text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R'))
}

/// Whether a thread is gone, or has SIGKILL to take and will be: also one that an exec or a group's exit ends.
pub(crate) fn is_dying(tid: i32) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/{tid}/status")) else { return true };
    let field = |name| text.lines().find_map(|line: &str| line.strip_prefix(name)).unwrap_or_default().trim_start();
    let kill = |name| u64::from_str_radix(field(name), 16).is_ok_and(|pending| pending & (1 << 8) != 0);
    field("State:").starts_with(['Z', 'X']) || kill("SigPnd:") || kill("ShdPnd:")
}

/// Its threads; none: it is gone.
pub(crate) fn threads(pid: i32) -> Vec<i32> {
    numbers(&format!("/proc/{pid}/task"))
}

fn numbers(directory: &str) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// A process and its descendants, parents first. From all that proc(5) shows: `children` needs a kernel that was built with it.
pub(crate) fn tree(root: i32) -> Vec<i32> {
    let all: Vec<(i32, i32)> =
        numbers("/proc").into_iter().filter_map(|pid| Some((pid, i32::try_from(status(pid, "PPid")?).ok()?))).collect();
    let mut found = vec![root];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(all.iter().filter(|&&(_, of)| of == parent).map(|&(pid, _)| pid));
        at += 1;
    }
    found
}

/// The processes of a control group and of those below it.
pub(crate) fn in_cgroup(directory: &Path) -> std::io::Result<Vec<i32>> {
    let text = fs::read_to_string(directory.join("cgroup.procs"))?;
    let mut found: Vec<i32> = text.lines().filter_map(|line| line.trim().parse().ok()).filter(|&pid| pid > 0).collect();
    for entry in fs::read_dir(directory)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // One that is removed meanwhile is empty.
            found.extend(in_cgroup(&entry.path()).unwrap_or_default());
        }
    }
    Ok(found)
}

/// The call that a thread is in, from proc_pid_syscall(5): `Ok(None)`: in none. Err: it does not say.
pub(crate) fn current_call(pid: i32, tid: i32) -> std::io::Result<Option<(u32, [u64; 6])>> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall"))?;
    let mut words = text.split_ascii_whitespace();
    let Some(number) = words.next().and_then(|word| word.parse().ok()) else { return Ok(None) };
    let mut args = [0; 6];
    for (arg, word) in args.iter_mut().zip(words) {
        *arg = u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap_or(0);
    }
    Ok(Some((number, args)))
}

/// Whose table a process's numbers belong to, going by its program: elf(5). Not what it does with `int 0x80`.
pub(crate) fn arch(pid: i32) -> Option<Arch> {
    let mut head = [0; 20];
    use std::io::Read;
    fs::File::open(format!("/proc/{pid}/exe")).ok()?.read_exact(&mut head).ok()?;
    let wide = head[4] == 2;
    match (u16::from_le_bytes([head[18], head[19]]), wide) {
        (3, _) => Some(Arch::I386),
        (62, true) => Some(Arch::X86_64),
        (62, false) => Some(Arch::X32),
        (183, _) => Some(Arch::Aarch64),
        (40, _) => Some(Arch::Arm),
        _ => None,
    }
}

/// The directories of the control groups that a process is in and this process is not, nor in one above or below: those of a container alone.
pub(crate) fn own_cgroups(pid: i32) -> Vec<PathBuf> {
    let theirs = cgroups(pid);
    let ours = cgroups(std::process::id().cast_signed());
    theirs.into_iter().filter(|path| !ours.iter().any(|our| our.starts_with(path))).collect()
}

/// cgroups(7): the directories of all hierarchies that are mounted in the usual places.
fn cgroups(pid: i32) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mut found = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let mounts: Vec<&str> =
            if controllers.is_empty() { vec!["", "unified"] } else { vec![controllers.trim_start_matches("name=")] };
        for mount in mounts {
            let directory = Path::new("/sys/fs/cgroup").join(mount).join(path.trim_start_matches('/'));
            if is_cgroup(&directory) && !found.contains(&directory) {
                found.push(directory);
            }
        }
    }
    found
}

/// Whether a directory is one of a control group file system.
pub(crate) fn is_cgroup(directory: &Path) -> bool {
    directory.join("cgroup.procs").metadata().is_ok_and(|meta| meta.mode() & 0o170_000 == 0o100_000)
}

/// What a name in the file system is, in bytes.
pub(crate) fn bytes(path: &Path) -> Bytes {
    Bytes::from(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_tidied_and_made_absolute() {
        let me = std::process::id() as i32;
        assert_eq!(absolute(me, None, b"//usr/./lib/../x/"), Bytes::from("/usr/lib/../x"));
        assert_eq!(absolute(me, None, b"/"), Bytes::from("/"));
        let cwd = std::env::current_dir().expect("cwd");
        assert_eq!(absolute(me, None, b"a/b"), bytes(&cwd.join("a/b")));
        assert_eq!(absolute(me, Some(9999), b"a"), Bytes::from("a"));
    }

    #[test]
    fn a_process_is_in_its_own_tree_and_has_threads() {
        let me = std::process::id() as i32;
        assert!(tree(me).contains(&me) && threads(me).len() > 1);
        assert_eq!(arch(me), Arch::native());
        assert!(threads(i32::MAX).is_empty());
        assert_eq!(status(me, "Tgid"), Some(me as u64));
    }
}
