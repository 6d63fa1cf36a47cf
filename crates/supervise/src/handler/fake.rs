//! A guest for the unit tests: pages in a map.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use tipstaff_abi::{Arch, Sysno};

use super::{Guest, Trap};

#[derive(Default)]
pub(crate) struct Fake {
    pages: RefCell<BTreeMap<u64, Vec<u8>>>,
    pub stack: Cell<u64>,
}

impl Fake {
    /// Puts whole pages at a page's address.
    pub fn map(&self, address: u64, bytes: &[u8]) {
        assert!(address.is_multiple_of(4096) && bytes.len().is_multiple_of(4096));
        for (n, page) in bytes.chunks(4096).enumerate() {
            self.pages.borrow_mut().insert(address / 4096 + n as u64, page.to_vec());
        }
    }

    /// Writes, and maps zeroed pages where there are none.
    pub fn put(&self, address: u64, bytes: &[u8]) {
        for (n, byte) in bytes.iter().enumerate() {
            let at = address + n as u64;
            self.pages.borrow_mut().entry(at / 4096).or_insert_with(|| vec![0; 4096])[(at % 4096) as usize] = *byte;
        }
    }

    /// A call of this guest, by this process.
    pub fn call<'a>(&'a self, arch: Arch, name: &str, args: &[u64]) -> Trap<'a> {
        let mut words = [0; 6];
        words[..args.len()].copy_from_slice(args);
        let me = std::process::id().cast_signed();
        let number = Sysno::by_name(arch, name).expect("a call").0;
        Trap {
            arch,
            number,
            args: words,
            pid: me.into(),
            tid: me,
            guest: self,
            looked: false.into(),
            memory: RefCell::default(),
            approved: RefCell::default(),
        }
    }
}

impl Guest for Fake {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        for (n, byte) in into.iter_mut().enumerate() {
            let Some(at) = address.checked_add(n as u64) else { return n };
            match self.pages.borrow().get(&(at / 4096)) {
                Some(page) => *byte = page[(at % 4096) as usize],
                None => return n,
            }
        }
        into.len()
    }

    fn write(&self, address: u64, bytes: &[u8]) -> bool {
        self.put(address, bytes);
        true
    }

    fn stack(&self) -> Option<u64> {
        Some(self.stack.get()).filter(|sp| *sp != 0)
    }

    fn process(&self, tid: i32) -> Option<i32> {
        Some(tid)
    }

    fn is_waiting(&self) -> bool {
        true
    }
}
