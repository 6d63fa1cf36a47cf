//! What decoding must ask of the traced process.

/// Memory of the traced process.
pub trait Memory {
    /// Reads from `address` and returns how many bytes, from the first on, could be read: fewer than asked for where a page is not mapped, 0 for none.
    fn read(&self, address: u64, into: &mut [u8]) -> usize;
}

/// Descriptors of the traced process.
pub trait Files {
    /// What the descriptor refers to, as readlink(2) of `/proc/PID/fd/N` tells it.
    fn path(&self, fd: i32) -> Option<Vec<u8>>;
}

/// Everything that decoding may ask, and how much it may show.
pub struct World<'a> {
    /// The caller's memory.
    pub memory: &'a dyn Memory,
    /// The caller's descriptors; absent: numbers only.
    pub files: Option<&'a dyn Files>,
    /// Bytes of a string that are shown (`strace -s`); 32 is usual.
    pub string_limit: usize,
    /// Items of an array that are shown; 32 is usual.
    pub list_limit: usize,
}
