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
        let why = "mmap, brk, mremap, mprotect, ftruncate and fallocate wait for the account where they may get memory: 10 to 60 \u{b5}s each, \
                   0.1 to 1 ms near the limit; System V segments are absent";
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

#[cfg(test)]
mod tests {
    use tipstaff_abi::Sysno;
    use tipstaff_abi::bpf::SeccompData;
    use tipstaff_abi::caps::KernelCaps;
    use tipstaff_report::Level;
    use tipstaff_seccomp::Action;

    use super::*;
    use crate::lower::tests::{Table, around, preset};
    use crate::lower::{Plan, Refusal};
    use crate::profile::{Engine, MemoryAccount, Profile};
    use crate::value::Setting;

    fn exact() -> Profile {
        let mut profile = preset("default");
        profile.limits.memory = Some(Setting::At(64 << 20));
        profile.limits.memory_account = Some(MemoryAccount::Exact);
        profile
    }

    fn plan(profile: &Profile, caps: &KernelCaps) -> Result<Plan, Refusal> {
        crate::lower::lower(profile, caps, &Table::machine(), &around())
    }

    #[test]
    fn only_calls_that_get_memory_are_asked_about() {
        let caps = KernelCaps::full();
        let lowered = plan(&exact(), &caps).expect("plan");
        assert!(lowered.limits.memory_exact && lowered.engine == EnginePlan::Notify);
        let filter = lowered.filter.expect("a filter");
        let installed = filter.installed([7, 8, 9]);
        let asked = |call: &str, args: [u64; 6]| {
            let nr = Sysno::by_name(caps.arch, call).expect("a call").0.cast_signed();
            let data = SeccompData { nr, arch: caps.arch.audit_arch(), args, ..SeccompData::default() };
            let asked = installed.decide(&data) == Action::Notify;
            assert!(!asked || filter.is_asked(&data), "whoever is notified finds somebody to ask");
            asked
        };
        let mmap = |length, prot, flags| asked("mmap", [0, length, prot, flags, 0, 0]);
        const ANON: u64 = MAP_PRIVATE | MAP_ANONYMOUS;
        assert!(mmap(1, 3, ANON) && mmap(1, 2, MAP_PRIVATE) && mmap(1, 0, MAP_SHARED | MAP_ANONYMOUS));
        assert!(mmap(1, 3 | 1 << 32, ANON | 1 << 32), "bits that the kernel does not look at");
        assert!(mmap(FIXED_FROM, 3, ANON | MAP_FIXED) && mmap(1 << 40, 3, ANON | MAP_FIXED));
        assert!(!mmap(FIXED_FROM - 1, 3, ANON | MAP_FIXED), "small and over what is there");
        assert!(!mmap(1, 1, ANON) && !mmap(1, 0, ANON) && !mmap(1, 3, ANON | MAP_NORESERVE));
        assert!(!mmap(1, 3, MAP_SHARED), "a file");
        assert!(asked("brk", [1, 0, 0, 0, 0, 0]) && !asked("brk", [0; 6]));
        assert!(asked("mprotect", [0, 1, 3, 0, 0, 0]) && !asked("mprotect", [0, 1, 5, 0, 0, 0]));
        assert!(asked("mremap", [0; 6]) && asked("ftruncate", [0; 6]) && asked("fallocate", [0; 6]));
        assert!(!asked("munmap", [0; 6]) && !asked("madvise", [0; 6]));
        tipstaff_seccomp::prove(&installed, &installed.compile().expect("compiles")).expect("proven");
    }

    #[test]
    fn nobody_is_asked_without_need() {
        for (memory, account) in [
            (Some(Setting::At(1 << 20)), Some(MemoryAccount::Sampled)),
            (Some(Setting::At(1 << 20)), None),
            (None, Some(MemoryAccount::Exact)),
            (Some(Setting::Unlimited), Some(MemoryAccount::Exact)),
        ] {
            let mut profile = exact();
            (profile.limits.memory, profile.limits.memory_account) = (memory, account);
            let plan = plan(&profile, &KernelCaps::full()).expect("plan");
            assert!(plan.asked.is_empty() && !plan.limits.memory_exact, "{memory:?} {account:?}");
        }
    }

    #[test]
    fn without_a_listener_it_is_refused_or_weakened() {
        let mut profile = exact();
        for (engine, listener) in [(Engine::Native, true), (Engine::Ptrace, true), (Engine::Auto, false)] {
            profile.isolation.engine = Some(engine);
            profile.isolation.best_effort = Some(false);
            let caps = KernelCaps { listener, ..KernelCaps::full() };
            let refused = plan(&profile, &caps).expect_err("refused").to_string();
            assert!(refused.contains(RULE) && refused.contains("--memory-account sampled"), "{refused}");
            profile.isolation.best_effort = Some(true);
            let weak = plan(&profile, &caps).expect("plan");
            let told = weak
                .rules
                .iter()
                .any(|rule| rule.enforcement.rule == RULE && rule.enforcement.level == Level::Weakened);
            assert!(told && !weak.limits.memory_exact, "{engine:?}");
        }
    }
}
