//! Who we are: credentials(7), capabilities(7), setsid(2).

use super::common::word_at;
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{Counted, Enum, Id, Id16, In, Int, Out, OutTo, Ptr, Ulong},
        Record, Spec, call,
    },
    tables::process,
};

const HEADER: Record = &[("version", Enum(process::CAPABILITY_VERSION)), ("pid", Int)];

/// A set of capabilities as a list of names.
fn capabilities(set: u64) -> Value {
    // Flags name each bit; numbers beyond the last known capability are left as bits.
    let mut known = Vec::with_capacity(set.count_ones() as usize);
    let mut rest = set;
    for &(number, name) in process::CAPABILITY {
        if set >> number & 1 == 1 {
            known.push(name);
            rest &= !(1 << number);
        }
    }
    Value::Flags { names: known, rest }
}

/// Version 1 has 32 capabilities, the others two structures of 32 each (capset(2)).
fn data(ctx: &Ctx<'_>, address: u64) -> Value {
    let halves = if ctx.read_u32(ctx.word(0)) == Some(0x1998_0330) { 1 } else { 2 };
    let bytes = ctx.read_vec(address, 12 * halves);
    if bytes.len() < 12 * halves {
        return Value::Address(address);
    }
    let set = |at: usize| capabilities(word_at(&bytes, at, 4) | word_at(&bytes, at + 12, 4) << 32);
    Value::Struct(vec![("effective", set(0)), ("permitted", set(4)), ("inheritable", set(8))])
}

/// With a size of 0 getgroups(2) only counts.
fn groups(ctx: &Ctx<'_>, address: u64) -> Value {
    if ctx.word(0) as u32 == 0 { Value::Address(address) } else { ctx.array(address, ctx.len(), Id) }
}

fn groups16(ctx: &Ctx<'_>, address: u64) -> Value {
    if ctx.word(0) as u32 == 0 { Value::Address(address) } else { ctx.array(address, ctx.len(), Id16) }
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    call("getpid getppid gettid getpgrp setsid getuid geteuid getgid getegid getuid32 geteuid32 getgid32 getegid32", &[]),
    call("getpgid getsid", &[("pid", Int)]),
    call("setpgid", &[("pid", Int), ("pgid", Int)]),
    call("setuid setuid32", &[("uid", Id)]),
    call("setgid setgid32", &[("gid", Id)]),
    call("setfsuid setfsuid32", &[("fsuid", Id)]),
    call("setfsgid setfsgid32", &[("fsgid", Id)]),
    call("setuid:16", &[("id", Id16)]),
    call("setreuid setreuid32", &[("ruid", Id), ("euid", Id)]),
    call("setregid setregid32", &[("rgid", Id), ("egid", Id)]),
    call("setreuid:16", &[("ruid", Id16), ("euid", Id16)]),
    call("setregid:16", &[("rgid", Id16), ("egid", Id16)]),
    call("setresuid setresuid32", &[("ruid", Id), ("euid", Id), ("suid", Id)]),
    call("setresgid setresgid32", &[("rgid", Id), ("egid", Id), ("sgid", Id)]),
    call("setresuid:16", &[("ruid", Id16), ("euid", Id16), ("suid", Id16)]),
    call("setresgid:16", &[("rgid", Id16), ("egid", Id16), ("sgid", Id16)]),
    call("getresuid getresuid32", &[("ruid", OutTo(&Id)), ("euid", OutTo(&Id)), ("suid", OutTo(&Id))]),
    call("getresgid getresgid32", &[("rgid", OutTo(&Id)), ("egid", OutTo(&Id)), ("sgid", OutTo(&Id))]),
    call("getresuid:16", &[("ruid", OutTo(&Id16)), ("euid", OutTo(&Id16)), ("suid", OutTo(&Id16))]),
    call("getresgid:16", &[("rgid", OutTo(&Id16)), ("egid", OutTo(&Id16)), ("sgid", OutTo(&Id16))]),
    call("getgroups getgroups32", &[("size", Int), ("list", Out(groups))]),
    call("getgroups:16", &[("size", Int), ("list", Out(groups16))]),
    call("setgroups setgroups32", &[("size", Ulong), ("list", Counted(0, &Id))]),
    call("setgroups:16", &[("size", Ulong), ("list", Counted(0, &Id16))]),
    call("capget", &[("hdrp", Ptr(HEADER)), ("datap", Out(data))]),
    call("capset", &[("hdrp", Ptr(HEADER)), ("datap", In(data))]),
];

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use crate::testing::Fake;

    #[test]
    fn groups_of_both_widths() {
        let fake = Fake::default().halves(0x1000, &[4, 27, 1000]);
        assert_eq!(fake.left("getgroups", &[0, 0x1000], 3), "getgroups(0, 0x1000) = 3");
        assert_eq!(fake.left("getgroups", &[9, 0x1000], 3), "getgroups(9, [4, 27, 1000]) = 3");
        let old = Fake::default().put(0x1000, [4, 0, 27, 0]);
        assert_eq!(old.left_on(Arch::I386, "setgroups", &[2, 0x1000], 0), "setgroups(2, [4, 27]) = 0");
        assert_eq!(fake.entered("setresuid", &[u64::MAX, 0, 65534]), "setresuid(-1, 0, 65534)");
        assert_eq!(fake.left("getuid", &[], 0), "getuid() = 0");
    }

    #[test]
    fn capabilities_of_two_halves() {
        let fake = Fake::default().halves(0x1000, &[0x2008_0522, 0]).halves(0x2000, &[3, 1, 0, 1 << 7, 0, 1 << 31]);
        assert_eq!(
            fake.left("capget", &[0x1000, 0x2000], 0),
            "capget({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, {effective=CAP_CHOWN|CAP_DAC_OVERRIDE|CAP_BPF, \
             permitted=CAP_CHOWN, inheritable=0x8000000000000000}) = 0"
        );
    }
}
