//! Finding the program and pinning it: execvp(3)'s search, and the interpreter line of scripts (execve(2)).
//!
//! An ELF program is pinned by device and inode: what the box opens at its path must be the very file that was found. Of
//! a script the interpreter is pinned so; the script itself is read by its interpreter, by path, in the box.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tipstaff_sys::Errno;

use crate::Failure;

/// A program, found and pinned.
#[derive(Clone, Debug)]
pub struct Program {
    /// argv of what is executed: for a script, its interpreter's.
    pub argv: Vec<CString>,
    /// The file that is executed, symbolic links followed.
    pub path: PathBuf,
    /// st_dev of it.
    pub dev: u64,
    /// st_ino of it.
    pub ino: u64,
    /// Every path that the box must show for this: as typed, and each interpreter.
    pub shown: Vec<PathBuf>,
}

/// BINPRM_BUF_SIZE: how much of the first line the kernel reads.
const LINE: usize = 256;
/// How many interpreters may stand behind each other.
const DEPTH: usize = 4;

fn failed(errno: Errno, name: &OsStr) -> Failure {
    Failure::new("exec", errno, format_args!("exec {name:?}"))
}

impl Program {
    /// Finds `argv[0]`: by path relative to `cwd` when it has a slash, else in the directories of `search`
    /// (`PATH`). ENOENT: not found; EACCES: found, but not a file that may be executed.
    pub fn resolve(argv: &[OsString], search: Option<&OsStr>, cwd: &Path) -> Result<Self, Failure> {
        let name = argv.first().filter(|name| !name.is_empty());
        let Some(name) = name else {
            return Err(Failure::own("arguments", "no program given: name one after `--`"));
        };
        let found = find(name, search, cwd)?;
        let mut shown = vec![found.clone()];
        let mut args: Vec<OsString> = argv.to_vec();
        let mut file = found;
        for _ in 0..=DEPTH {
            let Some((interpreter, argument)) = interpreter_line(&file)? else {
                return pin(file, args, shown);
            };
            let path = cwd.join(&interpreter);
            if !path.is_file() {
                let what = format_args!("exec {name:?}: its interpreter {interpreter:?}");
                return Err(Failure::new("exec", Errno::NOENT, what));
            }
            executable(&path, interpreter.as_os_str())?;
            // The kernel replaces argv[0] by interpreter, its one argument, and the script's path.
            let mut head: Vec<OsString> = vec![interpreter.into_os_string()];
            head.extend(argument);
            head.push(file.into_os_string());
            args.splice(0..1, head);
            shown.push(path.clone());
            file = path;
        }
        Err(failed(Errno(40), name)) // ELOOP
    }
}

fn find(name: &OsStr, search: Option<&OsStr>, cwd: &Path) -> Result<PathBuf, Failure> {
    if name.as_bytes().contains(&b'/') {
        let path = cwd.join(name);
        executable(&path, name)?;
        return Ok(path);
    }
    let default = OsString::from("/usr/local/bin:/usr/bin:/bin");
    let mut refused = None;
    for dir in search.unwrap_or(&default).as_bytes().split(|b| *b == b':') {
        // An empty entry is the working directory (execvp(3)).
        let path = cwd.join(OsStr::from_bytes(dir)).join(name);
        if std::fs::metadata(&path).is_ok_and(|m| m.is_file()) {
            match executable(&path, name) {
                Ok(()) => return Ok(path),
                Err(e) => drop(refused.get_or_insert(e)),
            }
        }
    }
    let not_found = Failure { message: format!("exec {name:?}: not found in PATH"), ..failed(Errno::NOENT, name) };
    Err(refused.unwrap_or(not_found))
}

