//! What a call refers to: its paths and its descriptors.

use crate::{
    Arg, Call, Value,
    index::{self, Entry},
    kind::{Kind, Params},
};

/// The paths that a call looks up, in the order of its parameters: for `-P`, and to say which file a failure is about.
///
/// The target of symlink(2) is text and not looked up; it is none of them. A path that could not be read is not there either.
#[must_use]
pub fn paths(call: &Call) -> Vec<&[u8]> {
    located(call).into_iter().filter_map(|located| located.path).collect()
}

/// A path that a call looks up, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<'a> {
    /// The descriptor of the directory that a relative path starts at; `None`: the working directory.
    pub directory: Option<i32>,
    /// The path; `None`: it could not be read.
    pub path: Option<&'a [u8]>,
}

/// As [`paths`], with the directories that they start at, and those that could not be read. Null pointers are no paths.
#[must_use]
pub fn located(call: &Call) -> Vec<Located<'_>> {
    let mut before = None;
    let mut found = Vec::new();
    for (part, arg) in parts(call) {
        if part == Part::Path && arg.value != Value::Address(0) {
            found.push(Located { directory: before, path: bytes(&arg.value) });
        }
        before = match (part, &arg.value) {
            (Part::Directory, Value::Fd { number, .. }) => Some(*number),
            _ => None,
        };
    }
    found
}

/// What an argument is to the names of files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Directory,
    Path,
    None,
}

fn parts(call: &Call) -> Vec<(Part, &Arg)> {
    let Some(Entry { spec: Some(spec), .. }) = index::find(call.arch, call.number) else { return Vec::new() };
    let Params::Fixed(params) = spec.params else {
        // Calls with changing parameters that take a path, as open(2), name them so.
        let named = |arg: &Arg| match arg.name {
            "dirfd" => Part::Directory,
            "pathname" | "path" => Part::Path,
            _ => Part::None,
        };
        return call.args.iter().map(|arg| (named(arg), arg)).collect();
    };
    let shown = params.iter().filter(|(_, kind)| !matches!(kind, Kind::Skip(_)));
    let of_kind = |kind: &Kind| match kind {
        Kind::Dirfd => Part::Directory,
        Kind::Path => Part::Path,
        _ => Part::None,
    };
    shown.zip(&call.args).map(|((_, kind), arg)| (of_kind(kind), arg)).collect()
}

/// Whether a flag or a name stands anywhere in the arguments.
#[must_use]
pub fn says(call: &Call, word: &str) -> bool {
    fn within(value: &Value, word: &str) -> bool {
        match value {
            Value::Name(name) => *name == word,
            Value::Flags { names, .. } => names.contains(&word),
            Value::Struct(fields) => fields.iter().any(|(_, value)| within(value, word)),
            _ => false,
        }
    }
    call.args.iter().any(|arg| within(&arg.value, word))
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Bytes { bytes, .. } => Some(bytes),
        _ => None,
    }
}

/// The descriptors that a call is given, takes or returns, each with what it refers to where that is known. Directories that paths
/// start at are among them; negative numbers are not.
#[must_use]
pub fn descriptors(call: &Call) -> Vec<(i32, Option<&[u8]>)> {
    let mut found = Vec::new();
    for arg in &call.args {
        collect(&arg.value, &mut found);
    }
    if let Some(shown) = call.returned.as_ref().and_then(|returned| returned.shown.as_ref()) {
        collect(shown, &mut found);
    }
    found
}

fn collect<'a>(value: &'a Value, found: &mut Vec<(i32, Option<&'a [u8]>)>) {
    match value {
        Value::Fd { number, path } if *number >= 0 => found.push((*number, path.as_deref())),
        Value::Struct(fields) => fields.iter().for_each(|(_, value)| collect(value, found)),
        Value::List { items, .. } => items.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use super::*;
    use crate::testing::Fake;

    #[test]
    fn paths_and_descriptors_of_a_call() {
        let fake = Fake::default().put(0x1000, b"a\0").put(0x2000, b"b\0").fd(3, "/d").fd(7, "/d/b");
        let rename = fake.enter(Arch::X86_64, "renameat", &[3, 0x1000, -100_i64 as u64, 0x2000]);
        assert_eq!(paths(&rename), [b"a", b"b"]);
        assert_eq!(descriptors(&rename), [(3, Some(b"/d".as_slice()))]);
        let from = |directory, path: &'static str| Located { directory, path: Some(path.as_bytes()) };
        assert_eq!(located(&rename), [from(Some(3), "a"), from(None, "b")]);
        let unread = fake.enter(Arch::X86_64, "openat", &[3, 0x9000, 0x41]);
        assert_eq!(located(&unread), [Located { directory: Some(3), path: None }]);
        assert!(says(&unread, "O_CREAT") && !says(&unread, "O_EXCL"));
        assert_eq!(located(&fake.enter(Arch::X86_64, "utimensat", &[3, 0])), []);
        let link = fake.enter(Arch::X86_64, "symlink", &[0x1000, 0x2000]);
        assert_eq!(paths(&link), [b"b"]);
        let mut open = fake.enter(Arch::X86_64, "openat", &[3, 0x1000, 0x40]);
        crate::leave(&mut open, 7, &fake.world());
        assert_eq!(paths(&open), [b"a"]);
        assert_eq!(descriptors(&open), [(3, Some(b"/d".as_slice())), (7, Some(b"/d/b".as_slice()))]);
        let poll = Fake::default().halves(0x1000, &[5, 1]);
        assert_eq!(descriptors(&poll.enter(Arch::X86_64, "poll", &[0x1000, 1, 0])), [(5, None)]);
    }
}
