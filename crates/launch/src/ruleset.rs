//! Landlock's bits for what lowering said in words.

use std::os::fd::{AsFd, OwnedFd};

use crate::setup;
use tipstaff_policy::lower::{LandlockPlan, Rights};
use tipstaff_sys::Errno;
use tipstaff_sys::landlock::{self, RulesetAttr, fs, net, scope};

/// A ruleset without rules for paths yet: they are added inside the box, where the paths are.
pub(crate) fn create(plan: &LandlockPlan) -> Result<OwnedFd, Errno> {
    let attr = RulesetAttr {
        handled_access_fs: fs::all(plan.abi),
        handled_access_net: plan.connect.as_ref().map_or(0, |_| net::CONNECT_TCP)
            | plan.bind.as_ref().map_or(0, |_| net::BIND_TCP),
        scoped: if plan.scoped { scope::ABSTRACT_UNIX_SOCKET | scope::SIGNAL } else { 0 },
    };
    let ruleset = landlock::create_ruleset(&attr, plan.abi)?;
    // Ports mean the same inside the box and outside: these rules are there from the start.
    for (ports, access) in [(&plan.connect, net::CONNECT_TCP), (&plan.bind, net::BIND_TCP)] {
        for port in ports.iter().flatten() {
            landlock::add_port(ruleset.as_fd(), *port, access)?;
        }
    }
    Ok(ruleset)
}

/// A ruleset with its rules, for boxes that see the host's own paths: one serves them all.
pub(crate) fn filled(plan: &LandlockPlan) -> Result<OwnedFd, Errno> {
    let ruleset = create(plan)?;
    for (path, rights) in &plan.rules {
        landlock::add_path(ruleset.as_fd(), &setup::c(path), bits(*rights, plan.abi))?;
    }
    Ok(ruleset)
}

/// The rights that an ABI knows, as bits.
pub(crate) fn bits(rights: Rights, abi: u32) -> u64 {
    let mut bits = 0;
    if rights.read {
        bits |= fs::READ_FILE | fs::READ_DIR;
    }
    if rights.exec {
        bits |= fs::EXECUTE | fs::READ_FILE;
    }
    if rights.write {
        bits |= fs::WRITE_FILE | fs::TRUNCATE | fs::REMOVE_DIR | fs::REMOVE_FILE | fs::REFER;
        bits |= fs::MAKE_DIR | fs::MAKE_REG | fs::MAKE_SOCK | fs::MAKE_FIFO | fs::MAKE_SYM;
    }
    if rights.device {
        bits |= fs::WRITE_FILE | fs::READ_FILE | fs::TRUNCATE | fs::IOCTL_DEV;
    }
    bits & fs::all(abi)
}
