//! A call that waits for its decision.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::os::fd::BorrowedFd;

use tipstaff_abi::{Arch, Sysno};

use super::snapshot::Snapshot;
use crate::engine::Approved;

/// What an engine knows of the caller. Its memory belongs to the guest: see the module's table.
pub trait Guest {
    /// Reads memory from `address` on; how many bytes could be read, from the first one.
    fn read(&self, address: u64, into: &mut [u8]) -> usize;

    /// Writes memory; false if not all of it could be written.
    fn write(&self, address: u64, bytes: &[u8]) -> bool;

    /// The caller's stack pointer; None if it is gone.
    fn stack(&self) -> Option<u64>;

    /// The process of this thread; None if it is gone.
    fn process(&self, tid: i32) -> Option<i32>;

    /// Whether the caller still waits for the decision: what was found out under its number before is then true of it, and not of whoever has
    /// got its number.
    fn is_waiting(&self) -> bool;

    /// Puts a copy of a descriptor of ours in the place of the caller's `at`. False: the engine cannot, or the caller is gone; nothing has changed then.
    fn replace(&self, at: u32, fd: BorrowedFd<'_>, cloexec: bool) -> bool {
        let _ = (at, fd, cloexec);
        false
    }
}

/// A call that waits for its decision, the same under every engine.
pub struct Trap<'a> {
    pub(crate) arch: Arch,
    pub(crate) number: u32,
    pub(crate) args: [u64; 6],
    /// 0: not asked for yet.
    pub(crate) pid: Cell<i32>,
    pub(crate) tid: i32,
    pub(crate) guest: &'a dyn Guest,
    /// Guest memory was read: a decision may rest on it.
    pub(crate) looked: Cell<bool>,
    pub(crate) memory: RefCell<Snapshot>,
    /// What an exec will become, from the first time that somebody asked.
    pub(crate) approved: RefCell<Option<Result<Approved, u16>>>,
}

/// What the handlers have found out about a call, while it waits.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub memory: Snapshot,
    pub looked: bool,
    pub approved: Option<Result<Approved, u16>>,
}

impl std::fmt::Debug for Trap<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:x?} by {}", self.name().unwrap_or("?"), self.args, self.tid)
    }
}

impl Trap<'_> {
    /// The table that the number belongs to.
    #[must_use]
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> Sysno {
        Sysno(self.number)
    }

    /// The name; None for a number that the table does not know.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        self.number().name(self.arch)
    }

    /// The six words, as they are in the registers.
    #[must_use]
    pub fn args(&self) -> [u64; 6] {
        self.args
    }

    /// The caller's process, as it is numbered outside the box; the thread's own number if it is gone.
    #[must_use]
    pub fn pid(&self) -> i32 {
        if self.pid.get() == 0 {
            self.pid.set(self.guest.process(self.tid).unwrap_or(self.tid));
        }
        self.pid.get()
    }

    /// Whether the caller still waits for the decision. Whoever acts on its behalf, with something that was got by its number (a descriptor, a
    /// directory of proc(5)), asks this after getting it and before acting.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.guest.is_waiting()
    }

    /// The calling thread, as it is numbered outside the box.
    #[must_use]
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// Reads guest memory; how many bytes could be read, from the first one. Within one stop the same bytes are the same for all handlers,
    /// although other threads may have changed them since.
    pub fn read(&self, address: u64, into: &mut [u8]) -> usize {
        self.looked.set(true);
        self.memory.borrow_mut().read(self.guest, address, into)
    }

    pub(crate) fn into_seen(self) -> Seen {
        let Self { looked, memory, approved, .. } = self;
        Seen { memory: memory.into_inner(), looked: looked.into_inner(), approved: approved.into_inner() }
    }

    /// What an exec would become, looked up once: what a handler has seen is what the engine verifies. Err: the errno that the kernel would answer.
    pub(crate) fn approved(&self) -> Result<Approved, u16> {
        self.looked.set(true);
        if let Some(known) = &*self.approved.borrow() {
            return known.clone();
        }
        let found = Approved::of(self);
        self.approved.borrow_mut().insert(found).clone()
    }

    fn write(&self, address: u64, bytes: &[u8]) -> bool {
        let written = self.guest.write(address, bytes);
        if written {
            self.memory.borrow_mut().written(address, bytes);
        }
        written
    }
}

