//! The mount tree: mount(2), umount(2), fsopen(2), open_tree(2), move_mount(2), mount_setattr(2), statmount(2), quotactl(2).

use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{
            self, Bits, Bits64, Buf, Dirfd, Enum, Fd, Fd64, Hex, Hex64, HexLong, In, Int, Out, Path, Ptr, Str, U64,
            Uint, Ulong,
        },
        Param, Record,
        Ret::Number,
        Spec, call, chooses, opens,
    },
    names::{self, bits},
    tables::{files, mount},
};

static MOUNT: names::Bits = names::Bits { fields: &[(0xffff_0000, mount::MS_MAGIC)], bits: mount::MOUNT };
static UMOUNT: names::Bits = bits(mount::UMOUNT);
static ATTR: names::Bits = bits(mount::MOUNT_ATTR);
static OPEN_TREE: names::Bits = bits(mount::OPEN_TREE);
static MOVE: names::Bits = bits(mount::MOVE_MOUNT);
static FSOPEN: names::Bits = bits(mount::FSOPEN);
static FSPICK: names::Bits = bits(mount::FSPICK);
static FSMOUNT: names::Bits = bits(mount::FSMOUNT);
static STATMOUNT: names::Bits = bits(mount::STATMOUNT);
static LISTMOUNT: names::Bits = bits(mount::LISTMOUNT);
static PROPAGATION: names::Bits = bits(mount::MOUNT);

pub(super) const SETATTR: Record = &[
    ("attr_set", Bits64(&ATTR)),
    ("attr_clr", Bits64(&ATTR)),
    ("propagation", Bits64(&PROPAGATION)),
    ("userns_fd", Fd64),
];
const MNT_ID_REQ: Record =
    &[("size", Uint), ("mnt_ns_fd", Uint), ("mnt_id", Hex64), ("param", Bits64(&STATMOUNT)), ("mnt_ns_id", Hex64)];
const LIST_REQ: Record =
    &[("size", Uint), ("mnt_ns_fd", Uint), ("mnt_id", Hex64), ("param", Hex64), ("mnt_ns_id", Hex64)];

#[rustfmt::skip]
const STATMOUNT_OUT: Record = &[
    ("size", Uint), ("mnt_opts", Uint), ("mask", Bits64(&STATMOUNT)), ("sb_dev_major", Uint), ("sb_dev_minor", Uint), ("sb_magic", Kind::Enum64(files::FS_MAGIC)),
    ("sb_flags", Bits(&MOUNT)), ("fs_type", Uint), ("mnt_id", Hex64), ("mnt_parent_id", Hex64), ("mnt_id_old", Uint), ("mnt_parent_id_old", Uint),
    ("mnt_attr", Bits64(&ATTR)), ("mnt_propagation", Bits64(&PROPAGATION)), ("mnt_peer_group", U64), ("mnt_master", U64), ("propagate_from", U64),
    ("mnt_root", Uint), ("mnt_point", Uint),
];

fn setattr(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.record_sized(address, SETATTR, ctx.word(4))
}

/// The request says its own size.
fn mount_request(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.record_sized(address, MNT_ID_REQ, ctx.read_u32(address).map_or(24, |size| size.max(4)).into())
}

fn list_request(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.record_sized(address, LIST_REQ, ctx.read_u32(address).map_or(24, |size| size.max(4)).into())
}

fn ids(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.array(address, ctx.len(), Hex64)
}

