//! What the filter must hold because a namespace, a control group, or a mount does not.

use tipstaff_abi::caps::KernelCaps;
use tipstaff_abi::{Arch, Sysno, errno, family};
use tipstaff_seccomp::{Action, Condition, Op, Rule};

use super::filter::{Named, RuleName};
use super::namespaces::NamespacePlan;
use super::namespaces::SURVIVES;
use super::network::Net;
use super::plan::Cost;
use super::sink::Sink;
use crate::profile::{Base, CwdAccess, MemoryAccount, Profile, Tmp};
use crate::value::Setting;

/// The rule that keeps a box from making unix sockets, by name.
pub(super) const UNIX: &str = "network = none, unix sockets of the host";
const SOCKET: &str = "network = none";
const PRIVATE: &str = "private System V IPC";
const SAMPLED: &str = "limits.memory, sampled";
const EXACT: &str = "limits.memory_account = \"exact\"";
const SET_ID: &str = "no set-id file is left behind";

/// What is missing. Few combinations occur, and for each the default base is kept compiled (`base::stock`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Sockets that cannot be made.
    pub sockets: Sockets,
    /// IPC objects that cannot be made.
    pub objects: Objects,
    /// There is no PID namespace: the keeper is in reach of calls that take a task's number.
    pub tasks: bool,
    /// Memory is sampled: pages that no process maps must not be held by pipes and sockets.
    pub sampled: bool,
    /// Files can be made that are there when the box is gone: none with set-id bits may be, and the mode that openat2 gives is behind a pointer.
    pub set_id: bool,
}

/// Sockets that cannot be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sockets {
    /// The network namespace holds.
    #[default]
    None,
    /// Those that reach the host by a path.
    Unix,
    /// There is no network namespace.
    All,
}

/// IPC objects that cannot be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objects {
    /// The IPC namespace holds.
    #[default]
    None,
    /// Memory is sampled, and detached segments would escape the samples.
    SysV,
    /// Memory is accounted exactly, and nothing tells how large a detached segment is.
    SysVExact,
    /// There is no IPC namespace: objects would outlive the box.
    All,
}

impl Missing {
    pub(super) fn of(
        profile: &Profile,
        caps: &KernelCaps,
        ns: &NamespacePlan,
        (net, asked): (Net, bool),
        sink: &mut Sink,
    ) -> Self {
        // A unix socket with a path is reached through the file system, past every network namespace, and a read-only mount
        // does not stop connect(2). So where the view holds more than what the profile picked, none can be made;
        // socketpair(2) stays.
        let broad = profile.filesystem.read.iter().chain(&profile.filesystem.write).any(|r| r.path.as_os_str() == "/");
        let sockets = match net {
            Net::None if ns.net => {
                sink.full("network = none", "network namespace", Cost::Free);
                if broad { Sockets::Unix } else { Sockets::None }
            }
            Net::None => {
                sink.full("network = none", "seccomp: no socket can be made", Cost::Kernel);
                Sockets::All
            }
            Net::Host => {
                sink.full("network = host", "not isolated, as asked", Cost::Free);
                if ns.mount { Sockets::None } else { Sockets::Unix }
            }
            // With rules by address, what is told of them was told with them.
            Net::Rules if asked || ns.mount && !broad => Sockets::None,
            Net::Rules => Sockets::Unix,
        };
        let limited = profile.limits.memory.and_then(Setting::value).is_some();
        let exact = limited && profile.limits.memory_account == Some(MemoryAccount::Exact);
        let sampled = limited && !caps.cgroup.memory;
        let objects = match (ns.ipc, sampled, exact) {
            (false, ..) => Objects::All,
            (true, true, _) => Objects::SysV,
            (true, false, true) => Objects::SysVExact,
            (true, false, false) => Objects::None,
        };
        Self { sockets, objects, tasks: !ns.pid, sampled, set_id: leaves_files(profile) }
    }

