//! A Tipstaff profile that never allows what a floor does not.

use tipstaff_abi::caps::KernelCaps;
use tipstaff_abi::{Arch, Sysno, errno};
use tipstaff_oci_seccomp::learn::ArgIs;
use tipstaff_oci_seccomp::meaning::Meaning;
use tipstaff_oci_seccomp::region::{Cube, TooMany};
use tipstaff_policy::lower;
use tipstaff_policy::profile::{Profile, RuleAction, SyscallRule};
use tipstaff_seccomp::{Action, Filter};

use super::calls::condition;

/// Takes from a profile's calls what a floor refuses, for the same call and arguments; what the floor answers is answered then.
///
/// # Errors
/// If the profile cannot be lowered, or a call's rules are too many to be compared: in words.
pub fn meet_floor(profile: &mut Profile, arch: Arch, floor: &Filter) -> Result<(), String> {
    let caps = KernelCaps { arch, ..KernelCaps::full() };
    let mine = lower::meaning(profile, &caps, &|path| Err(format!("{}: is not read here", path.display())))
        .map_err(|e| e.to_string())?;
    let mut refused = Vec::new();
    for (number, name) in Sysno::all(arch) {
        let wrong = |e: TooMany| format!("{name}: {e}");
        let ours = Meaning::of(&mine, arch, number.0).map_err(wrong)?;
        let theirs = Meaning::of(floor, arch, number.0).map_err(wrong)?;
        if !ours.passes_sometimes().map_err(wrong)? || theirs.passes_always().map_err(wrong)? {
            continue;
        }
        let both = ours.passing(&Cube::ALL).and_then(|ours| ours.meet(&theirs.passing(&Cube::ALL)?)).map_err(wrong)?;
        let errno = match theirs.rest() {
            Action::Errno(number) => number,
            _ => errno::ENOSYS,
        };
        let rule = |conditions, action| SyscallRule { names: vec![name.to_owned()], conditions, action };
        refused.push(rule(Vec::new(), RuleAction::Errno(errno.into())));
        // Rules with conditions are asked before those without.
        refused.extend(both.cubes().iter().map(|cube| rule(conditions(cube), RuleAction::Allow)));
        for rule in &mut profile.syscalls.rules {
            rule.names.retain(|known| known != name);
        }
    }
    profile.syscalls.rules.retain(|rule| !rule.names.is_empty());
    profile.syscalls.rules.extend(refused);
    Ok(())
}

fn conditions(cube: &Cube) -> Vec<tipstaff_policy::profile::ArgCondition> {
    let said = cube.0.iter().zip(0..).filter(|(bits, _)| bits.mask != 0);
    said.map(|(bits, index)| condition(&ArgIs { index, mask: bits.mask, value: bits.value }, true)).collect()
}
