//! Reading the caller's words and memory.
//!
//! Every address and every length here is what the caller claims. Lengths are cut to what is shown before anything is allocated,
//! and addresses wrap instead of overflowing.

use tipstaff_abi::Arch;

use crate::{
    Value, World,
    kind::{Kind, Record, record_layout},
    names,
};

/// Longest path that the kernel takes, its zero byte included (PATH_MAX).
const PATH_MAX: usize = 4096;

/// No more than this of one buffer is read, whatever limit was asked for.
const BUFFER_MAX: usize = 1 << 20;

/// Reads stay inside pages of this size, so that one that is not mapped cuts a string and does not hide it.
const PAGE: u64 = 4096;

/// One call being decoded.
pub(crate) struct Ctx<'a> {
    pub(crate) world: &'a World<'a>,
    pub(crate) arch: Arch,
    /// `long` of the caller's structures has 64 bits.
    pub(crate) wide: bool,
    /// The words: six, and one more for socketcall(2), which takes seven.
    pub(crate) words: [u64; 8],
    /// The registers' words, also where the call's true words lie in memory.
    pub(crate) given: [u64; 6],
    /// What the call returned; absent at the entry.
    pub(crate) result: Option<i64>,
}

impl<'a> Ctx<'a> {
    pub(crate) fn new(arch: Arch, number: u32, raw: [u64; 6], result: Option<i64>, world: &'a World<'a>) -> Self {
        // x32 shares the calls below 512 with x86_64, structures included; those from 512 on take 32-bit structures.
        let wide = match arch {
            Arch::X32 => number & 0xffff < 512,
            Arch::I386 | Arch::Arm => false,
            _ => true,
        };
        let mask = if narrow_words(arch) { u64::from(u32::MAX) } else { u64::MAX };
        let mut words = [0; 8];
        for (word, given) in words.iter_mut().zip(raw) {
            *word = given & mask;
        }
        Self { world, arch, wide, words, given: raw, result }
    }

    /// A word of the call, 0 beyond the last.
    pub(crate) fn word(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or(0)
    }

    /// The result as a length: 0 when the call failed or has not returned.
    pub(crate) fn len(&self) -> u64 {
        self.result.and_then(|value| u64::try_from(value).ok()).unwrap_or(0)
    }

    /// Bytes of `long` in the caller's structures.
    pub(crate) fn word_size(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    /// Whether 64-bit fields stand at multiples of 8; i386 alone is content with 4.
    fn aligned(&self) -> bool {
        self.arch != Arch::I386
    }

    /// The size of a structure for this caller.
    pub(crate) fn size_of(&self, record: Record) -> usize {
        record_layout(record, self.word_size(), self.aligned()).0
    }

    /// All of `N` bytes, or nothing.
    pub(crate) fn read<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        (address != 0 && self.world.memory.read(address, &mut bytes) >= N).then_some(bytes)
    }

    pub(crate) fn read_u32(&self, address: u64) -> Option<u32> {
        self.read(address).map(u32::from_le_bytes)
    }

    /// A word of the caller's size.
    pub(crate) fn read_word(&self, address: u64) -> Option<u64> {
        if self.wide { self.read(address).map(u64::from_le_bytes) } else { self.read_u32(address).map(u64::from) }
    }

    /// Up to `len` bytes from the first on; fewer where memory ends.
    pub(crate) fn read_vec(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let got = if address == 0 { 0 } else { self.world.memory.read(address, &mut bytes) };
        bytes.truncate(got);
        bytes
    }

    /// A buffer of `len` bytes, as much of it as is shown.
    pub(crate) fn buffer(&self, address: u64, len: u64) -> Value {
        if address == 0 {
            return Value::Address(0);
        }
        let limit = self.world.string_limit.min(BUFFER_MAX);
        let shown = usize::try_from(len).map_or(limit, |len| len.min(limit));
        let bytes = self.read_vec(address, shown);
        if bytes.is_empty() && len != 0 && shown != 0 {
            return Value::Address(address);
        }
        let cut = (bytes.len() as u64) < len;
        Value::Bytes { bytes, cut }
    }

    /// A string that ends with a zero byte, at most `limit` bytes of it.
    pub(crate) fn string(&self, address: u64, limit: usize) -> Value {
        if address == 0 {
            return Value::Address(0);
        }
        let limit = limit.min(BUFFER_MAX);
        let mut bytes = Vec::new();
        let mut chunk = [0; 256];
        loop {
            let at = address.wrapping_add(bytes.len() as u64);
            // One byte more than the limit tells a string of that length from a longer one.
            let want = (limit + 1 - bytes.len()).min(chunk.len()).min((PAGE - at % PAGE) as usize);
            let got = self.world.memory.read(at, &mut chunk[..want]).min(want);
            let end = chunk[..got].iter().position(|&byte| byte == 0);
            bytes.extend_from_slice(&chunk[..end.unwrap_or(got)]);
            let cut = bytes.len() > limit;
            if end.is_some() || cut || got < want {
                if got < want && end.is_none() && bytes.is_empty() {
                    return Value::Address(address);
                }
                bytes.truncate(limit);
                return Value::Bytes { bytes, cut: cut || end.is_none() };
            }
        }
    }

