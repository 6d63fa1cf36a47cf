//! A comparison of one argument.

use std::fmt;

/// How much of the argument register counts.
///
/// It must be what the kernel itself uses: an `int` argument is the low half, and a guest may put anything into the
/// high half. A 64-bit comparison of such an argument is defeated by setting bit 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// The low 32 bits.
    W32,
    /// The whole register.
    W64,
}

/// How an argument is compared. Everything is unsigned; a negative value is given as two's complement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less than.
    Lt,
    /// Less or equal.
    Le,
    /// Greater than.
    Gt,
    /// Greater or equal.
    Ge,
    /// Equal in the bits of this mask. A value with bits outside the mask never matches.
    MaskedEq(u64),
}

/// A comparison of one argument with a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub arg: u8,
    /// How much of it counts.
    pub width: Width,
    /// How it is compared.
    pub op: Op,
    /// With what.
    pub value: u64,
}

impl Condition {
    /// An argument's low 32 bits, compared.
    #[must_use]
    pub const fn w32(arg: u8, op: Op, value: u32) -> Self {
        Self { arg, width: Width::W32, op, value: value as u64 }
    }

    /// A whole argument, compared.
    #[must_use]
    pub const fn w64(arg: u8, op: Op, value: u64) -> Self {
        Self { arg, width: Width::W64, op, value }
    }

    /// True if all of these bits are set in an argument's low half.
    #[must_use]
    pub const fn bits(arg: u8, bits: u32) -> Self {
        Self::w32(arg, Op::MaskedEq(bits as u64), bits)
    }

    /// Whether these arguments satisfy it. An argument that does not exist satisfies nothing.
    #[must_use]
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        let Some(&whole) = args.get(usize::from(self.arg)) else { return false };
        let found = match self.width {
            Width::W32 => whole & u64::from(u32::MAX),
            Width::W64 => whole,
        };
        match self.op {
            Op::Eq => found == self.value,
            Op::Ne => found != self.value,
            Op::Lt => found < self.value,
            Op::Le => found <= self.value,
            Op::Gt => found > self.value,
            Op::Ge => found >= self.value,
            Op::MaskedEq(mask) => found & mask == self.value,
        }
    }

    /// The argument values at which the answer could change, and the same with bits above 31 set or gone.
    pub(crate) fn edges(&self) -> Vec<u64> {
        let mut near = vec![self.value, self.value.wrapping_add(1), self.value.wrapping_sub(1)];
        if let Op::MaskedEq(mask) = self.op {
            near.extend([mask, !mask, !mask | self.value, self.value & mask.wrapping_sub(1), mask ^ self.value]);
            near.push(self.value & !(mask & mask.wrapping_neg()));
        }
        let high = near.iter().flat_map(|&v| [v, v | 1 << 32, v ^ 1 << 32, v ^ 1 << 63, v & u64::from(u32::MAX)]);
        let mut edges: Vec<u64> = high.collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    /// The largest value that the width can hold.
    pub(crate) const fn limit(&self) -> u64 {
        match self.width {
            Width::W32 => u32::MAX as u64,
            Width::W64 => u64::MAX,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let half = if self.width == Width::W32 { ".lo" } else { "" };
        let value = self.value;
        write!(f, "arg{}{half} ", self.arg)?;
        match self.op {
            Op::Eq => write!(f, "== {value:#x}"),
            Op::Ne => write!(f, "!= {value:#x}"),
            Op::Lt => write!(f, "< {value:#x}"),
            Op::Le => write!(f, "<= {value:#x}"),
            Op::Gt => write!(f, "> {value:#x}"),
            Op::Ge => write!(f, ">= {value:#x}"),
            Op::MaskedEq(mask) => write!(f, "& {mask:#x} == {value:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_32_bit_condition_does_not_see_bit_32() {
        let narrow = Condition::w32(1, Op::Eq, 0x5412);
        let wide = Condition::w64(1, Op::Eq, 0x5412);
        let args = [0, 1 << 32 | 0x5412, 0, 0, 0, 0];
        assert!(narrow.holds(&args));
        assert!(!wide.holds(&args));
        assert!(narrow.edges().contains(&args[1]) && wide.edges().contains(&args[1]));
    }

    #[test]
    fn reads_as_a_sentence() {
        assert_eq!(Condition::bits(0, 0x20000).to_string(), "arg0.lo & 0x20000 == 0x20000");
        assert_eq!(Condition::w64(2, Op::Ne, 3).to_string(), "arg2 != 0x3");
    }
}
