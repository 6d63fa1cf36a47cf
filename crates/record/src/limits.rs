//! Which arguments a profile limits, and to what besides what was seen.
//!
//! A limit that is too tight refuses a later run something harmless; none at all leaves a door open that the program never used. So by default only
//! those words are limited whose values are few in any program, or whose other values are dangerous:
//!
//! | call | limited | allowed besides what was seen |
//! |---|---|---|
//! | `socket` | the family | AF_UNIX; with AF_INET or AF_INET6 the other one and AF_NETLINK (getaddrinfo(3)) |
//! | `socketpair` | the family | AF_UNIX |
//! | `clone` | the flags that make namespaces | no namespace |
//! | `unshare`, `setns` | the flags | |
//! | `personality` | all of it | 0, and the question 0xffffffff |
//! | `prctl` | the operation | operations of a thread on itself that C libraries and language runtimes use |
//! | `ptrace`, `bpf`, `keyctl`, `quotactl`, `seccomp`, `umount2` | the operation | |
//!
//! What `clone3` asks for is behind a pointer, where no filter looks.

use tipstaff_recording::Call;

use crate::Limits;

/// How a call is limited.
pub(crate) enum Limit {
    /// To the combinations that were seen.
    Exact,
    /// One word, to what was seen and these besides.
    One { index: u8, mask: u64, also: fn(&[u64]) -> Vec<u64> },
}

const INT: u64 = 0xffff_ffff;

const AF_UNIX: u64 = 1;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const AF_NETLINK: u64 = 16;

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: what clone(2) can make. Docker's default looks at the same bits.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;

/// prctl(2): PDEATHSIG and its question, DUMPABLE and its question, KEEPCAPS' question, NAME and its question, SECCOMP's question, CAPBSET's question,
/// TIMERSLACK and its question, CHILD_SUBREAPER's question, NO_NEW_PRIVS and its question, THP_DISABLE and its question, SPECULATION_CTRL's question,
/// VMA names.
const PRCTL_HARMLESS: [u64; 20] =
    [1, 2, 3, 4, 7, 15, 16, 21, 23, 29, 30, 37, 38, 39, 41, 42, 52, 56, 0x5356_4d41, 0x4155_5856];

/// How this call is limited; `None`: not.
pub(crate) fn limit(call: &Call, limits: Limits) -> Option<Limit> {
    call.arguments.as_ref()?;
    match limits {
        Limits::None => None,
        // Behind a pointer no filter looks.
        Limits::All => {
            call.arguments.as_ref()?.selected.iter().any(|select| select.behind.is_none()).then_some(Limit::Exact)
        }
        Limits::Safe => safe(&call.name),
    }
}

fn safe(name: &str) -> Option<Limit> {
    let one = |also| Some(Limit::One { index: 0, mask: INT, also });
    match name {
        "socket" => one(families),
        "socketpair" => one(|_| vec![AF_UNIX]),
        "clone" => Some(Limit::One { index: 0, mask: CLONE_NAMESPACES, also: |_| vec![0] }),
        "personality" => one(|_| vec![0, INT]),
        "prctl" => one(|_| PRCTL_HARMLESS.to_vec()),
        "unshare" | "bpf" | "keyctl" | "seccomp" => one(|_| Vec::new()),
        "ptrace" | "quotactl" => Some(Limit::Exact),
        "setns" | "umount2" => Some(Limit::One { index: 1, mask: INT, also: |_| Vec::new() }),
        _ => None,
    }
}

fn families(seen: &[u64]) -> Vec<u64> {
    let mut more = vec![AF_UNIX];
    if seen.contains(&AF_INET) || seen.contains(&AF_INET6) {
        more.extend([AF_INET, AF_INET6, AF_NETLINK]);
    }
    more
}
