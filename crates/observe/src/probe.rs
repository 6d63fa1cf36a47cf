//! Whether eBPF can be had, and if not, why.

use tipstaff_sys::capability;

use crate::{Observer, Setup, Unavailable};

/// The variable that takes eBPF away, for tests of what happens without it.
const SWITCH: &str = "TIPSTAFF_WITHOUT_BPF";

/// Loads the programs and lets them go again: the only answer that holds. Some milliseconds. With `TIPSTAFF_WITHOUT_BPF` set in the environment the
/// answer is [`Unavailable::SwitchedOff`].
pub fn probe() -> Result<(), Unavailable> {
    Observer::load(&Setup { arguments: Vec::new(), pages: 64, entries: 64, paths: 64 }).map(drop)
}

pub(crate) fn switched_off() -> Result<(), Unavailable> {
    if std::env::var_os(SWITCH).is_some() { Err(Unavailable::SwitchedOff) } else { Ok(()) }
}

/// What EPERM of bpf(2) most likely means here.
pub(crate) fn not_permitted() -> Unavailable {
    let held = |number| capability::has(number);
    let capabilities = held(capability::SYS_ADMIN) || held(capability::BPF) && held(capability::PERFMON);
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled").ok();
    let lockdown = std::fs::read_to_string("/sys/kernel/security/lockdown").ok();
    let known = ["none", "integrity", "confidentiality"];
    let lockdown = lockdown.and_then(|text| known.into_iter().find(|word| text.contains(&format!("[{word}]"))));
    Unavailable::Permission {
        capabilities,
        unprivileged_disabled: sysctl.and_then(|text| text.trim().parse().ok()),
        lockdown,
    }
}
