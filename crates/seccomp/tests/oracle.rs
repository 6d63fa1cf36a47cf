//! A second opinion: libseccomp's program for the same rules answers as ours.
//!
//! Where both can say it: one architecture, 64-bit comparisons, and for each call either one rule, or several that compare
//! one argument for equality. With several orderings of one argument libseccomp 2.5.4 goes wrong (`arg1 < 0` or
//! `arg1 < 1 << 32` does not match 1) or never returns, so it is no oracle for those; `proof.rs` is. Run with
//! `--features libseccomp-oracle` and the C library installed; without the library the test fails.
#![cfg(all(feature = "libseccomp-oracle", target_os = "linux", target_arch = "x86_64"))]

use std::{
    collections::BTreeMap,
    ffi::{c_char, c_int, c_void},
    fs::File,
    io::{Read, Seek},
    os::fd::{AsRawFd, FromRawFd},
};

use proptest::prelude::*;
use tipstaff_abi::{
    Arch, Sysno,
    bpf::{Insn, SeccompData},
};
use tipstaff_seccomp::{Action, Condition, Filter, Op, Rule, Table, Width, run};

/// `struct scmp_arg_cmp`.
#[repr(C)]
struct ArgCmp {
    arg: u32,
    op: c_int,
    a: u64,
    b: u64,
}

type Init = unsafe extern "C" fn(u32) -> *mut c_void;
type Add = unsafe extern "C" fn(*mut c_void, u32, c_int, u32, *const ArgCmp) -> c_int;
type Export = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;

struct Library {
    init: Init,
    add: Add,
    export: Export,
    release: unsafe extern "C" fn(*mut c_void),
}

impl Library {
    fn load() -> Self {
        // SAFETY: loading libseccomp runs no code of consequence; the names end in NUL.
        let handle = unsafe { libc::dlopen(c"libseccomp.so.2".as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "libseccomp.so.2 is not installed");
        let symbol = |name: *const c_char| {
            // SAFETY: the handle is live and the name ends in NUL.
            let found = unsafe { libc::dlsym(handle, name) };
            assert!(!found.is_null());
            found
        };
        // SAFETY: the types are those of seccomp.h.
        unsafe {
            Self {
                init: std::mem::transmute::<*mut c_void, Init>(symbol(c"seccomp_init".as_ptr())),
                add: std::mem::transmute::<*mut c_void, Add>(symbol(c"seccomp_rule_add_array".as_ptr())),
                export: std::mem::transmute::<*mut c_void, Export>(symbol(c"seccomp_export_bpf".as_ptr())),
                release: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void)>(symbol(
                    c"seccomp_release".as_ptr(),
                )),
            }
        }
    }

    /// libseccomp's program, or `None` if it does not take one of the rules.
    fn compile(&self, table: &Table) -> Option<Vec<Insn>> {
        // SAFETY: the context is used and released here only, and every pointer outlives its call.
        unsafe {
            let context = (self.init)(table.default.to_raw());
            assert!(!context.is_null());
            let mut taken = true;
            for (&number, rules) in &table.rules {
                for rule in rules {
                    let args: Vec<_> = rule.conditions.iter().map(arg_cmp).collect();
                    let number = number.cast_signed();
                    taken &= (self.add)(context, rule.action.to_raw(), number, args.len() as u32, args.as_ptr()) == 0;
                }
            }
            let mut bytes = Vec::new();
            if taken {
                let fd = libc::memfd_create(c"bpf".as_ptr(), libc::MFD_CLOEXEC);
                assert!(fd >= 0);
                let mut file = File::from_raw_fd(fd);
                assert_eq!((self.export)(context, file.as_raw_fd()), 0);
                file.rewind().expect("rewinds");
                file.read_to_end(&mut bytes).expect("reads");
            }
            (self.release)(context);
            taken.then(|| bytes.chunks_exact(8).map(insn).collect())
        }
    }
}

fn insn(bytes: &[u8]) -> Insn {
    let &[c0, c1, jt, jf, k0, k1, k2, k3] = bytes else { unreachable!("chunks of eight") };
    Insn { code: u16::from_le_bytes([c0, c1]), jt, jf, k: u32::from_le_bytes([k0, k1, k2, k3]) }
}

fn arg_cmp(condition: &Condition) -> ArgCmp {
    let (op, a, b) = match condition.op {
        Op::Ne => (1, condition.value, 0),
        Op::Lt => (2, condition.value, 0),
        Op::Le => (3, condition.value, 0),
        Op::Eq => (4, condition.value, 0),
        Op::Ge => (5, condition.value, 0),
        Op::Gt => (6, condition.value, 0),
        Op::MaskedEq(mask) => (7, mask, condition.value),
    };
    ArgCmp { arg: condition.arg.into(), op, a, b }
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, Just(0x5412), Just(u64::from(u32::MAX)), (0..64_u32).prop_map(|bit| 1 << bit), any::<u64>()]
}

fn rule() -> impl Strategy<Value = Rule> {
    let op = prop_oneof![
        Just(Op::Eq),
        Just(Op::Ne),
        Just(Op::Lt),
        Just(Op::Le),
        Just(Op::Gt),
        Just(Op::Ge),
        value().prop_map(Op::MaskedEq),
    ];
    // libseccomp takes each argument once.
    let conditions = prop::collection::btree_map(0..6_u8, (op, value()), 1..4);
    conditions.prop_map(|conditions| Rule {
        conditions: conditions
            .into_iter()
            .map(|(arg, (op, value))| Condition {
                arg,
                width: Width::W64,
                op,
                value: if let Op::MaskedEq(mask) = op { value & mask } else { value },
            })
            .collect(),
        action: Action::Errno(1),
    })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let equal =
        |arg: u8, value| Rule { conditions: vec![Condition::w64(arg, Op::Eq, value)], action: Action::Errno(1) };
    let several = (0..6_u8, prop::collection::btree_set(value(), 1..5))
        .prop_map(move |(arg, values)| values.into_iter().map(|value| equal(arg, value)).collect());
    prop_oneof![2 => rule().prop_map(|rule| vec![rule]), 1 => several]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn libseccomp_agrees(
        rules in prop::collection::btree_map(0..460_u32, rules(), 1..6),
        args in prop::collection::vec(prop::array::uniform6(value()), 24),
    ) {
        let known = |number: &u32| Sysno(*number).name(Arch::X86_64).is_some();
        let rules: BTreeMap<_, _> = rules.into_iter().filter(|(number, _)| known(number)).collect();
        let table = Table { arch: Arch::X86_64, rules, default: Action::Allow, unknown: Action::Allow };
        let Some(theirs) = Library::load().compile(&table) else { return Err(TestCaseError::reject("not taken")) };
        let filter = Filter { tables: vec![table], foreign: Action::KillThread };
        let ours = filter.compile().expect("compiles");
        for &number in filter.tables[0].rules.keys() {
            let edges = filter.tables[0].rules[&number].iter().flat_map(|rule| &rule.conditions);
            let near = edges.flat_map(|c| [c.value, c.value.wrapping_add(1), c.value.wrapping_sub(1), c.value | 1 << 32]);
            for args in near.map(|value| [value; 6]).chain(args.iter().copied()) {
                let data = SeccompData { nr: number.cast_signed(), arch: Arch::X86_64.audit_arch(), ip: 0, args };
                prop_assert_eq!(run(ours.insns(), &data), run(&theirs, &data), "{:?}", data);
            }
        }
    }
}
