//! The kernel's type information (BTF), as far as it is needed: one pass over the blob, then look-ups of a few names.

use std::collections::HashMap;

use crate::Unavailable;

const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const FUNC: u32 = 12;

/// Kinds that only qualify another type: typedef, volatile, const, restrict, type tag.
const QUALIFIERS: [u32; 5] = [TYPEDEF, 9, 10, 11, 18];

/// Where types begin in the blob, and which of the wanted names they have.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where type N + 1 begins.
    starts: Vec<u32>,
    found: HashMap<&'a [u8], u32>,
}

/// The wanted names: structures, typedefs and functions each have their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Structures.
    pub structs: &'a [&'a str],
    /// Typedefs.
    pub typedefs: &'a [&'a str],
    /// Functions.
    pub functions: &'a [&'a str],
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

const CUT: Unavailable = Unavailable::BadBtf("it ends in the middle");

impl<'a> Btf<'a> {
    /// Reads the blob once. The wanted names must not be the same in two kinds.
    pub fn new(blob: &'a [u8], wanted: Wanted<'a>) -> Result<Self, Unavailable> {
        let field = |at| word(blob, at).ok_or(CUT);
        if field(0)? & 0x00ff_ffff != 0x0001_eb9f {
            return Err(Unavailable::BadBtf("it is no BTF of version 1 and this byte order"));
        }
        let header = field(4)? as usize;
        let section = |offset: u32, length: u32| {
            let begin = header.checked_add(offset as usize)?;
            blob.get(begin..begin.checked_add(length as usize)?)
        };
        let types = section(field(8)?, field(12)?).ok_or(CUT)?;
        let strings = section(field(16)?, field(20)?).ok_or(CUT)?;
        let mut btf = Self { types, strings, starts: Vec::with_capacity(types.len() / 24), found: HashMap::new() };
        btf.index(wanted)?;
        Ok(btf)
    }

    fn index(&mut self, wanted: Wanted<'a>) -> Result<(), Unavailable> {
        // The first letter keeps nearly every name from being compared.
        let by_letter = |names: &'a [&'a str]| {
            let mut letters = [false; 256];
            names
                .iter()
                .filter_map(|name| name.as_bytes().first())
                .for_each(|letter| letters[usize::from(*letter)] = true);
            (letters, names)
        };
        let lists = [by_letter(wanted.structs), by_letter(wanted.typedefs), by_letter(wanted.functions)];
        let mut at = 0;
        while at < self.types.len() {
            let [name, info] = [self.word(at)?, self.word(at + 4)?];
            self.starts.push(at as u32);
            let kind = info >> 24 & 31;
            let list = match kind {
                STRUCT => Some(&lists[0]),
                TYPEDEF => Some(&lists[1]),
                FUNC => Some(&lists[2]),
                _ => None,
            };
            if let Some((letters, names)) = list
                && letters[usize::from(*self.strings.get(name as usize).ok_or(CUT)?)]
                && let Some(found) = names.iter().find(|wanted| self.is(name, wanted.as_bytes()))
            {
                let id = self.starts.len() as u32;
                self.found.entry(found.as_bytes()).or_insert(id);
            }
            at += 12
                + trailing(kind, info & 0xffff)
                    .ok_or(Unavailable::BadBtf("it has a kind of type that is not known"))?;
        }
        Ok(())
    }

    fn word(&self, at: usize) -> Result<u32, Unavailable> {
        word(self.types, at).ok_or(CUT)
    }

    fn is(&self, name: u32, wanted: &[u8]) -> bool {
        let at = name as usize;
        self.strings.get(at..at + wanted.len()) == Some(wanted) && self.strings.get(at + wanted.len()) == Some(&0)
    }

    /// The id of a wanted name.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<u32> {
        self.found.get(name.as_bytes()).copied()
    }

    /// The byte offset of a field: `"seccomp.mode"` is a field of a structure inside the first one. Anonymous structures and unions are looked
    /// into. `None`: no such structure or field, or a bit field.
    #[must_use]
    pub fn offset(&self, name: &str, path: &str) -> Option<u32> {
        let mut current = self.id(name)?;
        let mut sum = 0;
        for part in path.split('.') {
            let (offset, of) = self.member(current, part.as_bytes(), 0)?;
            sum += offset;
            current = of;
        }
        Some(sum)
    }

    fn member(&self, id: u32, wanted: &[u8], depth: u32) -> Option<(u32, u32)> {
        let at = *self.starts.get(self.unqualified(id)?.checked_sub(1)? as usize)? as usize;
        let info = word(self.types, at + 4)?;
        // An empty name would be that of every anonymous member.
        if !matches!(info >> 24 & 31, STRUCT | UNION) || depth > 8 || wanted.is_empty() {
            return None;
        }
        let with_sizes = info >> 31 == 1;
        for index in 0..(info & 0xffff) as usize {
            let member = at + 12 + index * 12;
            let [name, of, place] =
                [word(self.types, member)?, word(self.types, member + 4)?, word(self.types, member + 8)?];
            let (bits, size) = if with_sizes { (place & 0x00ff_ffff, place >> 24) } else { (place, 0) };
            if self.is(name, wanted) {
                return (size == 0 && bits.is_multiple_of(8)).then_some((bits / 8, of));
            }
            if self.is(name, b"")
                && let Some((inner, of)) = self.member(of, wanted, depth + 1)
            {
                return Some((bits / 8 + inner, of));
            }
        }
        None
    }

    fn unqualified(&self, mut id: u32) -> Option<u32> {
        for _ in 0..16 {
            let at = *self.starts.get(id.checked_sub(1)? as usize)? as usize;
            if !QUALIFIERS.contains(&(word(self.types, at + 4)? >> 24 & 31)) {
                return Some(id);
            }
            id = word(self.types, at + 8)?;
        }
        None
    }
}