/// fsconfig(2): what key, value and the last word are depends on the command.
fn fsconfig(ctx: &mut Ctx<'_>) -> &'static [Param] {
    const FLAG: &[Param] = &[("fd", Fd), ("cmd", Enum(mount::FSCONFIG)), ("key", Str)];
    const STRING: &[Param] = &[("fd", Fd), ("cmd", Enum(mount::FSCONFIG)), ("key", Str), ("value", Str)];
    const BINARY: &[Param] =
        &[("fd", Fd), ("cmd", Enum(mount::FSCONFIG)), ("key", Str), ("value", Buf(4)), ("aux", Int)];
    const PATH: &[Param] = &[("fd", Fd), ("cmd", Enum(mount::FSCONFIG)), ("key", Str), ("path", Path), ("aux", Dirfd)];
    const SET_FD: &[Param] =
        &[("fd", Fd), ("cmd", Enum(mount::FSCONFIG)), ("key", Str), ("", Kind::Skip(1)), ("aux", Fd)];
    const COMMAND: &[Param] = &[("fd", Fd), ("cmd", Enum(mount::FSCONFIG))];
    match ctx.word(1) as u32 {
        0 => FLAG,
        1 => STRING,
        2 => BINARY,
        3 | 4 => PATH,
        5 => SET_FD,
        _ => COMMAND,
    }
}

/// A command above eight bits, a kind of quota below (QCMD of include/uapi/linux/quota.h).
fn quota(_: &Ctx<'_>, word: u64) -> Value {
    let command = word >> 8 & 0xff_ffff;
    let name = names::name(files::QUOTA, command).or_else(|| names::name(files::QUOTA_XFS, command));
    Value::Struct(vec![
        ("cmd", name.map_or(Value::Hex(command), Value::Name)),
        ("type", names::named(files::QUOTA_TYPE, word & 0xff)),
    ])
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    call("mount", &[("source", Str), ("target", Path), ("filesystemtype", Str), ("mountflags", Kind::BitsLong(&MOUNT)), ("data", Str)]),
    call("umount", &[("target", Path)]),
    call("umount2", &[("target", Path), ("flags", Bits(&UMOUNT))]),
    call("pivot_root", &[("new_root", Path), ("put_old", Path)]),
    opens("fsopen", &[("fsname", Str), ("flags", Bits(&FSOPEN))]),
    opens("fspick", &[("dirfd", Dirfd), ("path", Path), ("flags", Bits(&FSPICK))]),
    chooses("fsconfig", fsconfig, Number),
    opens("fsmount", &[("fsfd", Fd), ("flags", Bits(&FSMOUNT)), ("attr_flags", Bits(&ATTR))]),
    opens("open_tree", &[("dirfd", Dirfd), ("path", Path), ("flags", Bits(&OPEN_TREE))]),
    opens("open_tree_attr", &[("dirfd", Dirfd), ("path", Path), ("flags", Bits(&OPEN_TREE)), ("attr", In(setattr)), ("size", Ulong)]),
    call("move_mount", &[("from_dirfd", Dirfd), ("from_path", Path), ("to_dirfd", Dirfd), ("to_path", Path), ("flags", Bits(&MOVE))]),
    call("mount_setattr", &[("dirfd", Dirfd), ("path", Path), ("flags", Bits(&OPEN_TREE)), ("attr", In(setattr)), ("size", Ulong)]),
    call("statmount", &[("req", In(mount_request)), ("buf", Kind::OutPtr(STATMOUNT_OUT)), ("bufsize", Ulong), ("flags", Hex)]),
    call("listmount", &[("req", In(list_request)), ("mnt_ids", Out(ids)), ("nr_mnt_ids", Ulong), ("flags", Bits(&LISTMOUNT))]),
    call("quotactl", &[("op", In(quota)), ("special", Path), ("id", Int), ("addr", HexLong)]),
    call("quotactl_fd", &[("fd", Fd), ("op", In(quota)), ("id", Int), ("addr", HexLong)]),
    call("listns", &[("req", Ptr(LISTNS)), ("ns_ids", Out(ids)), ("nr_ns_ids", Ulong), ("flags", Hex)]),
];

const LISTNS: Record = &[
    ("size", Uint),
    ("", Kind::Skip(4)),
    ("ns_id", Hex64),
    ("ns_type", Hex),
    ("", Kind::Skip(4)),
    ("user_ns_id", Hex64),
];

#[cfg(test)]
mod tests {
    use crate::testing::Fake;

    const CWD: u64 = -100_i64 as u64;

    #[test]
    fn mounts_old_and_new() {
        let fake = Fake::default()
            .put(0x1000, b"/dev/sda\0")
            .put(0x2000, b"/mnt\0")
            .put(0x3000, b"ext4\0")
            .words(0x4000, &[1, 0, 1 << 18, 0]);
        assert_eq!(
            fake.entered("mount", &[0x1000, 0x2000, 0x3000, 0x1001, 0]),
            r#"mount("/dev/sda", "/mnt", "ext4", MS_RDONLY|MS_BIND, NULL)"#
        );
        assert_eq!(
            fake.entered("mount", &[0, 0x2000, 0, 0xc0ed_0001, 0]),
            r#"mount(NULL, "/mnt", NULL, MS_MGC_VAL|MS_RDONLY, NULL)"#
        );
        assert_eq!(fake.entered("umount2", &[0x2000, 2]), r#"umount2("/mnt", MNT_DETACH)"#);
        assert_eq!(
            fake.entered("mount_setattr", &[CWD, 0x2000, 0x8000, 0x4000, 32]),
            r#"mount_setattr(AT_FDCWD, "/mnt", AT_RECURSIVE, {attr_set=MOUNT_ATTR_RDONLY, attr_clr=0, propagation=MS_PRIVATE, userns_fd=0}, 32)"#
        );
        assert_eq!(
            fake.entered("fsconfig", &[3, 1, 0x3000, 0x1000, 0]),
            r#"fsconfig(3, FSCONFIG_SET_STRING, "ext4", "/dev/sda")"#
        );
        assert_eq!(fake.entered("fsconfig", &[3, 6]), "fsconfig(3, FSCONFIG_CMD_CREATE)");
        assert_eq!(
            fake.entered("quotactl", &[0x8000_0700, 0x1000, 5, 0]),
            r#"quotactl({cmd=Q_GETQUOTA, type=USRQUOTA}, "/dev/sda", 5, 0x0)"#
        );
    }
}
