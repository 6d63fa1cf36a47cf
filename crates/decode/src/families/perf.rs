//! Looking into the kernel: perf_event_open(2), bpf(2).

use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Addr64, Bits, Bits64, BitsLong, Chars, Enum, Enum64, Fd, Hex, In, Int, Uint},
        Record,
        Ret::{Fd as RetFd, With},
        Spec, returns,
    },
    names::{self, bits},
    tables::kernel,
};

static PERF_FLAGS: names::Bits = bits(kernel::PERF_FLAGS);
static SAMPLE: names::Bits = bits(kernel::PERF_SAMPLE);
static READ: names::Bits = bits(kernel::PERF_READ);
static MAP_FLAGS: names::Bits = bits(kernel::BPF_MAP_FLAGS);

/// What is counted: the meaning of `config` depends on the type.
fn attr(ctx: &Ctx<'_>, address: u64) -> Value {
    #[rustfmt::skip]
    const HEAD: Record = &[
        ("type", Enum(kernel::PERF_TYPE)), ("size", Uint), ("config", Kind::Hex64), ("sample_period", Kind::U64), ("sample_type", Bits64(&SAMPLE)),
        ("read_format", Bits64(&READ)), ("flags", Kind::Hex64),
    ];
    let kind = ctx.read_u32(address);
    let mut shown = ctx.record(address, HEAD);
    if let Value::Struct(fields) = &mut shown
        && let Some((_, config)) = fields.iter_mut().find(|(name, _)| *name == "config")
        && let Value::Hex(number) = *config
    {
        let table = match kind {
            Some(0) => kernel::PERF_HW,
            Some(1) => kernel::PERF_SW,
            _ => &[],
        };
        *config = names::named(table, number);
    }
    shown
}

pub(super) const MAP_CREATE: Record = &[
    ("map_type", Enum(kernel::BPF_MAP_TYPE)),
    ("key_size", Uint),
    ("value_size", Uint),
    ("max_entries", Uint),
    ("map_flags", Bits(&MAP_FLAGS)),
    ("inner_map_fd", Uint),
    ("numa_node", Uint),
    ("map_name", Chars(16)),
];
pub(super) const ELEMENT: Record =
    &[("map_fd", Fd), ("", Kind::Skip(4)), ("key", Addr64), ("value", Addr64), ("flags", Enum64(kernel::BPF_UPDATE))];
pub(super) const PROG_LOAD: Record = &[
    ("prog_type", Enum(kernel::BPF_PROG_TYPE)),
    ("insn_cnt", Uint),
    ("insns", Addr64),
    ("license", Kind::In64(text)),
    ("log_level", Uint),
    ("log_size", Uint),
    ("log_buf", Addr64),
    ("kern_version", Hex),
    ("prog_flags", Hex),
    ("prog_name", Chars(16)),
];
pub(super) const OBJECT_PATH: Record =
    &[("pathname", Kind::In64(text)), ("bpf_fd", Int), ("file_flags", Bits(&MAP_FLAGS))];
const ATTACH: Record = &[("target_fd", Int), ("attach_bpf_fd", Int), ("attach_type", Uint), ("attach_flags", Hex)];
const BY_ID: Record = &[("id", Uint), ("next_id", Uint), ("open_flags", Hex)];
const INFO: Record = &[("bpf_fd", Fd), ("info_len", Uint), ("info", Addr64)];
const LINK: Record = &[("prog_fd", Int), ("target_fd", Int), ("attach_type", Uint), ("flags", Hex)];

fn text(ctx: &Ctx<'_>, word: u64) -> Value {
    ctx.text(word)
}

/// The union of bpf(2) by command, as much of it as the caller says there is.
fn bpf(ctx: &Ctx<'_>, address: u64) -> Value {
    let record = match names::name(kernel::BPF, ctx.word(0) & 0xffff_ffff).unwrap_or_default() {
        "BPF_MAP_CREATE" => MAP_CREATE,
        "BPF_MAP_LOOKUP_ELEM"
        | "BPF_MAP_UPDATE_ELEM"
        | "BPF_MAP_DELETE_ELEM"
        | "BPF_MAP_GET_NEXT_KEY"
        | "BPF_MAP_LOOKUP_AND_DELETE_ELEM"
        | "BPF_MAP_FREEZE" => ELEMENT,
        "BPF_PROG_LOAD" => PROG_LOAD,
        "BPF_OBJ_PIN" | "BPF_OBJ_GET" => OBJECT_PATH,
        "BPF_PROG_ATTACH" | "BPF_PROG_DETACH" => ATTACH,
        "BPF_PROG_GET_NEXT_ID"
        | "BPF_MAP_GET_NEXT_ID"
        | "BPF_BTF_GET_NEXT_ID"
        | "BPF_LINK_GET_NEXT_ID"
        | "BPF_PROG_GET_FD_BY_ID"
        | "BPF_MAP_GET_FD_BY_ID"
        | "BPF_BTF_GET_FD_BY_ID"
        | "BPF_LINK_GET_FD_BY_ID" => BY_ID,
        "BPF_OBJ_GET_INFO_BY_FD" => INFO,
        "BPF_LINK_CREATE" => LINK,
        _ => return Value::Address(address),
    };
    ctx.record_sized(address, record, ctx.word(2) & 0xffff_ffff)
}

/// Commands that make something.
fn made(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    match names::name(kernel::BPF, ctx.word(0) & 0xffff_ffff)? {
        "BPF_MAP_CREATE"
        | "BPF_PROG_LOAD"
        | "BPF_OBJ_GET"
        | "BPF_PROG_GET_FD_BY_ID"
        | "BPF_MAP_GET_FD_BY_ID"
        | "BPF_BTF_LOAD"
        | "BPF_BTF_GET_FD_BY_ID"
        | "BPF_LINK_CREATE"
        | "BPF_LINK_GET_FD_BY_ID"
        | "BPF_RAW_TRACEPOINT_OPEN"
        | "BPF_ITER_CREATE"
        | "BPF_ENABLE_STATS"
        | "BPF_TOKEN_CREATE" => Some(ctx.fd(value as i32)),
        _ => None,
    }
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    returns("perf_event_open", &[("attr", In(attr)), ("pid", Int), ("cpu", Int), ("group_fd", Fd), ("flags", BitsLong(&PERF_FLAGS))], RetFd),
    returns("bpf", &[("cmd", Enum(kernel::BPF)), ("attr", In(bpf)), ("size", Uint)], With(made)),
];

#[cfg(test)]
mod tests {
    use crate::testing::Fake;

    #[test]
    fn counters_and_maps() {
        let fake = Fake::default().words(0x1000, &[128 << 32, 1, 0, 0, 0, 1]).halves(0x2000, &[1, 4, 8, 100, 1]);
        assert_eq!(
            fake.left("perf_event_open", &[0x1000, 0, u64::MAX, u64::MAX, 8], -13),
            "perf_event_open({type=PERF_TYPE_HARDWARE, size=128, config=PERF_COUNT_HW_INSTRUCTIONS, sample_period=0, sample_type=0, \
             read_format=0, flags=0x1}, 0, -1, -1, PERF_FLAG_FD_CLOEXEC) = -13 EACCES"
        );
        assert_eq!(
            fake.left("bpf", &[0, 0x2000, 20], 5),
            "bpf(BPF_MAP_CREATE, {map_type=BPF_MAP_TYPE_HASH, key_size=4, value_size=8, max_entries=100, \
             map_flags=BPF_F_NO_PREALLOC}, 20) = 5 (5)"
        );
    }
}
