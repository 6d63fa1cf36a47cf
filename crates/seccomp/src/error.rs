//! What cannot be compiled.

use tipstaff_abi::{Arch, Sysno, bpf::MAX_INSNS};

/// Why a filter was not compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The program is longer than the kernel takes.
    #[error("the filter needs {len} instructions, and the kernel takes at most {MAX_INSNS}: use fewer argument rules")]
    TooLarge {
        /// How many instructions it would have.
        len: usize,
    },
    /// Two tables for one architecture.
    #[error("two tables for {}: merge them", .0.name())]
    DuplicateTable(Arch),
    /// A rule for a number that belongs to another architecture, or is none.
    #[error("{number:#x} cannot be a call of {}", .arch.name())]
    Number {
        /// The table's architecture.
        arch: Arch,
        /// The number.
        number: u32,
    },
    /// A condition on an argument that does not exist.
    #[error("{}: a call has arguments 0 to 5, so none can be {arg}", call(*.arch, *.number))]
    Argument {
        /// The table's architecture.
        arch: Arch,
        /// The call's number.
        number: u32,
        /// The argument.
        arg: u8,
    },
    /// A 32-bit condition with a larger value or mask: it could never match.
    #[error("{}: {value:#x} for argument {arg} does not fit into 32 bits", call(*.arch, *.number))]
    Width {
        /// The table's architecture.
        arch: Arch,
        /// The call's number.
        number: u32,
        /// The argument.
        arg: u8,
        /// The value or mask.
        value: u64,
    },
    /// An errno that the kernel would silently replace by 4,095.
    #[error("errno {0} is over 4095, the largest that the kernel returns")]
    Errno(u16),
}

fn call(arch: Arch, number: u32) -> String {
    Sysno(number).name(arch).map_or_else(|| format!("call {number}"), str::to_owned)
}