/// Bytes behind the first twelve of a type.
fn trailing(kind: u32, count: u32) -> Option<usize> {
    let count = count as usize;
    Some(match kind {
        // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
        2 | 7..=12 | 16 | 18 => 0,
        // Int, variable, declaration tag.
        1 | 14 | 17 => 4,
        // Array.
        3 => 12,
        STRUCT | UNION | 15 | 19 => 12 * count,
        // Enum, prototype.
        6 | 13 => 8 * count,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A blob with one structure `outer { int a; union { int b; struct { int c; inner d; } } }`, where `inner { int e; int f; }` is reached by a
    /// const typedef.
    fn blob() -> Vec<u8> {
        let strings = b"\0int\0outer\0a\0b\0c\0d\0inner\0e\0f\0inner_t\0";
        let s = |name: &[u8]| {
            let with = [b"\0", name, b"\0"].concat();
            strings.windows(with.len()).position(|w| w == with).expect("name") as u32 + 1
        };
        let info = |kind: u32, count: u32| kind << 24 | count;
        let words = [
            vec![s(b"int"), info(1, 0), 4, 32],                              // 1
            vec![s(b"inner"), info(4, 2), 8, s(b"e"), 1, 0, s(b"f"), 1, 32], // 2
            vec![s(b"inner_t"), info(8, 0), 2],                              // 3
            vec![0, info(10, 0), 3],                                         // 4: const
            vec![0, info(4, 2), 12, s(b"c"), 1, 0, s(b"d"), 4, 32],          // 5
            vec![0, info(5, 2), 12, s(b"b"), 1, 0, 0, 5, 0],                 // 6
            vec![s(b"outer"), info(4, 2), 16, s(b"a"), 1, 0, 0, 6, 32],      // 7
        ]
        .concat();
        let types: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let (t, n) = (types.len() as u32, strings.len() as u32);
        let mut blob: Vec<u8> =
            [0x0001_eb9f, 24, 0, t, t, n].iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
        blob.extend(types);
        blob.extend_from_slice(strings);
        blob
    }

    const WANTED: Wanted<'static> = Wanted { structs: &["outer", "absent"], typedefs: &["inner_t"], functions: &[] };

    #[test]
    fn fields_are_found_through_anonymous_and_qualified_types() {
        let blob = blob();
        let btf = Btf::new(&blob, WANTED).expect("well-formed");
        assert_eq!(btf.id("outer"), Some(7));
        assert_eq!(btf.id("inner_t"), Some(3));
        assert_eq!(btf.id("absent"), None);
        assert_eq!(btf.id("int"), None, "nobody asked");
        let offset = |path| btf.offset("outer", path);
        assert_eq!([offset("a"), offset("b"), offset("c"), offset("d")], [Some(0), Some(4), Some(4), Some(8)]);
        assert_eq!([offset("d.e"), offset("d.f")], [Some(8), Some(12)]);
        assert_eq!([offset("e"), offset("a.b"), offset("")], [None, None, None]);
    }

    #[test]
    fn every_beginning_of_a_blob_is_refused_or_read_without_a_panic() {
        let blob = blob();
        for length in 0..blob.len() {
            assert!(Btf::new(&blob[..length], WANTED).is_err(), "{length}");
        }
        let mut broken = blob.clone();
        for at in 0..blob.len() {
            for value in [0xff, 0x7f, blob[at] ^ 1] {
                broken[at] = value;
                if let Ok(btf) = Btf::new(&broken, WANTED) {
                    let _ = btf.offset("outer", "d.f");
                }
            }
            broken[at] = blob[at];
        }
    }

    #[test]
    fn the_kernels_own_is_read() {
        let Ok(blob) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            tipstaff_testkit::skip!("no /sys/kernel/btf/vmlinux")
        };
        let wanted = Wanted { structs: &["task_struct", "pid"], typedefs: &["btf_trace_sys_enter"], functions: &[] };
        let btf = Btf::new(&blob, wanted).expect("the kernel's");
        assert!(btf.id("btf_trace_sys_enter").is_some());
        let offset = |path| btf.offset("task_struct", path).expect("a field that every kernel has");
        assert_eq!(offset("tgid"), offset("pid") + 4);
        assert!(btf.offset("pid", "numbers").is_some());
        assert_eq!(btf.offset("task_struct", "no_such_field"), None);
    }
}
