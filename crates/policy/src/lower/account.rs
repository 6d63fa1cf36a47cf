//! `memory_account = "exact"`: the calls that ask the kernel for memory.
//!
//! Only what can make the box larger is asked about, and all conditions are on registers. What is reserved (PROT_NONE, MAP_NORESERVE) is no use, and
//! a MAP_FIXED mapping replaces what its caller has reserved before: the former is not asked about, the latter only where it is large, so that
//! the account can tell it from a new mapping.

use tipstaff_seccomp::{Condition, Op, Width};

use super::Ask;
use super::engine::EnginePlan;
use super::plan::Cost;
use super::sink::Sink;

const RULE: &str = "limits.memory_account = \"exact\"";

const PROT_WRITE: u32 = 2;
const MAP_TYPE: u64 = 0xf;
const MAP_PRIVATE: u64 = 2;
const MAP_SHARED: u64 = 1;
const MAP_FIXED: u64 = 0x10;
const MAP_ANONYMOUS: u64 = 0x20;
const MAP_NORESERVE: u64 = 0x4000;

/// Smaller MAP_FIXED mappings are not asked about, and count whole as soon as they are there. In bytes.
pub const FIXED_FROM: u64 = 1 << 20;

/// Whether the account can be kept; said either way.
pub(super) fn lower(engine: EnginePlan, sink: &mut Sink) -> bool {
    if engine == EnginePlan::Notify {
        let why = "mmap, brk, mremap, mprotect, ftruncate and fallocate wait for the account where they may get memory: 5 to 60 \u{b5}s each, \
                   more near the limit; System V segments are absent";
        sink.full_but(RULE, "notification of calls that get memory, compared with smaps", why, Cost::Notified);
        return true;
    }
    let why = "requests for memory are refused by the notify engine, and this box does not have it";
    let cure = "use `--engine auto` where a seccomp listener can be had, or `--memory-account sampled`";
    sink.weaken(RULE, "sampled: killed when over the limit", why, cure, Cost::Sampling);
    false
}

/// All numbers are the same on x86-64 and aarch64 (`asm-generic/mman-common.h`).
pub(super) fn asks() -> Vec<Ask> {
    let ask = |call, conditions| Ask { call, conditions };
    let flags = |mask, value| Condition { arg: 3, width: Width::W32, op: Op::MaskedEq(mask), value };
    let writable = || Condition::bits(2, PROT_WRITE);
    let fresh = vec![writable(), flags(MAP_TYPE, MAP_PRIVATE), flags(MAP_FIXED | MAP_NORESERVE, 0)];
    let fixed = vec![
        writable(),
        flags(MAP_TYPE, MAP_PRIVATE),
        flags(MAP_FIXED | MAP_NORESERVE, MAP_FIXED),
        Condition::w64(1, Op::Ge, FIXED_FROM),
    ];
    // Its object is as large as it will ever be, whatever its protection is now.
    let shared = vec![flags(MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, MAP_SHARED | MAP_ANONYMOUS)];
    vec![
        ask("mmap", fresh),
        ask("mmap", fixed),
        ask("mmap", shared),
        ask("brk", vec![Condition::w64(0, Op::Ne, 0)]),
        ask("mremap", Vec::new()),
        ask("mprotect", vec![writable()]),
        ask("pkey_mprotect", vec![writable()]),
        ask("ftruncate", Vec::new()),
        ask("fallocate", Vec::new()),
    ]
}