    /// The rules that make up for it.
    pub(super) fn rules(self, arch: Arch) -> Vec<Named> {
        let mut rules = Vec::new();
        let mut deny = |name: &'static str, call: &str, conditions: Vec<Condition>, errno: u16| {
            if let Some(syscall) = Sysno::by_name(arch, call) {
                let rule = Rule { conditions, action: Action::Errno(errno) };
                rules.push(Named { name: RuleName::Base(name), syscall, rule });
            }
        };
        if self.sockets == Sockets::All {
            deny(SOCKET, "socket", Vec::new(), errno::EACCES);
        }
        if self.tasks {
            // The keeper has the guest's user id and nothing more: how it is run must not be a guest's to say. The first
            // argument is a task; 0 is the caller.
            for call in ["sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr"] {
                deny(SURVIVES, call, vec![Condition::w32(0, Op::Ne, 0)], errno::EPERM);
            }
            for call in ["setpriority", "ioprio_set"] {
                deny(SURVIVES, call, vec![Condition::w32(1, Op::Ne, 0)], errno::EPERM);
            }
            // Dying with the keeper is the second line of "nothing survives".
            const PR_SET_PDEATHSIG: u32 = 1;
            const SIGKILL: u32 = 9;
            // To die by the same signal takes nothing away: a box in the box has the same line.
            let another = vec![Condition::w32(0, Op::Eq, PR_SET_PDEATHSIG), Condition::w32(1, Op::Ne, SIGKILL)];
            deny(SURVIVES, "prctl", another, errno::EPERM);
        }
        let (families, why): (&[&str], _) = match self.objects {
            Objects::None => (&[], ""),
            Objects::SysV => (&["sysv_ipc"], SAMPLED),
            Objects::SysVExact => (&["sysv_ipc"], EXACT),
            Objects::All => (&["sysv_ipc", "mqueue"], PRIVATE),
        };
        for call in families.iter().filter_map(|name| family::by_name(name)).flat_map(|family| family.calls) {
            deny(why, call, Vec::new(), errno::ENOSYS);
        }
        if self.sampled {
            // A pipe or a socket that got a page this way keeps all of it, and with it the whole huge page (2 MiB) that it belongs to, when
            // nobody maps it any more: half a GiB for a pipe of 1 MiB, which no figure of a process shows. Both have fallbacks everywhere,
            // since kernels and file systems may lack them.
            deny(SAMPLED, "vmsplice", Vec::new(), errno::ENOSYS);
            // A ruleset holds megabytes of kernel memory, a domain a copy of them, and no figure of a process shows either. A kernel may lack
            // Landlock, so programs do without.
            deny(SAMPLED, "landlock_create_ruleset", Vec::new(), errno::ENOSYS);
            const SOL_SOCKET: u32 = 1;
            const SO_ZEROCOPY: u32 = 60;
            let zerocopy = vec![Condition::w32(1, Op::Eq, SOL_SOCKET), Condition::w32(2, Op::Eq, SO_ZEROCOPY)];
            deny(SAMPLED, "setsockopt", zerocopy, errno::ENOPROTOOPT);
        }
        if self.set_id {
            // Programs have a way without it, as before Linux 5.6. A mount that is nosuid in the box is not so on the host.
            deny(SET_ID, "openat2", Vec::new(), errno::ENOSYS);
        }
        const AF_UNIX: u32 = 1;
        if self.sockets == Sockets::Unix {
            deny(UNIX, "socket", vec![Condition::w32(0, Op::Eq, AF_UNIX)], errno::EACCES);
        }
        if self.sockets != Sockets::None {
            // A datagram names its receiver, whatever its socket is paired with; RAW makes a datagram socket too (unix(7)).
            const SOCK_TYPE_MASK: u64 = 0xf;
            for kind in [2, 3] {
                let pair = Condition::w32(1, Op::MaskedEq(SOCK_TYPE_MASK), kind);
                deny(UNIX, "socketpair", vec![pair], errno::EACCES);
            }
        }
        rules
    }

    /// The words in which a rule of [`Missing::rules`] is told; None for a family of the base.
    pub(super) fn words(name: &'static str) -> Option<&'static str> {
        [UNIX, SOCKET, SURVIVES, PRIVATE, SAMPLED, EXACT, SET_ID].contains(&name).then_some(name)
    }
}

/// Whether a directory of the host may be written. Bases that know nothing of set-id bits have no use for the half of it.
fn leaves_files(profile: &Profile) -> bool {
    let fs = &profile.filesystem;
    let base = matches!(profile.syscalls.base, None | Some(Base::Default | Base::Strict));
    let mounts = fs.mounts.iter().any(|mount| !mount.read_only);
    base && (!fs.write.is_empty() || mounts || fs.cwd == Some(CwdAccess::Write) || fs.tmp == Some(Tmp::Host))
}
