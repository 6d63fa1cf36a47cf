//! Structures, and how much of them is shown.

use tipstaff_decode::Value;

use super::value::put;

/// Appends a structure: all of it, or what strace(1) shows without `-v`.
pub(super) fn put_struct(out: &mut Vec<u8>, fields: &[(&'static str, Value)], whole: bool) {
    if special(out, fields) {
        return;
    }
    out.push(b'{');
    let shown = if whole { None } else { worth(fields) };
    let mut left_out = false;
    let mut first = true;
    for (name, value) in fields {
        if shown.is_some_and(|shown| !shown.contains(name)) {
            left_out = true;
            continue;
        }
        if !first {
            out.extend_from_slice(b", ");
        }
        first = false;
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        put(out, value, whole);
    }
    out.extend_from_slice(if left_out { b", ...}" } else { b"}" });
}

/// The fields that matter of the structures that have many, told by their first field. None: all.
fn worth(fields: &[(&'static str, Value)]) -> Option<&'static [&'static str]> {
    Some(match fields.first()?.0 {
        "st_dev" if is_device(fields) => &["st_mode", "st_rdev"],
        "st_dev" => &["st_mode", "st_size"],
        "stx_mask" => &["stx_mask", "stx_attributes", "stx_mode", "stx_size"],
        "ru_utime" => &["ru_utime", "ru_stime"],
        "sysname" => &["sysname", "nodename"],
        "c_iflag" => &["c_iflag", "c_oflag", "c_cflag", "c_lflag"],
        _ => return None,
    })
}

fn is_device(fields: &[(&'static str, Value)]) -> bool {
    fields.iter().any(|(name, value)| {
        *name == "st_mode" && matches!(value, Value::Octal(mode) if matches!(mode & 0o170_000, 0o020_000 | 0o060_000))
    })
}

/// What strace writes in another way: a wait status, and the number of variables of an environment.
fn special(out: &mut Vec<u8>, fields: &[(&'static str, Value)]) -> bool {
    let first: &[u8] = match fields.first() {
        Some(("vars", Value::Uint(_))) => {
            out.extend_from_slice(b"[/* ");
            put(out, &fields[0].1, true);
            out.extend_from_slice(b" vars */]");
            return true;
        }
        Some(("WEXITSTATUS", _)) => b"WIFEXITED(s)",
        Some(("WTERMSIG", _)) => b"WIFSIGNALED(s)",
        Some(("WSTOPSIG", _)) => b"WIFSTOPPED(s)",
        _ => return false,
    };
    out.extend_from_slice(b"[{");
    out.extend_from_slice(first);
    for (name, value) in fields {
        out.extend_from_slice(b" && ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"(s)");
        if *name != "WCOREDUMP" {
            out.extend_from_slice(b" == ");
            put(out, value, true);
        }
    }
    out.extend_from_slice(b"}]");
    true
}

/// A file's type by its name, from the upper bits of a mode (inode(7)).
pub(super) fn file_type(mode: u32) -> Option<&'static str> {
    Some(match mode & 0o170_000 {
        0o140_000 => "S_IFSOCK",
        0o120_000 => "S_IFLNK",
        0o100_000 => "S_IFREG",
        0o060_000 => "S_IFBLK",
        0o040_000 => "S_IFDIR",
        0o020_000 => "S_IFCHR",
        0o010_000 => "S_IFIFO",
        _ => return None,
    })
}
