//! A process for tests: memory in pieces, and descriptors.

use std::collections::BTreeMap;

use tipstaff_abi::{Arch, Sysno};

use crate::{Call, Files, Memory, Value, World};

/// Memory that is mapped only where something was put.
#[derive(Default)]
pub(crate) struct Fake {
    pieces: BTreeMap<u64, Vec<u8>>,
    fds: BTreeMap<i32, Vec<u8>>,
}

impl Fake {
    /// Puts bytes at an address.
    pub(crate) fn put(mut self, address: u64, bytes: impl AsRef<[u8]>) -> Self {
        self.pieces.insert(address, bytes.as_ref().to_vec());
        self
    }

    /// Puts 64-bit words at an address.
    pub(crate) fn words(self, address: u64, words: &[u64]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(address, bytes)
    }

    /// Puts 32-bit words at an address.
    pub(crate) fn halves(self, address: u64, words: &[u32]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(address, bytes)
    }

    /// Opens a descriptor.
    pub(crate) fn fd(mut self, number: i32, path: &str) -> Self {
        self.fds.insert(number, path.into());
        self
    }

    /// What decoding is given.
    pub(crate) fn world(&self) -> World<'_> {
        World { memory: self, files: Some(self), string_limit: 32, list_limit: 32 }
    }

    /// A call at its entry.
    pub(crate) fn enter(&self, arch: Arch, name: &str, words: &[u64]) -> Call {
        let number = Sysno::by_name(arch, name).expect("a call of this architecture").0;
        let mut raw = [0; 6];
        raw[..words.len()].copy_from_slice(words);
        crate::enter(arch, number, raw, &self.world())
    }

    /// A call of x86_64 at its entry, as text.
    pub(crate) fn entered(&self, name: &str, words: &[u64]) -> String {
        show(&self.enter(Arch::X86_64, name, words))
    }

    /// A call of x86_64 that has returned, as text.
    pub(crate) fn left(&self, name: &str, words: &[u64], value: i64) -> String {
        self.left_on(Arch::X86_64, name, words, value)
    }

    /// A call that has returned, as text.
    pub(crate) fn left_on(&self, arch: Arch, name: &str, words: &[u64], value: i64) -> String {
        let mut call = self.enter(arch, name, words);
        crate::leave(&mut call, value, &self.world());
        show(&call)
    }
}

impl Memory for Fake {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        let Some((&start, bytes)) = self.pieces.range(..=address).next_back() else { return 0 };
        let Some(bytes) = bytes.get((address - start) as usize..) else { return 0 };
        let len = bytes.len().min(into.len());
        into[..len].copy_from_slice(&bytes[..len]);
        len
    }
}

impl Files for Fake {
    fn path(&self, fd: i32) -> Option<Vec<u8>> {
        self.fds.get(&fd).cloned()
    }
}

/// A call as text, about as strace(1) shows it.
pub(crate) fn show(call: &Call) -> String {
    let args: Vec<String> = call.args.iter().map(|arg| text(&arg.value)).collect();
    let mut out = format!("{}({})", call.name, args.join(", "));
    if let Some(returned) = &call.returned {
        out += &format!(" = {}", returned.value);
        if let Some(errno) = returned.errno {
            out += &format!(" {errno}");
        }
        if let Some(shown) = &returned.shown {
            out += &format!(" ({})", text(shown));
        }
    }
    out
}

/// A value as text.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Int(n) => n.to_string(),
        Value::Uint(n) => n.to_string(),
        Value::Hex(n) => format!("{n:#x}"),
        Value::Octal(n) => format!("0{n:o}"),
        Value::Name(name) => (*name).to_owned(),
        Value::Flags { names, rest } if *rest != 0 => {
            let rest = format!("{rest:#x}");
            names.iter().copied().chain([rest.as_str()]).collect::<Vec<_>>().join("|")
        }
        Value::Flags { names, .. } if names.is_empty() => "0".to_owned(),
        Value::Flags { names, .. } => names.join("|"),
        Value::Bytes { bytes, cut } => format!("\"{}\"{}", bytes.escape_ascii(), if *cut { "..." } else { "" }),
        Value::Address(0) => "NULL".to_owned(),
        Value::Address(n) => format!("{n:#x}"),
        Value::Fd { number, path: Some(path) } => format!("{number}<{}>", path.escape_ascii()),
        Value::Fd { number, path: None } => number.to_string(),
        Value::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::List { items, more } => {
            let items: Vec<String> = items.iter().map(text).collect();
            format!("[{}{}]", items.join(", "), if *more { ", ..." } else { "" })
        }
    }
}