    /// A string of `strace -s` length.
    pub(crate) fn text(&self, address: u64) -> Value {
        self.string(address, self.world.string_limit)
    }

    /// A descriptor with what it refers to.
    pub(crate) fn fd(&self, number: i32) -> Value {
        let path = self.world.files.filter(|_| number >= 0).and_then(|files| files.path(number));
        Value::Fd { number, path }
    }

    /// A structure at an address.
    pub(crate) fn record(&self, address: u64, fields: Record) -> Value {
        self.record_sized(address, fields, u64::MAX)
    }

    /// A structure of which the caller says how long it is; fields beyond are left out.
    pub(crate) fn record_sized(&self, address: u64, fields: Record, size: u64) -> Value {
        let known = self.size_of(fields);
        let size = usize::try_from(size).map_or(known, |size| size.min(known));
        let mut short = [0; 256];
        let mut long = Vec::new();
        let bytes = if size <= short.len() {
            &mut short[..size]
        } else {
            long.resize(size, 0);
            &mut long[..]
        };
        if address == 0 || size == 0 || self.world.memory.read(address, bytes) < size {
            return Value::Address(address);
        }
        self.fields(bytes, fields)
    }

    /// The fields of a structure that has been read.
    pub(crate) fn fields(&self, bytes: &[u8], fields: Record) -> Value {
        let mut shown = Vec::with_capacity(fields.len());
        let mut at = 0_usize;
        for &(name, kind) in fields {
            let (size, align) = kind.layout(self.word_size(), self.aligned());
            at = at.next_multiple_of(align);
            let Some(field) = bytes.get(at..at + size) else { break };
            at += size;
            if !matches!(kind, Kind::Skip(_) | Kind::SkipLong(_)) {
                shown.push((name, self.field(field, kind)));
            }
        }
        Value::Struct(shown)
    }

    /// One field, given its bytes.
    fn field(&self, bytes: &[u8], kind: Kind) -> Value {
        match kind {
            Kind::Rec(fields) => self.fields(bytes, fields),
            Kind::Chars(_) => {
                let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
                Value::Bytes { bytes: bytes[..end].to_vec(), cut: false }
            }
            Kind::Raw(_) => Value::Bytes { bytes: bytes.to_vec(), cut: false },
            Kind::Array(_, item) => {
                let size = item.layout(self.word_size(), self.aligned()).0.max(1);
                Value::List {
                    items: bytes.chunks_exact(size).map(|item_bytes| self.field(item_bytes, *item)).collect(),
                    more: false,
                }
            }
            _ => {
                let mut word = [0; 8];
                let len = bytes.len().min(8);
                word[..len].copy_from_slice(&bytes[..len]);
                self.scalar(kind, u64::from_le_bytes(word))
            }
        }
    }

    /// One value behind a pointer, in brackets as strace(1) shows it.
    pub(crate) fn pointee(&self, address: u64, kind: Kind) -> Value {
        self.array(address, 1, kind)
    }

    /// An array of `count` items.
    pub(crate) fn array(&self, address: u64, count: u64, kind: Kind) -> Value {
        let size = kind.layout(self.word_size(), self.aligned()).0.max(1);
        self.list(address, count, size, |bytes| self.field(bytes, kind))
    }

    /// An array of `count` items of `size` bytes each, of which as many are read as are shown.
    pub(crate) fn list(&self, address: u64, count: u64, size: usize, mut item: impl FnMut(&[u8]) -> Value) -> Value {
        if address == 0 {
            return Value::Address(0);
        }
        let limit = self.world.list_limit.min(BUFFER_MAX / size.max(1)) as u64;
        let shown = count.min(limit) as usize;
        let bytes = self.read_vec(address, shown * size);
        let items: Vec<Value> = bytes.chunks_exact(size.max(1)).map(&mut item).collect();
        if items.is_empty() && shown != 0 {
            return Value::Address(address);
        }
        let more = (items.len() as u64) < count;
        Value::List { items, more }
    }

