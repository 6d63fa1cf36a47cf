//! Keys: add_key(2), request_key(2), keyctl(2).

use super::common::iovec_in;
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Addr, Bits, Buf, Enum, Hex, HexLong, Id, In, Int, Out, Str, Uint, Ulong},
        Param,
        Ret::Number,
        Spec, call, chooses,
    },
    names,
    tables::ipc,
};

static MOVE: names::Bits = names::bits(ipc::KEYCTL_MOVE);

/// A key's serial number, or one of the process's own keyrings.
fn key(_: &Ctx<'_>, word: u64) -> Value {
    let number = word & 0xffff_ffff;
    names::name(ipc::KEYRING, number).map_or(Value::Int((number as i32).into()), Value::Name)
}

/// keyctl(2)'s answers say how long they would be, which may be more than there is room for.
fn answer(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.buffer(address, ctx.len().min(ctx.word(3)))
}

macro_rules! with {
    ($($param:expr),*) => {{
        const PARAMS: &[Param] = &[("operation", Enum(ipc::KEYCTL)), $($param),*];
        PARAMS
    }};
}

fn params(ctx: &mut Ctx<'_>) -> &'static [Param] {
    match names::name(ipc::KEYCTL, ctx.word(0) & 0xffff_ffff).unwrap_or_default() {
        "KEYCTL_GET_KEYRING_ID" => with!(("key", In(key)), ("create", Int)),
        "KEYCTL_JOIN_SESSION_KEYRING" => with!(("name", Str)),
        "KEYCTL_UPDATE" => with!(("key", In(key)), ("payload", Buf(3)), ("plen", Ulong)),
        "KEYCTL_REVOKE" | "KEYCTL_CLEAR" | "KEYCTL_ASSUME_AUTHORITY" | "KEYCTL_INVALIDATE" => with!(("key", In(key))),
        "KEYCTL_CHOWN" => with!(("key", In(key)), ("uid", Id), ("gid", Id)),
        "KEYCTL_SETPERM" => with!(("key", In(key)), ("perm", Hex)),
        "KEYCTL_DESCRIBE" | "KEYCTL_READ" | "KEYCTL_GET_SECURITY" => {
            with!(("key", In(key)), ("buffer", Out(answer)), ("buflen", Ulong))
        }
        "KEYCTL_LINK" | "KEYCTL_UNLINK" => with!(("key", In(key)), ("keyring", In(key))),
        "KEYCTL_SEARCH" => with!(("keyring", In(key)), ("type", Str), ("description", Str), ("dest_keyring", In(key))),
        "KEYCTL_INSTANTIATE" => with!(("key", In(key)), ("payload", Buf(3)), ("plen", Ulong), ("keyring", In(key))),
        "KEYCTL_INSTANTIATE_IOV" => {
            with!(("key", In(key)), ("payload_iov", In(iovec_in::<3>)), ("ioc", Uint), ("keyring", In(key)))
        }
        "KEYCTL_NEGATE" => with!(("key", In(key)), ("timeout", Uint), ("keyring", In(key))),
        "KEYCTL_REJECT" => with!(("key", In(key)), ("timeout", Uint), ("error", Uint), ("keyring", In(key))),
        "KEYCTL_SET_TIMEOUT" => with!(("key", In(key)), ("timeout", Uint)),
        "KEYCTL_SET_REQKEY_KEYRING" => with!(("reqkey_defl", Int)),
        "KEYCTL_SESSION_TO_PARENT" => with!(),
        "KEYCTL_GET_PERSISTENT" => with!(("uid", Id), ("keyring", In(key))),
        "KEYCTL_RESTRICT_KEYRING" => with!(("keyring", In(key)), ("type", Str), ("restriction", Str)),
        "KEYCTL_MOVE" => with!(("key", In(key)), ("from", In(key)), ("to", In(key)), ("flags", Bits(&MOVE))),
        "KEYCTL_CAPABILITIES" => with!(("buffer", Out(capabilities)), ("buflen", Ulong)),
        "KEYCTL_WATCH_KEY" => with!(("key", In(key)), ("watch_queue_fd", Kind::Fd), ("watch_id", Int)),
        "KEYCTL_DH_COMPUTE" => with!(("params", Addr), ("buffer", Out(answer)), ("buflen", Ulong), ("kdf", Addr)),
        _ => with!(("arg2", HexLong), ("arg3", HexLong), ("arg4", HexLong), ("arg5", HexLong)),
    }
}

fn capabilities(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.buffer(address, ctx.len().min(ctx.word(2)))
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    call("add_key", &[("type", Str), ("description", Str), ("payload", Buf(3)), ("plen", Ulong), ("keyring", In(key))]),
    call("request_key", &[("type", Str), ("description", Str), ("callout_info", Str), ("dest_keyring", In(key))]),
    chooses("keyctl", params, Number),
];

#[cfg(test)]
mod tests {
    use crate::testing::Fake;

    #[test]
    fn keys_and_keyrings() {
        let fake = Fake::default().put(0x1000, b"user\0").put(0x2000, b"secret");
        assert_eq!(
            fake.entered("add_key", &[0x1000, 0x1000, 0x2000, 6, -3_i64 as u64]),
            r#"add_key("user", "user", "secret", 6, KEY_SPEC_SESSION_KEYRING)"#
        );
        assert_eq!(fake.left("keyctl", &[11, 77, 0x2000, 3], 6), r#"keyctl(KEYCTL_READ, 77, "sec", 3) = 6"#);
        assert_eq!(fake.entered("keyctl", &[8, 77, -4_i64 as u64]), "keyctl(KEYCTL_LINK, 77, KEY_SPEC_USER_KEYRING)");
        assert_eq!(fake.entered("keyctl", &[99, 1, 2, 3, 4]), "keyctl(0x63, 0x1, 0x2, 0x3, 0x4)");
    }
}
