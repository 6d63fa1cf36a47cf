//! The compiled filter.

use tipstaff_abi::bpf::Insn;

/// A filter as the kernel takes it. Made by [`Filter::compile`](crate::Filter::compile) only, so it is never empty,
/// never too long, and always passes [`check`](crate::check()).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(Vec<Insn>);

impl Program {
    pub(crate) const fn new(insns: Vec<Insn>) -> Self {
        Self(insns)
    }

    /// The instructions.
    #[must_use]
    pub fn insns(&self) -> &[Insn] {
        &self.0
    }

    /// How many instructions there are.
    #[expect(clippy::len_without_is_empty, reason = "a program is never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
