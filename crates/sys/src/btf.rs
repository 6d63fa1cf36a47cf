//! The kernel's own type information, `/sys/kernel/btf/vmlinux`.

use std::os::fd::AsRawFd;

use crate::raw::{Errno, call};

/// The kernel's own type information.
#[derive(Debug)]
pub struct KernelTypes(Types);

#[derive(Debug)]
enum Types {
    Mapped { base: *const u8, length: usize },
    Read(Vec<u8>),
}

impl KernelTypes {
    const PATH: &str = "/sys/kernel/btf/vmlinux";

    /// Maps it (Linux 6.16), which touches only what is looked at; else reads it, four kibibytes at a time, which is all that sysfs gives.
    pub fn open() -> Result<Self, Errno> {
        let file = std::fs::File::open(Self::PATH)?;
        let length = file.metadata()?.len() as usize;
        let (prot, flags) = (libc::PROT_READ as usize, (libc::MAP_PRIVATE | libc::MAP_POPULATE) as usize);
        // SAFETY: a new mapping at an address that the kernel chooses.
        match unsafe { call(libc::SYS_mmap, [0, length, prot, flags, file.as_raw_fd() as usize, 0]) } {
            Ok(base) => Ok(Self(Types::Mapped { base: base as *const u8, length })),
            Err(_) => Ok(Self(Types::Read(std::fs::read(Self::PATH)?))),
        }
    }
}

impl core::ops::Deref for KernelTypes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: a mapping of this length until `drop`, of memory that the kernel never changes.
            Types::Mapped { base, length } => unsafe { core::slice::from_raw_parts(*base, *length) },
            Types::Read(bytes) => bytes,
        }
    }
}

impl Drop for KernelTypes {
    fn drop(&mut self) {
        if let Types::Mapped { base, length } = self.0 {
            // SAFETY: the mapping is this value's own, and no reference outlives it.
            let _ = unsafe { call(libc::SYS_munmap, [base as usize, length, 0, 0, 0, 0]) };
        }
    }
}
