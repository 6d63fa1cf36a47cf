//! Directories: mkdir(2), chdir(2), getcwd(2), getdents(2).

use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Dirfd, Fd, Octal, Out, OutStr, Path, Ulong},
        Spec, call,
    },
    names,
    tables::files,
};

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    call("mkdir", &[("pathname", Path), ("mode", Octal)]),
    call("mkdirat", &[("dirfd", Dirfd), ("pathname", Path), ("mode", Octal)]),
    call("rmdir", &[("pathname", Path)]),
    call("chdir", &[("path", Path)]),
    call("fchdir", &[("fd", Fd)]),
    call("chroot", &[("path", Path)]),
    call("getcwd", &[("buf", OutStr), ("size", Ulong)]),
    call("getdents", &[("fd", Fd), ("dirp", Out(getdents)), ("count", Kind::Uint)]),
    call("getdents64", &[("fd", Fd), ("dirp", Out(getdents64)), ("count", Ulong)]),
];

/// `struct linux_dirent64`: inode, offset, length of the record, type, name.
fn getdents64(ctx: &Ctx<'_>, address: u64) -> Value {
    entries(ctx, address, 19, |record| {
        let (ino, off) = (u64_at(record, 0), u64_at(record, 8));
        (ino, off, record[18], &record[19..])
    })
}

/// `struct linux_dirent`: inode, offset, length, name; the type is the record's last byte.
fn getdents(ctx: &Ctx<'_>, address: u64) -> Value {
    let word = ctx.word_size();
    entries(ctx, address, 2 * word + 3, move |record| {
        let ino = super::common::word_at(record, 0, word);
        let off = super::common::word_at(record, word, word);
        (ino, off, record[record.len() - 1], &record[2 * word + 2..record.len() - 1])
    })
}

type Entry<'a> = (u64, u64, u8, &'a [u8]);

/// The entries of a buffer, of which `head` bytes stand before the name; the length of a record are the 16 bits before the type or the name.
fn entries(ctx: &Ctx<'_>, address: u64, head: usize, entry: impl for<'b> Fn(&'b [u8]) -> Entry<'b>) -> Value {
    if address == 0 {
        return Value::Address(0);
    }
    let len = usize::try_from(ctx.len()).unwrap_or(usize::MAX);
    // A name has at most 255 bytes, so that this is enough for what is shown.
    let want = len.min(ctx.world.list_limit.saturating_add(1).saturating_mul(280)).min(1 << 20);
    let bytes = ctx.read_vec(address, want);
    let length_at = head - 3;
    let (mut items, mut at) = (Vec::new(), 0);
    while items.len() < ctx.world.list_limit {
        let Some(length) = bytes.get(at + length_at..at + length_at + 2) else { break };
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        let Some(record) = bytes.get(at..at + length).filter(|_| length > head) else { break };
        let (ino, off, kind, name) = entry(record);
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        items.push(Value::Struct(vec![
            ("d_ino", Value::Uint(ino)),
            ("d_off", Value::Int(off as i64)),
            ("d_reclen", Value::Uint(length as u64)),
            ("d_type", names::named(files::DIRENT, kind.into())),
            ("d_name", Value::Bytes { bytes: name[..end].to_vec(), cut: false }),
        ]));
        at += length;
    }
    if items.is_empty() && len != 0 {
        return Value::Address(address);
    }
    Value::List { items, more: at < len }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    super::common::word_at(bytes, at, 8)
}

#[cfg(test)]
mod tests {
    use crate::testing::Fake;

    fn dirent(ino: u64, kind: u8, name: &str) -> Vec<u8> {
        let length = (19 + name.len() + 1).next_multiple_of(8);
        let mut out = [ino.to_le_bytes(), 9_u64.to_le_bytes()].concat();
        out.extend((length as u16).to_le_bytes());
        out.push(kind);
        out.extend(name.as_bytes());
        out.resize(length, 0);
        out
    }

    #[test]
    fn entries_of_a_directory() {
        let bytes = [dirent(5, 4, "."), dirent(6, 8, "file")].concat();
        let fake = Fake::default().put(0x1000, &bytes).fd(3, "/tmp");
        assert_eq!(
            fake.left("getdents64", &[3, 0x1000, 32768], bytes.len() as i64),
            "getdents64(3</tmp>, [{d_ino=5, d_off=9, d_reclen=24, d_type=DT_DIR, d_name=\".\"}, \
             {d_ino=6, d_off=9, d_reclen=24, d_type=DT_REG, d_name=\"file\"}], 32768) = 48"
        );
        assert_eq!(fake.left("getdents64", &[3, 0x1000, 32768], 0), "getdents64(3</tmp>, [], 32768) = 0");
        assert_eq!(fake.left("getdents64", &[3, 0x9000, 32768], 48), "getdents64(3</tmp>, 0x9000, 32768) = 48");
        // A length of 0 must not go round for ever.
        let zeroes = Fake::default().put(0x1000, [0; 100]);
        assert_eq!(zeroes.left("getdents64", &[3, 0x1000, 100], 100), "getdents64(3, 0x1000, 100) = 100");
    }

    #[test]
    fn the_old_record_has_its_type_at_the_end() {
        let mut bytes = [5_u64.to_le_bytes(), 9_u64.to_le_bytes()].concat();
        bytes.extend(24_u16.to_le_bytes());
        bytes.extend(b"abc\0\0");
        bytes.push(10);
        let fake = Fake::default().put(0x1000, bytes);
        assert_eq!(
            fake.left("getdents", &[3, 0x1000, 99], 24),
            "getdents(3, [{d_ino=5, d_off=9, d_reclen=24, d_type=DT_LNK, d_name=\"abc\"}], 99) = 24"
        );
    }

    #[test]
    fn where_we_are() {
        let fake = Fake::default().put(0x1000, b"/home/me\0");
        assert_eq!(fake.left("getcwd", &[0x1000, 4096], 9), r#"getcwd("/home/me", 4096) = 9"#);
        assert_eq!(fake.left("getcwd", &[0x1000, 1], -34), "getcwd(0x1000, 1) = -34 ERANGE");
    }
}
