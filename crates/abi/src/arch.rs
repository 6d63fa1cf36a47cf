//! Architectures, as seccomp tells them apart.

/// Set in the number of every x32 call. x32 calls arrive with the *x86_64* audit architecture, so this bit is all
/// that tells a filter which table a number belongs to (`__X32_SYSCALL_BIT` in the kernel).
pub const X32_BIT: u32 = 0x4000_0000;

/// From here on (negative, as the kernel's `int`) a number means no call on any architecture: the kernel does nothing and says ENOSYS. Tracers write such
/// numbers to skip a call: -1 mostly (ptrace(2)), of which seccomp(2) says nothing else, or -2, as PRoot does.
pub const NO_CALL: u32 = 0x8000_0000;

// `AUDIT_ARCH_*` is an ELF machine number with two flags.
const LE: u32 = 0x4000_0000;
const BITS_64: u32 = 0x8000_0000;
const EM_386: u32 = 3;
const EM_ARM: u32 = 40;
const EM_X86_64: u32 = 62;
const EM_AARCH64: u32 = 183;

/// One system call table of the kernel.
///
/// All of these are little-endian, which the filter compiler relies on where it reads half an argument.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86: also what a 64-bit program reaches with `int 0x80`.
    I386,
    /// 32-bit pointers on 64-bit x86; shares the audit architecture of [`Arch::X86_64`].
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM, EABI.
    Arm,
}

impl Arch {
    /// Every architecture with a table here.
    pub const ALL: [Self; 5] = [Self::X86_64, Self::I386, Self::X32, Self::Aarch64, Self::Arm];

    /// The architecture this program was built for, if it has a table here.
    #[must_use]
    pub const fn native() -> Option<Self> {
        if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
            Some(Self::X86_64)
        } else if cfg!(all(target_arch = "x86_64", target_pointer_width = "32")) {
            Some(Self::X32)
        } else if cfg!(target_arch = "x86") {
            Some(Self::I386)
        } else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
            Some(Self::Aarch64)
        } else if cfg!(all(target_arch = "arm", target_endian = "little")) {
            Some(Self::Arm)
        } else {
            None
        }
    }

    /// What the kernel puts into `seccomp_data.arch` (`AUDIT_ARCH_*`).
    #[must_use]
    pub const fn audit_arch(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => EM_X86_64 | BITS_64 | LE,
            Self::I386 => EM_386 | LE,
            Self::Aarch64 => EM_AARCH64 | BITS_64 | LE,
            Self::Arm => EM_ARM | LE,
        }
    }

    /// The table that a call belongs to, from `seccomp_data`; `None` where there is no table here.
    ///
    /// Whatever lies between the x32 bit and [`NO_CALL`] is x32's, so that no number can fall between two tables. What lies above carries that bit, too,
    /// and is still no x32 call.
    #[must_use]
    pub fn of(audit_arch: u32, number: u32) -> Option<Self> {
        match Self::ALL.into_iter().find(|arch| arch.audit_arch() == audit_arch)? {
            Self::X86_64 if (X32_BIT..NO_CALL).contains(&number) => Some(Self::X32),
            arch => Some(arch),
        }
    }

    /// The tables that a kernel of this architecture can be asked for, itself first.
    #[must_use]
    pub const fn with_compat(self) -> &'static [Self] {
        match self {
            Self::X86_64 => &[Self::X86_64, Self::I386, Self::X32],
            Self::I386 => &[Self::I386],
            Self::X32 => &[Self::X32, Self::X86_64, Self::I386],
            Self::Aarch64 => &[Self::Aarch64, Self::Arm],
            Self::Arm => &[Self::Arm],
        }
    }

    /// Short name, as `uname -m` and the profile say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::I386 => "i386",
            Self::X32 => "x32",
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
        }
    }

    /// The name in the OCI runtime specification.
    #[must_use]
    pub const fn oci_name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::I386 => "SCMP_ARCH_X86",
            Self::X32 => "SCMP_ARCH_X32",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Arm => "SCMP_ARCH_ARM",
        }
    }

    /// The name that container engines use in `includes.arches` (Go's and libseccomp's short form).
    #[must_use]
    pub const fn engine_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::I386 => "x86",
            Self::X32 => "x32",
            Self::Aarch64 => "arm64",
            Self::Arm => "arm",
        }
    }

    /// From any of the three names.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| [arch.name(), arch.oci_name(), arch.engine_name()].contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_values_are_the_kernels() {
        assert_eq!(Arch::X86_64.audit_arch(), 0xc000_003e);
        assert_eq!(Arch::I386.audit_arch(), 0x4000_0003);
        assert_eq!(Arch::Aarch64.audit_arch(), 0xc000_00b7);
        assert_eq!(Arch::Arm.audit_arch(), 0x4000_0028);
    }

    #[test]
    fn names_go_both_ways() {
        for arch in Arch::ALL {
            for name in [arch.name(), arch.oci_name(), arch.engine_name()] {
                assert_eq!(Arch::by_name(name), Some(arch), "{name}");
            }
        }
        assert_eq!(Arch::by_name("SCMP_ARCH_MIPS"), None);
    }

    #[test]
    fn x32_is_told_by_its_bit_and_negative_numbers_are_not_x32() {
        let audit = Arch::X86_64.audit_arch();
        assert_eq!(Arch::of(audit, 59), Some(Arch::X86_64));
        assert_eq!(Arch::of(audit, X32_BIT | 59), Some(Arch::X32));
        assert_eq!(Arch::of(audit, NO_CALL - 1), Some(Arch::X32));
        assert_eq!(Arch::of(audit, NO_CALL), Some(Arch::X86_64));
        assert_eq!(Arch::of(audit, u32::MAX - 1), Some(Arch::X86_64));
        assert_eq!(Arch::of(audit, u32::MAX), Some(Arch::X86_64));
        assert_eq!(Arch::of(0xdead_beef, 59), None);
    }
}
