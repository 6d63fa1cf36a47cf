//! What a group's memory is made of.

/// Memory of a group at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryReading {
    /// Anonymous pages, huge ones included.
    pub anonymous: u64,
    /// tmpfs, shared memory, memfd.
    pub shared: u64,
    /// Kernel memory: page tables, stacks, slabs, socket buffers.
    pub kernel: u64,
    /// Everything charged, page cache included.
    pub total: u64,
}

impl MemoryReading {
    /// What a limit counts: everything but reclaimable page cache.
    pub fn counted(&self) -> u64 {
        self.anonymous + self.shared + self.kernel
    }

    /// Reclaimable page cache.
    pub fn cache(&self) -> u64 {
        self.total.saturating_sub(self.counted())
    }
}