/// A call at its entry, under a tracer: it can be changed.
#[derive(Debug)]
pub struct Entry<'a> {
    pub(crate) trap: Trap<'a>,
    pub(crate) changed: bool,
    /// Bytes below the stack pointer that [`Entry::scratch`] has given away.
    scratch: u64,
}

/// What a function may keep below its stack pointer (System V ABI, x86-64 psABI 3.2.2).
const RED_ZONE: u64 = 128;
/// More than this is not written below a stack pointer: the stack may end there.
const SCRATCH: u64 = 8192;

impl<'a> Entry<'a> {
    pub(crate) fn new(trap: Trap<'a>) -> Self {
        Self { trap, changed: false, scratch: 0 }
    }
}

impl<'a> Deref for Entry<'a> {
    type Target = Trap<'a>;

    fn deref(&self) -> &Trap<'a> {
        &self.trap
    }
}

impl Entry<'_> {
    /// Changes an argument (0 to 5) of the call that will be made. When it returns the register is again what the caller had put there, and
    /// a call that the kernel makes once more after a signal starts from the caller's own arguments: this handler is asked again.
    pub fn set_arg(&mut self, index: usize, value: u64) {
        if let Some(word) = self.trap.args.get_mut(index) {
            *word = value;
            self.changed = true;
        }
    }

    /// Makes another call of it, which the filter judges as if the guest had made it.
    pub fn set_number(&mut self, number: Sysno) {
        self.trap.number = number.0;
        self.changed = true;
    }

    /// Writes guest memory; false if not all of it could be written.
    pub fn write(&self, address: u64, bytes: &[u8]) -> bool {
        self.trap.write(address, bytes)
    }

    /// Puts bytes where the caller has nothing, below its stack, for a new argument to point to; where they are. None if they do not fit
    /// (8 KiB in all) or no memory is there. They stay until the caller's next function call or signal handler.
    pub fn scratch(&mut self, bytes: &[u8]) -> Option<u64> {
        let size = self.scratch.checked_add(bytes.len() as u64)?.next_multiple_of(16);
        let address = self.trap.guest.stack()?.checked_sub(RED_ZONE)?.checked_sub(size)? & !15;
        if size > SCRATCH || !self.trap.write(address, bytes) {
            return None;
        }
        // What the alignment took counts too.
        self.scratch = size + 16;
        Some(address)
    }
}

/// A call that returns, under a tracer.
pub struct Return<'a> {
    pub(crate) trap: Trap<'a>,
    pub(crate) value: i64,
    pub(crate) changed: bool,
}

impl std::fmt::Debug for Return<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} = {}", self.trap, self.value)
    }
}

impl<'a> Deref for Return<'a> {
    type Target = Trap<'a>;

    fn deref(&self) -> &Trap<'a> {
        &self.trap
    }
}

impl Return<'_> {
    /// The result register: -4095 to -1 is a negated errno; -512 to -516 are the kernel's own, after which it makes the call again.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.value
    }

    /// Changes what the caller gets. A call that the kernel is about to make again (-512 to -516) cannot be changed.
    pub fn set_value(&mut self, value: i64) {
        if !(-516..=-512).contains(&self.value) {
            self.value = value;
            self.changed = true;
        }
    }

    /// Writes guest memory; false if not all of it could be written.
    pub fn write(&self, address: u64, bytes: &[u8]) -> bool {
        self.trap.write(address, bytes)
    }
}
