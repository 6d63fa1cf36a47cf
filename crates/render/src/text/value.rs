//! Values as strace prints them.

use tipstaff_decode::{Returned, Value};

use super::escape::{escape, quote};
use super::number::{decimal, hex, octal};
use super::structure::{file_type, put_struct};

/// Appends one value; of large structures all fields (`whole`) or those that matter.
pub(crate) fn put(out: &mut Vec<u8>, value: &Value, whole: bool) {
    match value {
        Value::Int(number) => decimal(out, *number),
        Value::Uint(number) => decimal(out, *number),
        Value::Hex(word) => hex(out, *word),
        Value::Octal(mode) => mode_of(out, *mode),
        Value::Name(name) => out.extend_from_slice(name.as_bytes()),
        Value::Flags { names, rest } => flags(out, names, *rest),
        Value::Bytes { bytes, cut } => quote(out, bytes, *cut),
        Value::Address(0) => out.extend_from_slice(b"NULL"),
        Value::Address(address) => hex(out, *address),
        Value::Fd { number, path } => descriptor(out, *number, path.as_deref()),
        Value::Struct(fields) => put_struct(out, fields, whole),
        Value::List { items, more } => list(out, items, *more, whole),
    }
}

/// Appends what stands behind the `=`, the errno's words included; `?` for a call that never returned.
pub(crate) fn put_result(out: &mut Vec<u8>, returned: Option<&Returned>) {
    let Some(returned) = returned else {
        out.push(b'?');
        return;
    };
    if let Some(errno) = returned.errno {
        // The kernel's own codes for a call that starts again are no result that the program sees.
        let (shown, words) = match restart(errno) {
            Some(words) => (&b"? "[..], Some(words)),
            None => {
                (&b"-1 "[..], i32::try_from(returned.value.saturating_neg()).ok().and_then(tipstaff_abi::errno::text))
            }
        };
        out.extend_from_slice(shown);
        out.extend_from_slice(errno.as_bytes());
        if let Some(words) = words {
            out.extend_from_slice(b" (");
            out.extend_from_slice(words.as_bytes());
            out.push(b')');
        }
        return;
    }
    match &returned.shown {
        None => decimal(out, returned.value),
        Some(
            shown @ (Value::Fd { .. }
            | Value::Hex(_)
            | Value::Address(_)
            | Value::Octal(_)
            | Value::Uint(_)
            | Value::Int(_)),
        ) => {
            put(out, shown, true);
        }
        Some(shown @ Value::Flags { .. }) => {
            hex(out, returned.value as u64);
            out.extend_from_slice(b" (flags ");
            put(out, shown, true);
            out.push(b')');
        }
        Some(shown) => {
            decimal(out, returned.value);
            out.extend_from_slice(b" (");
            put(out, shown, true);
            out.push(b')');
        }
    }
}

/// What the kernel's restart codes (include/linux/errno.h) mean.
pub(crate) fn restart(errno: &str) -> Option<&'static str> {
    match errno {
        "ERESTARTSYS" => Some("To be restarted if SA_RESTART is set"),
        "ERESTARTNOINTR" => Some("To be restarted"),
        "ERESTARTNOHAND" => Some("To be restarted if no handler"),
        "ERESTART_RESTARTBLOCK" => Some("Interrupted by signal"),
        _ => None,
    }
}

/// A mode; its type and the bits above the permissions by name, as inode(7) has them.
fn mode_of(out: &mut Vec<u8>, mode: u32) {
    let Some(name) = file_type(mode) else { return octal(out, u64::from(mode)) };
    out.extend_from_slice(name.as_bytes());
    for (bit, name) in [(0o4000, "|S_ISUID"), (0o2000, "|S_ISGID"), (0o1000, "|S_ISVTX")] {
        if mode & bit != 0 {
            out.extend_from_slice(name.as_bytes());
        }
    }
    out.push(b'|');
    octal(out, u64::from(mode & 0o777));
}

fn flags(out: &mut Vec<u8>, names: &[&str], rest: u64) {
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(b'|');
        }
        out.extend_from_slice(name.as_bytes());
    }
    match (names.first(), rest) {
        (Some(_), 0) => {}
        (Some(_), _) => {
            out.push(b'|');
            hex(out, rest);
        }
        (None, _) => hex(out, rest),
    }
}

fn descriptor(out: &mut Vec<u8>, number: i32, path: Option<&[u8]>) {
    /// The caller's working directory (openat(2)).
    const AT_FDCWD: i32 = -100;
    match number {
        AT_FDCWD => out.extend_from_slice(b"AT_FDCWD"),
        _ => decimal(out, number),
    }
    if let Some(path) = path {
        out.push(b'<');
        escape(out, path, b"<>");
        out.push(b'>');
    }
}

fn list(out: &mut Vec<u8>, items: &[Value], more: bool, whole: bool) {
    if signal_set(out, items) {
        return;
    }
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        put(out, item, whole);
    }
    if more {
        out.extend_from_slice(if items.is_empty() { b"..." } else { b", ..." });
    }
    out.push(b']');
}

/// A list of signal names only is a signal set: `[CHLD INT]`; with `~` in front, all but these: `~[KILL STOP]`.
fn signal_set(out: &mut Vec<u8>, items: &[Value]) -> bool {
    let (negated, signals) = match items {
        [Value::Name("~"), signals @ ..] => (true, signals),
        [Value::Name(first), ..] if first.starts_with("SIG") => (false, items),
        _ => return false,
    };
    if !signals.iter().all(|signal| matches!(signal, Value::Name(name) if name.starts_with("SIG"))) {
        return false;
    }
    out.extend_from_slice(if negated { b"~[" } else { b"[" });
    for (index, signal) in signals.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        if let Value::Name(name) = signal {
            out.extend_from_slice(&name.as_bytes()[3..]);
        }
    }
    out.push(b']');
    true
}