    /// A parameter at the entry.
    pub(crate) fn enter(&self, kind: Kind, word: u64) -> Value {
        match kind {
            Kind::OutPtr(_) | Kind::OutTo(_) | Kind::Out(_) | Kind::OnInterrupt(_) => Value::Address(word),
            Kind::OutItems(..) | Kind::OutBuf | Kind::OutStr => Value::Address(word),
            Kind::InOutPtr(fields) => self.record(word, fields),
            Kind::InOutTo(kind) => self.pointee(word, *kind),
            Kind::InOut(decode) => decode(self, word),
            _ => self.scalar(kind, word),
        }
    }

    /// A parameter after success; `None`: nothing new.
    pub(crate) fn leave(&self, kind: Kind, word: u64) -> Option<Value> {
        match kind {
            Kind::OutPtr(fields) | Kind::InOutPtr(fields) => Some(self.record(word, fields)),
            Kind::OutTo(kind) | Kind::InOutTo(kind) => Some(self.pointee(word, *kind)),
            Kind::OutItems(count, kind) => Some(self.array(word, count.into(), *kind)),
            Kind::OutBuf => Some(self.buffer(word, self.len())),
            Kind::OutStr => Some(self.string(word, PATH_MAX)),
            Kind::Out(decode) | Kind::InOut(decode) => Some(decode(self, word)),
            _ => None,
        }
    }

    /// A value of which the word is known, and what an in-pointer points to.
    pub(crate) fn scalar(&self, kind: Kind, word: u64) -> Value {
        let low = word as u32;
        match kind {
            Kind::U8 => Value::Uint((word as u8).into()),
            Kind::I16 => Value::Int((word as i16).into()),
            Kind::U16 => Value::Uint((word as u16).into()),
            Kind::Int => Value::Int((word as i32).into()),
            Kind::Uint => Value::Uint(low.into()),
            Kind::Long if self.wide => Value::Int(word as i64),
            Kind::Long => Value::Int((word as i32).into()),
            Kind::Ulong | Kind::U64 => Value::Uint(word),
            Kind::I64 => Value::Int(word as i64),
            Kind::Hex => Value::Hex(low.into()),
            Kind::HexLong | Kind::Hex64 => Value::Hex(word),
            Kind::Octal => Value::Octal(low),
            Kind::Octal16 => Value::Octal((word as u16).into()),
            Kind::Fd | Kind::Fd64 => self.fd(word as i32),
            Kind::Dirfd if word as i32 == AT_FDCWD => Value::Name("AT_FDCWD"),
            Kind::Dirfd => self.fd(word as i32),
            Kind::Id => id(low, u32::MAX),
            Kind::Id16 => id(low & 0xffff, 0xffff),
            Kind::Signal | Kind::Signal64 => names::signal((word as i32).into()),
            Kind::Dev => dev(word),
            Kind::Enum(table) => names::named(table, low.into()),
            Kind::Enum16(table) => names::named(table, (word as u16).into()),
            Kind::EnumLong(table) | Kind::Enum64(table) => names::named(table, word),
            Kind::Bits(table) => table.of(low.into()),
            Kind::Bits16(table) => table.of((word as u16).into()),
            Kind::BitsLong(table) | Kind::Bits64(table) => table.of(word),
            Kind::Path => self.string(word, PATH_MAX),
            Kind::Str => self.text(word),
            Kind::Ptr(fields) => self.record(word, fields),
            Kind::To(kind) => self.pointee(word, *kind),
            Kind::Items(count, kind) => self.array(word, count.into(), *kind),
            Kind::Counted(at, kind) => self.array(word, self.word(at.into()), *kind),
            Kind::Buf(at) => self.buffer(word, self.word(at.into())),
            Kind::In(decode) | Kind::In32(decode) | Kind::In64(decode) => decode(self, word),
            _ => Value::Address(word),
        }
    }
}

/// The descriptor that means the working directory (openat(2)).
pub(crate) const AT_FDCWD: i32 = -100;

/// Whether the registers of this architecture's calls count 32 bits. Those of x32 count 64.
pub(crate) fn narrow_words(arch: Arch) -> bool {
    matches!(arch, Arch::I386 | Arch::Arm)
}

/// A user or group id; all ones mean none, and are shown as -1.
fn id(value: u32, none: u32) -> Value {
    if value == none { Value::Int(-1) } else { Value::Uint(value.into()) }
}

/// A device number as stat(2) and mknod(2) pass it: 12 bits of major, 20 of minor (and the C library's wider form, which is the same below that).
pub(crate) fn dev(value: u64) -> Value {
    let major = (value >> 8 & 0xfff) | (value >> 32 & 0xffff_f000);
    let minor = (value & 0xff) | (value >> 12 & 0xffff_ff00);
    Value::Struct(vec![("major", Value::Hex(major)), ("minor", Value::Hex(minor))])
}
