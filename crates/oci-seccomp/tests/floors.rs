//! The engines' defaults, against the file that Debian ships with containers-common, and against what is known of Docker's.

use std::collections::BTreeSet;

use tipstaff_abi::{Arch, Sysno, bpf::SeccompData};
use tipstaff_oci_seccomp::floor::Default;
use tipstaff_oci_seccomp::{Env, evaluate, import};
use tipstaff_seccomp::{Action, Filter, prove};

const SHIPPED: &str = "/usr/share/containers/seccomp.json";

/// What came into containers-common after the oldest file that is still shipped, and what went: the two may differ here.
const MOVED: [&str; 12] = [
    "fanotify_init",
    "fchmodat2",
    "readdir",
    "sigaction",
    "sigpending",
    "sigsuspend",
    "syscall",
    "timerfd",
    "perf_event_open",
    "quotactl_fd",
    "bpf",
    "setns",
];

fn filter(default: Default, caps: &[String], arch: Arch, kernel: (u32, u32)) -> Filter {
    evaluate(&default.document(), &Env { arch, kernel, caps, form: None }).expect("good").filter
}

fn ask(filter: &Filter, arch: Arch, name: &str, args: [u64; 6]) -> Action {
    let nr = Sysno::by_name(arch, name).expect("a call").0.cast_signed();
    filter.decide(&SeccompData { nr, arch: arch.audit_arch(), ip: 0, args })
}

fn allowed(filter: &Filter, arch: Arch) -> BTreeSet<&'static str> {
    Sysno::all(arch).map(|(_, name)| name).filter(|name| ask(filter, arch, name, [0; 6]) == Action::Allow).collect()
}

#[test]
fn dockers_default_is_as_it_is_known() {
    let floor = filter(Default::Docker, &Default::Docker.caps(), Arch::X86_64, (6, 18));
    let one = |name, arg| ask(&floor, Arch::X86_64, name, [arg, 0, 0, 0, 0, 0]);
    let (allow, eperm, enosys) = (Action::Allow, Action::Errno(1), Action::Errno(38));
    assert_eq!((one("read", 0), one("chroot", 0), one("ptrace", 0), one("keyctl", 0)), (allow, allow, allow, eperm));
    assert_eq!((one("clone", 0x11), one("clone", 0x1000_0011), one("clone3", 0)), (allow, eperm, enosys));
    let families = [1, 37, 38, 39, 40, 41].map(|family| one("socket", family));
    assert_eq!(families, [allow, allow, eperm, allow, eperm, allow]);
    assert_eq!((one("personality", 8), one("personality", 0x0040_0000)), (allow, eperm));
    assert_eq!(
        (one("mount", 0), one("bpf", 0), one("io_uring_setup", 0), one("mseal", 0)),
        (eperm, eperm, eperm, allow)
    );
    let admin = filter(Default::Docker, &["CAP_SYS_ADMIN".to_owned()], Arch::X86_64, (4, 7));
    assert_eq!(ask(&admin, Arch::X86_64, "clone", [0x1000_0011, 0, 0, 0, 0, 0]), allow);
    assert_eq!(
        (ask(&admin, Arch::X86_64, "clone3", [0; 6]), ask(&admin, Arch::X86_64, "ptrace", [0; 6])),
        (allow, eperm)
    );
    // On 64-bit ARM, too, and as a program.
    let arm = filter(Default::Docker, &[], Arch::Aarch64, (6, 1));
    assert_eq!(ask(&arm, Arch::Arm, "arm_fadvise64_64", [0; 6]), allow);
    prove(&floor, &floor.compile().expect("fits")).expect("proven");
    // 294 of an older profile without capabilities (measured), 17 calls that came since, io_uring's three gone, chroot by its capability.
    let count = allowed(&floor, Arch::X86_64).len();
    assert!((300..330).contains(&count), "{count}");
}

#[test]
fn containers_default_is_the_shipped_one() {
    let shipped = match std::fs::read_to_string(SHIPPED) {
        Ok(text) => text,
        Err(e) => tipstaff_testkit::skip!(
            "containers-common's default: {SHIPPED}: {e} (package golang-github-containers-common)"
        ),
    };
    let everything =
        ["CAP_SYS_ADMIN", "CAP_AUDIT_WRITE", "CAP_SYS_PTRACE", "CAP_SYS_TIME", "CAP_SYS_CHROOT"].map(str::to_owned);
    let mut compared = 0;
    for caps in [&[][..], &Default::Containers.caps(), &everything[..1], &everything[1..2], &everything] {
        let env = Env { arch: Arch::X86_64, kernel: (6, 18), caps, form: None };
        let theirs = import(&shipped, &env).expect("good").filter;
        let ours = filter(Default::Containers, caps, Arch::X86_64, (6, 18));
        for arch in [Arch::X86_64, Arch::I386, Arch::X32] {
            for (_, name) in Sysno::all(arch).filter(|(_, name)| !MOVED.contains(name)) {
                for args in [
                    [0; 6],
                    [16, 0, 9, 0, 0, 0],
                    [16, 3, 0, 0, 0, 0],
                    [1, 1, 9, 0, 0, 0],
                    [0x0040_0000; 6],
                    [u64::MAX; 6],
                ] {
                    let (one, two) = (ask(&ours, arch, name, args), ask(&theirs, arch, name, args));
                    assert_eq!(
                        one == Action::Allow,
                        two == Action::Allow,
                        "{caps:?} {arch:?} {name} {args:x?}: {one} {two}"
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 10_000);
}
