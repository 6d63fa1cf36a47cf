//! Signals by number and name.

use serde::{Deserialize, Serialize};

/// `SIGKILL`.
pub(crate) const SIGKILL: i32 = 9;
/// `SIGXCPU`: a process reached RLIMIT_CPU.
pub(crate) const SIGXCPU: i32 = 24;
/// `SIGXFSZ`: a process reached RLIMIT_FSIZE.
pub(crate) const SIGXFSZ: i32 = 25;
/// `SIGSYS`: a seccomp filter killed.
pub(crate) const SIGSYS: i32 = 31;

/// A signal that ended a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// Its number.
    pub number: i32,
    /// Its name: `SIGKILL`, `SIGRTMIN+2`.
    pub name: String,
}

impl Signal {
    /// Signal `number` with its name.
    pub fn new(number: i32) -> Self {
        let name = tipstaff_abi::signal::name(number).unwrap_or_else(|| format!("SIG{number}"));
        Self { number, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_that_judge_knows_have_these_names() {
        let named = [(SIGKILL, "SIGKILL"), (SIGXCPU, "SIGXCPU"), (SIGXFSZ, "SIGXFSZ"), (SIGSYS, "SIGSYS")];
        for (number, name) in named {
            assert_eq!(Signal::new(number).name, name);
        }
    }

    #[test]
    fn a_number_that_is_no_signal_has_a_name_too() {
        assert_eq!(Signal::new(99).name, "SIG99");
    }
}