fn executable(path: &Path, name: &OsStr) -> Result<(), Failure> {
    let meta = std::fs::metadata(path).map_err(|e| failed(Errno::from(e), name))?;
    if meta.is_dir() {
        return Err(Failure { message: format!("exec {name:?}: is a directory"), ..failed(Errno(13), name) });
    }
    let access = rustix::fs::access(path, rustix::fs::Access::EXEC_OK);
    if let Err(e) = access
        && e != rustix::io::Errno::ACCESS
        && e != rustix::io::Errno::PERM
    {
        return Err(failed(e.into(), name));
    }
    // For uid 0, access(2) is content with any execute bit; the guest has no capability that would help it.
    if access.is_err() || meta.permissions().mode() & 0o111 == 0 || !meta.is_file() {
        let message = format!("exec {name:?}: not an executable file; is its execute bit set?");
        return Err(Failure { message, ..failed(Errno(13), name) });
    }
    Ok(())
}

/// `#!interpreter [argument]`. A file that may be executed but not read cannot be a script.
fn interpreter_line(path: &Path) -> Result<Option<(PathBuf, Option<OsString>)>, Failure> {
    let Ok(mut file) = File::open(path) else { return Ok(None) };
    let mut head = [0u8; LINE];
    let mut n = 0;
    while n < LINE {
        match file.read(&mut head[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(Errno::from(e), path.as_os_str())),
        }
    }
    let head = &head[..n];
    if !head.starts_with(b"#!") {
        return Ok(None);
    }
    let line = head[2..].split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.trim_ascii();
    let (interpreter, argument) = match line.iter().position(|b| *b == b' ' || *b == b'\t') {
        Some(at) => (&line[..at], Some(line[at..].trim_ascii()).filter(|a| !a.is_empty())),
        None => (line, None),
    };
    if interpreter.is_empty() {
        return Err(failed(Errno(8), path.as_os_str())); // ENOEXEC
    }
    let own = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    Ok(Some((PathBuf::from(own(interpreter)), argument.map(own))))
}

fn pin(file: PathBuf, args: Vec<OsString>, shown: Vec<PathBuf>) -> Result<Program, Failure> {
    let path = std::fs::canonicalize(&file).map_err(|e| failed(Errno::from(e), file.as_os_str()))?;
    let meta = std::fs::metadata(&path).map_err(|e| failed(Errno::from(e), file.as_os_str()))?;
    let argv: Result<Vec<CString>, _> = args.into_iter().map(|a| CString::new(a.into_vec())).collect();
    let argv =
        argv.map_err(|_| Failure::own("arguments", "an argument contains a NUL byte; no program can take it"))?;
    Ok(Program { argv, dev: meta.dev(), ino: meta.ino(), path, shown })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn resolve(path: &Path) -> Result<Program, Failure> {
        Program::resolve(&[path.as_os_str().to_owned(), "x".into()], None, Path::new("/"))
    }

    #[test]
    fn a_script_becomes_its_interpreter_with_one_argument() {
        let (_dir, path) = script("#! /bin/sh -e -u \nexit\n", 0o755);
        let program = resolve(&path).unwrap();
        let argv: Vec<_> = program.argv.iter().map(|a| a.to_str().unwrap()).collect();
        assert_eq!(argv, ["/bin/sh", "-e -u", path.to_str().unwrap(), "x"]);
        assert_eq!(program.shown, [path, "/bin/sh".into()]);
    }

    #[test]
    fn the_errno_says_whether_it_was_found() {
        assert_eq!(resolve(Path::new("/nonexistent/x")).unwrap_err().errno, Some(Errno::NOENT));
        assert_eq!(resolve(Path::new("/")).unwrap_err().errno, Some(Errno(13)));
        let (_dir, path) = script("#!/bin/sh\n", 0o644);
        assert_eq!(resolve(&path).unwrap_err().errno, Some(Errno(13)));
        let (_dir, path) = script("#!/nonexistent/interpreter\n", 0o755);
        assert_eq!(resolve(&path).unwrap_err().errno, Some(Errno::NOENT));
    }

    #[test]
    fn a_script_that_is_its_own_interpreter_is_a_loop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        std::fs::write(&path, format!("#!{}\n", path.display())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(resolve(&path).unwrap_err().errno, Some(Errno(40)));
    }
}
