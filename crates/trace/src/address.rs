//! Addresses that a tracee names.

use std::fmt;

/// An address in a tracee's memory, as the tracee alleges it: nothing has been read there yet, it may be anything, and what lies
/// there may change while the tracee's other threads run. It is no pointer of ours, and only [`Memory`](crate::Memory) takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub u64);

impl Address {
    /// The null pointer, which calls take for "none".
    pub const NULL: Self = Self(0);

    /// Whether it is null.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address some bytes further on; it wraps, as the tracee's own arithmetic would.
    #[must_use]
    pub const fn offset(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
