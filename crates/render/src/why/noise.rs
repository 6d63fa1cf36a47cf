//! Failing calls that belong to a program's daily life.

use super::process::Failure;

/// What a failing call is worth as an explanation, before anything else is known about it. 0 for one that may mean something, less for what
/// programs do all the time.
pub(super) fn penalty(failure: &Failure) -> i32 {
    if unremarkable(failure.errno, &failure.name) {
        return -200;
    }
    if matches!(failure.errno, "ENOENT" | "ENOTDIR") && failure.path.as_deref().is_some_and(probed) {
        return -80;
    }
    // A question is not a deed: who asks whether a file is there lives with the answer no.
    if matches!(failure.errno, "ENOENT" | "ENOTDIR") && asks(&failure.name) { -20 } else { 0 }
}

/// Errors that mean "not now", "not this way" or "nothing there", and are answered by going on.
fn unremarkable(errno: &str, call: &str) -> bool {
    match errno {
        "EAGAIN" | "EINTR" | "EINPROGRESS" | "EALREADY" | "ETIMEDOUT" if call != "connect" => {
            !matches!(call, "clone" | "clone3" | "fork" | "vfork" | "mmap" | "mlock")
        }
        "EINPROGRESS" | "EINTR" => true,
        // isatty(3).
        "ENOTTY" => matches!(call, "ioctl"),
        "ESPIPE" => matches!(call, "lseek" | "_llseek" | "llseek" | "pread64"),
        // wait(2) until there are no more.
        "ECHILD" => matches!(call, "wait4" | "waitid" | "waitpid"),
        // A path that is no symbolic link (realpath(3)), a signal or option that this kernel does not have.
        "EINVAL" => matches!(
            call,
            "readlink" | "readlinkat" | "prctl" | "rt_sigaction" | "fadvise64" | "sched_getaffinity" | "rseq"
        ),
        "ENODATA" | "EOPNOTSUPP" | "ENOTSUP" => call.contains("xattr") || matches!(call, "ioctl" | "fallocate"),
        "ENOSYS" => true,
        "EEXIST" => matches!(call, "mkdir" | "mkdirat"),
        _ => errno.starts_with("ERESTART"),
    }
}

/// Calls that only ask.
fn asks(call: &str) -> bool {
    call.contains("stat") || call.contains("access") || call.starts_with("readlink")
}

/// Files that are looked for in case they are there.
fn probed(path: &[u8]) -> bool {
    let within = |part: &[u8]| path.windows(part.len()).any(|window| window == part);
    let ends = |part: &[u8]| path.ends_with(part);
    within(b"/locale/")
        || within(b"/gconv/")
        || within(b"/glibc-hwcaps/")
        || within(b"/terminfo/")
        || within(b"__pycache__")
        || ends(b"/etc/ld.so.preload")
        || ends(b"/etc/ld.so.cache")
        || ends(b".mo")
        || ends(b".pyc")
        || ends(b".pth")
        || ends(b"._pth")
        || ends(b"pyvenv.cfg")
        || ends(b"pybuilddir.txt")
        || ends(b"/nscd/socket")
        || ends(b"/etc/nsswitch.conf")
        || ends(b"/selinux/config")
        || ends(b"/sys/fs/selinux")
        || ends(b"rc") && within(b"/.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(name: &str, errno: &'static str, path: Option<&str>) -> Failure {
        Failure { order: 0, line: String::new(), name: name.into(), errno, path: path.map(|path| path.into()) }
    }

    #[test]
    fn daily_life_is_noise_and_the_rest_is_not() {
        let noise = [
            ("access", "ENOENT", Some("/etc/ld.so.preload")),
            ("openat", "ENOENT", Some("/usr/lib/locale/C.utf8/LC_CTYPE")),
            ("ioctl", "ENOTTY", None),
            ("lseek", "ESPIPE", None),
            ("wait4", "ECHILD", None),
            ("futex", "EAGAIN", None),
            ("read", "ERESTARTSYS", None),
        ];
        for (name, errno, path) in noise {
            assert!(penalty(&failure(name, errno, path)) <= -80, "{name} {errno}");
        }
        let telling = [
            ("openat", "ENOENT", Some("/nope")),
            ("openat", "EACCES", Some("/usr/lib/locale/x")),
            ("clone", "EAGAIN", None),
            ("connect", "ETIMEDOUT", None),
            ("kill", "ESRCH", None),
        ];
        for (name, errno, path) in telling {
            assert_eq!(penalty(&failure(name, errno, path)), 0, "{name} {errno}");
        }
        assert!((-79..0).contains(&penalty(&failure("statx", "ENOENT", Some("/nope")))));
    }
}
