//! seccomp(2), landlock(7), and the calls of security modules.

use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Addr, Bits, Bits64, Enum, Fd, Hex, In, Out, Ptr, U16, U64, Uint, Ulong},
        Param, Record,
        Ret::With,
        Spec, call, chooses, returns,
    },
    names::{self, bits},
    tables::security,
};

static FLAGS: names::Bits = bits(security::SECCOMP_FLAGS);
static LANDLOCK_CREATE: names::Bits = bits(security::LANDLOCK_CREATE);
static LANDLOCK_FS: names::Bits = bits(security::LANDLOCK_FS);
static LANDLOCK_NET: names::Bits = bits(security::LANDLOCK_NET);
static LANDLOCK_SCOPE: names::Bits = bits(security::LANDLOCK_SCOPE);
static LANDLOCK_RESTRICT: names::Bits = bits(security::LANDLOCK_RESTRICT);

pub(super) const FILTER: Record = &[("len", U16), ("filter", Addr)];
pub(super) const SIZES: Record = &[("seccomp_notif", U16), ("seccomp_notif_resp", U16), ("seccomp_data", U16)];

fn seccomp(ctx: &mut Ctx<'_>) -> &'static [Param] {
    const OPERATION: Kind = Enum(security::SECCOMP);
    const STRICT: &[Param] = &[("operation", OPERATION), ("flags", Hex), ("args", Addr)];
    const SET: &[Param] = &[("operation", OPERATION), ("flags", Bits(&FLAGS)), ("args", Ptr(FILTER))];
    const AVAILABLE: &[Param] =
        &[("operation", OPERATION), ("flags", Hex), ("args", Kind::To(&Enum(security::SECCOMP_RET)))];
    const NOTIF_SIZES: &[Param] = &[("operation", OPERATION), ("flags", Hex), ("args", Kind::OutPtr(SIZES))];
    match ctx.word(0) as u32 {
        1 => SET,
        2 => AVAILABLE,
        3 => NOTIF_SIZES,
        _ => STRICT,
    }
}

/// SECCOMP_FILTER_FLAG_NEW_LISTENER makes the call return a descriptor.
fn listener(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    (ctx.word(0) as u32 == 1 && ctx.word(1) & 8 != 0).then(|| ctx.fd(value as i32))
}

#[rustfmt::skip]
pub(super) const RULESET: Record = &[("handled_access_fs", Bits64(&LANDLOCK_FS)), ("handled_access_net", Bits64(&LANDLOCK_NET)), ("scoped", Bits64(&LANDLOCK_SCOPE))];

/// The structure has grown with Landlock; its size comes along.
fn ruleset(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.record_sized(address, RULESET, ctx.word(1))
}

/// With a flag the call returns a version or a set of errata, without one a descriptor.
fn ruleset_fd(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    (ctx.word(2) as u32 == 0).then(|| ctx.fd(value as i32))
}

fn add_rule(ctx: &mut Ctx<'_>) -> &'static [Param] {
    // Packed: the descriptor follows without padding, which is where it would stand anyway.
    const PATH: Record = &[("allowed_access", Bits64(&LANDLOCK_FS)), ("parent_fd", Fd)];
    const PORT: Record = &[("allowed_access", Bits64(&LANDLOCK_NET)), ("port", U64)];
    const BENEATH: &[Param] = &[
        ("ruleset_fd", Fd),
        ("rule_type", Enum(security::LANDLOCK_RULE)),
        ("rule_attr", In(path_rule)),
        ("flags", Hex),
    ];
    const NET: &[Param] =
        &[("ruleset_fd", Fd), ("rule_type", Enum(security::LANDLOCK_RULE)), ("rule_attr", Ptr(PORT)), ("flags", Hex)];
    const OTHER: &[Param] =
        &[("ruleset_fd", Fd), ("rule_type", Enum(security::LANDLOCK_RULE)), ("rule_attr", Addr), ("flags", Hex)];
    fn path_rule(ctx: &Ctx<'_>, address: u64) -> Value {
        // 12 bytes, not the 16 that alignment would make of them.
        ctx.record_sized(address, PATH, 12)
    }
    match ctx.word(1) as u32 {
        1 => BENEATH,
        2 => NET,
        _ => OTHER,
    }
}

const LSM_CTX: Record = &[("id", U64), ("flags", Kind::Hex64), ("len", U64), ("ctx_len", U64)];

/// As many identifiers as the result says.
fn modules(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.array(address, ctx.len(), U64)
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    chooses("seccomp", seccomp, With(listener)),
    returns("landlock_create_ruleset", &[("attr", In(ruleset)), ("size", Ulong), ("flags", Bits(&LANDLOCK_CREATE))], With(ruleset_fd)),
    chooses("landlock_add_rule", add_rule, crate::kind::Ret::Number),
    call("landlock_restrict_self", &[("ruleset_fd", Fd), ("flags", Bits(&LANDLOCK_RESTRICT))]),
    call("lsm_get_self_attr", &[("attr", Enum(security::LSM_ATTR)), ("ctx", Kind::OutPtr(LSM_CTX)), ("size", Kind::InOutTo(&Uint)), ("flags", Hex)]),
    call("lsm_set_self_attr", &[("attr", Enum(security::LSM_ATTR)), ("ctx", Ptr(LSM_CTX)), ("size", Uint), ("flags", Hex)]),
    call("lsm_list_modules", &[("ids", Out(modules)), ("size", Kind::InOutTo(&Uint)), ("flags", Hex)]),
];

#[cfg(test)]
mod tests {
    use crate::testing::Fake;

    #[test]
    fn filters_and_rulesets() {
        let fake = Fake::default()
            .words(0x1000, &[4, 0x7000])
            .words(0x2000, &[0xc, 1, 2])
            .put(0x3000, [4, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0])
            .fd(5, "anon_inode:seccomp notify");
        assert_eq!(
            fake.left("seccomp", &[1, 8, 0x1000], 5),
            "seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, {len=4, filter=0x7000}) = 5 (5<anon_inode:seccomp notify>)"
        );
        assert_eq!(
            fake.left("landlock_create_ruleset", &[0x2000, 24, 0], 6),
            "landlock_create_ruleset({handled_access_fs=LANDLOCK_ACCESS_FS_READ_FILE|LANDLOCK_ACCESS_FS_READ_DIR, \
             handled_access_net=LANDLOCK_ACCESS_NET_BIND_TCP, scoped=LANDLOCK_SCOPE_SIGNAL}, 24, 0) = 6 (6)"
        );
        assert_eq!(
            fake.left("landlock_create_ruleset", &[0, 0, 1], 7),
            "landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) = 7"
        );
        // The rule is 12 bytes and may end at the end of memory.
        assert_eq!(
            fake.entered("landlock_add_rule", &[6, 1, 0x3000, 0]),
            "landlock_add_rule(6, LANDLOCK_RULE_PATH_BENEATH, {allowed_access=LANDLOCK_ACCESS_FS_READ_FILE, parent_fd=9}, 0x0)"
        );
    }
}
