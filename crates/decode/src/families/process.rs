//! Processes: clone(2), execve(2), exit(2), unshare(2), setns(2), pidfd_open(2), kcmp(2).

use super::common::{environment, strings};
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Addr, Addr64, Bits, Dirfd, Enum, Fd, Hex, In, InOut, Int, OutTo, Path, Signal64, U64, Ulong},
        Param, Record,
        Ret::Number,
        Spec, call, chooses, opens,
    },
    names::{self, bits},
    tables::{files, process},
};

static CLONE: names::Bits = bits(process::CLONE);
static CLONE_NS: names::Bits = bits(process::CLONE_NS);
static AT_EXEC: names::Bits = bits(files::AT_EXEC);
static PIDFD: names::Bits = bits(process::PIDFD);

/// The low byte is the signal that the parent gets.
fn clone_flags(_: &Ctx<'_>, word: u64) -> Value {
    // The kernel looks at 32 bits; those above are clone3(2)'s.
    let mut flags = CLONE.of(word & 0xffff_ff00);
    if let Value::Flags { names, rest } = &mut flags {
        match names::signal_name((word & 0xff) as i64) {
            Some(signal) => names.push(signal),
            None => *rest |= word & 0xff,
        }
    }
    flags
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const CLONE_PARENT_SETTID: u64 = 0x10_0000;

/// Only what the flags make the kernel look at is shown. The last two change places between architectures.
macro_rules! clone_params {
    ($name:ident, $third:ident, $fourth:ident) => {
        fn $name(ctx: &mut Ctx<'_>) -> &'static [Param] {
            let flags = ctx.word(0);
            macro_rules! with {
                ($parent:expr, $a:expr, $b:expr) => {{
                    const PARAMS: &[Param] = &[("flags", In(clone_flags)), ("stack", Addr), $parent, $a, $b];
                    PARAMS
                }};
            }
            macro_rules! with_parent {
                ($parent:expr) => {
                    match (flags & $third.1 != 0, flags & $fourth.1 != 0) {
                        (false, false) => with!($parent, NONE, NONE),
                        (true, false) => with!($parent, $third.0, NONE),
                        (false, true) => with!($parent, NONE, $fourth.0),
                        (true, true) => with!($parent, $third.0, $fourth.0),
                    }
                };
            }
            if flags & CLONE_PIDFD != 0 {
                with_parent!(("pidfd", OutTo(&Fd)))
            } else if flags & CLONE_PARENT_SETTID != 0 {
                with_parent!(("parent_tid", OutTo(&Int)))
            } else {
                with_parent!(NONE)
            }
        }
    };
}

/// A parameter that is not looked at.
const NONE: Param = ("", Kind::Skip(1));
/// A parameter and the flags that make the kernel look at it: CLONE_CHILD_SETTID and CLONE_CHILD_CLEARTID, CLONE_SETTLS.
const CHILD: (Param, u64) = (("child_tid", Addr), 0x0120_0000);
const TLS: (Param, u64) = (("tls", Addr), 0x8_0000);

clone_params!(clone, CHILD, TLS);
clone_params!(clone_backwards, TLS, CHILD);

#[rustfmt::skip]
pub(super) const CLONE_ARGS: Record = &[
    ("flags", Kind::Bits64(&CLONE)), ("pidfd", Addr64), ("child_tid", Addr64), ("parent_tid", Addr64), ("exit_signal", Signal64),
    ("stack", Addr64), ("stack_size", U64), ("tls", Addr64), ("set_tid", Addr64), ("set_tid_size", U64), ("cgroup", Kind::Fd64),
];

/// `struct clone_args`; 64 bits everywhere, and it says its own size.
fn clone_args(ctx: &Ctx<'_>, address: u64) -> Value {
    let Value::Struct(mut fields) = ctx.record_sized(address, CLONE_ARGS, ctx.word(1)) else {
        return Value::Address(address);
    };
    let flags = ctx.read(address).map_or(0, u64::from_le_bytes);
    // What the flags do not make the kernel look at is left out, and so is what is zero; what it has written is known after success.
    fields.retain_mut(|(name, value)| {
        let (wanted, written) = match *name {
            "flags" => return true,
            "pidfd" => (CLONE_PIDFD, Some(Fd)),
            "parent_tid" => (CLONE_PARENT_SETTID, Some(Int)),
            "child_tid" => (CHILD.1, None),
            "tls" => (TLS.1, None),
            "cgroup" => (CLONE_INTO_CGROUP, None),
            _ => return !matches!(value, Value::Address(0) | Value::Uint(0)),
        };
        if let (Some(kind), Value::Address(at), Some(_)) = (written, &*value, ctx.result) {
            *value = ctx.pointee(*at, kind);
        }
        flags & wanted != 0
    });
    Value::Struct(fields)
}

#[rustfmt::skip]
const EXECVE: &[Param] = &[("pathname", Path), ("argv", In(strings)), ("envp", In(environment))];

fn kcmp(ctx: &mut Ctx<'_>) -> &'static [Param] {
    const FILES: &[Param] =
        &[("pid1", Int), ("pid2", Int), ("type", Enum(process::KCMP)), ("idx1", Int), ("idx2", Int)];
    const PLAIN: &[Param] = &[("pid1", Int), ("pid2", Int), ("type", Enum(process::KCMP))];
    if matches!(ctx.word(2) as u32, 0 | 7) { FILES } else { PLAIN }
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    call("fork vfork", &[]),
    chooses("clone", clone, Number),
    chooses("clone:backwards", clone_backwards, Number),
    call("clone3", &[("cl_args", InOut(clone_args)), ("size", Ulong)]),
    call("execve", EXECVE),
    call("execveat", &[("dirfd", Dirfd), ("pathname", Path), ("argv", In(strings)), ("envp", In(environment)), ("flags", Bits(&AT_EXEC))]),
    call("exit exit_group", &[("status", Int)]),
    call("unshare", &[("flags", Bits(&UNSHARE))]),
    call("setns", &[("fd", Fd), ("nstype", Bits(&CLONE_NS))]),
    call("set_tid_address", &[("tidptr", Addr)]),
    opens("pidfd_open", &[("pid", Int), ("flags", Bits(&PIDFD))]),
    opens("pidfd_getfd", &[("pidfd", Fd), ("targetfd", Int), ("flags", Hex)]),
    chooses("kcmp", kcmp, Number),
];

/// unshare(2) takes what clone(2) shares, and CLONE_NEWTIME, whose bit is part of clone's signal.
static UNSHARE: names::Bits = names::Bits { fields: &[(0x80, &[(0x80, "CLONE_NEWTIME")])], bits: process::CLONE };

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use crate::testing::{Fake, show};

    #[test]
    fn clone_shows_what_its_flags_use() {
        let fake = Fake::default().halves(0x5000, &[77]);
        assert_eq!(
            fake.left("clone", &[0x0120_0011, 0, 0, 0x7000, 0], 77),
            "clone(CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, NULL, 0x7000) = 77"
        );
        assert_eq!(fake.entered("clone", &[17, 0x1000]), "clone(SIGCHLD, 0x1000)");
        let thread = fake.enter(Arch::I386, "clone", &[0x3d_0f00, 0x1000, 0x5000, 0x6000, 0x7000]);
        let names: Vec<&str> = thread.args.iter().map(|arg| arg.name).collect();
        assert_eq!(names, ["flags", "stack", "parent_tid", "tls", "child_tid"]);
        assert!(show(&thread).starts_with("clone(CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD"));
    }

    #[test]
    fn clone3_reads_its_structure() {
        let fake = Fake::default().words(0x1000, &[0x1100, 0x5000, 0, 0, 17, 0, 0, 0, 0, 0, 0]).halves(0x5000, &[9]);
        assert_eq!(
            fake.left("clone3", &[0x1000, 88], 77),
            "clone3({flags=CLONE_VM|CLONE_PIDFD, pidfd=[9], exit_signal=SIGCHLD}, 88) = 77"
        );
        assert_eq!(
            fake.entered("clone3", &[0x1000, 88]),
            "clone3({flags=CLONE_VM|CLONE_PIDFD, pidfd=0x5000, exit_signal=SIGCHLD}, 88)"
        );
        assert_eq!(fake.entered("clone3", &[0x9000, 88]), "clone3(0x9000, 88)");
        // The C library fills in more than the flags ask for.
        let thread = Fake::default()
            .words(0x1000, &[0x18_0000, 0x5000, 0x5000, 0x5000, 0, 0x8000, 16, 0x6000, 0, 0, 0])
            .halves(0x5000, &[9]);
        assert_eq!(
            thread.left("clone3", &[0x1000, 88], 9),
            "clone3({flags=CLONE_SETTLS|CLONE_PARENT_SETTID, parent_tid=[9], exit_signal=0, stack=0x8000, stack_size=16, tls=0x6000}, 88) = 9"
        );
    }

    #[test]
    fn arguments_and_how_many_variables() {
        let fake = Fake::default()
            .put(0x1000, b"/bin/ls\0")
            .words(0x2000, &[0x1000, 0x3000, 0])
            .put(0x3000, b"-l\0")
            .words(0x4000, &[1, 2, 3, 0]);
        assert_eq!(
            fake.entered("execve", &[0x1000, 0x2000, 0x4000]),
            r#"execve("/bin/ls", ["/bin/ls", "-l"], {vars=3})"#
        );
        let narrow = Fake::default().put(0x1000, b"/bin/ls\0").halves(0x2000, &[0x1000, 0]).halves(0x4000, &[1, 0]);
        let call = narrow.enter(Arch::I386, "execve", &[0x1000, 0x2000, 0x4000]);
        assert_eq!(show(&call), r#"execve("/bin/ls", ["/bin/ls"], {vars=1})"#);
        assert_eq!(fake.entered("execve", &[0x1000, 0, 0x9000]), r#"execve("/bin/ls", NULL, 0x9000)"#);
        assert_eq!(fake.entered("unshare", &[0x1002_0080]), "unshare(CLONE_NEWTIME|CLONE_NEWNS|CLONE_NEWUSER)");
    }
}
