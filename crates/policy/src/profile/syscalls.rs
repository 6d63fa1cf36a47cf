//! What a program may ask the kernel.

use std::path::PathBuf;

use crate::value::words;

/// Where the rules start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// A deny list by family, under which ordinary programs run.
    Default,
    /// An allow list.
    Strict,
    /// An allow list with nothing on it: what the rules do not allow is ENOSYS. For profiles that were recorded.
    Nothing,
    /// An OCI seccomp profile (`linux.seccomp`, or the form of Docker and containers-common).
    Oci(PathBuf),
}

words! {
    /// How an argument is compared.
    pub enum CompareOp {
        /// Equal.
        Eq = "==",
        /// Not equal.
        Ne = "!=",
        /// Less, unsigned.
        Lt = "<",
        /// Less or equal, unsigned.
        Le = "<=",
        /// Greater, unsigned.
        Gt = ">",
        /// Greater or equal, unsigned.
        Ge = ">=",
        /// Equal in the bits of a mask.
        MaskedEq = "&",
    }
}

/// How much of an argument register the kernel looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// The low half.
    W32,
    /// All of it.
    W64,
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArgCondition {
    /// Which argument, 0 to 5.
    pub index: u8,
    /// How it is compared.
    pub op: CompareOp,
    /// With what. Fits into the width.
    pub value: u64,
    /// Bits that count: all of them unless the operator is [`CompareOp::MaskedEq`].
    pub mask: u64,
    /// Absent: what the kernel uses for this argument, and 64 where nobody knows.
    pub width: Option<Width>,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleAction {
    /// It is made.
    Allow,
    /// It is refused with this errno.
    Errno(i32),
    /// The run ends with a policy violation.
    Kill,
    /// It is made, and the kernel's audit log gets a line.
    Log,
}

/// What happens to calls of some names under some conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyscallRule {
    /// Names of calls; `%mount` is a family of them.
    pub names: Vec<String>,
    /// All of them must hold; none means always.
    pub conditions: Vec<ArgCondition>,
    /// What happens then.
    pub action: RuleAction,
}

/// What a program may ask the kernel: a base, and rules over it. Of two rules that apply, the later one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Syscalls {
    /// Where the rules start from; default unless said otherwise.
    pub base: Option<Base>,
    /// Rules over it, earlier first: in a file the plain lists stand before the rules with conditions.
    pub rules: Vec<SyscallRule>,
}

impl Syscalls {
    pub(super) fn merge(base: Self, over: Self) -> Self {
        let mut rules = base.rules;
        rules.extend(over.rules);
        Self { base: over.base.or(base.base), rules }
    }
}
