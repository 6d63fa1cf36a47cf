//! A stopped tracee's memory: process_vm_readv(2).

use std::marker::PhantomData;

use tipstaff_sys::{Errno, process_vm};

use crate::{Address, Error};

/// The smallest page of any supported machine: readability changes only at its multiples.
const PAGE: u64 = 4096;

/// The memory of a stopped thread's process. Its other threads may be running, so that what is read twice may differ.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'stop> {
    tid: i32,
    stop: PhantomData<&'stop ()>,
}

/// A C string of a tracee, as far as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The bytes, without the NUL.
    pub bytes: Vec<u8>,
    /// Where they end.
    pub end: TextEnd,
}

/// Where a string ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextEnd {
    /// At its NUL: the string is whole.
    Nul,
    /// At the limit that was given.
    Limit,
    /// At memory that cannot be read.
    Unreadable,
}

impl Memory<'_> {
    pub(crate) const fn new(tid: i32) -> Self {
        Self { tid, stop: PhantomData }
    }

    /// Reads from `address` on and returns how many bytes could be read, counted from the first: fewer than asked for where a page is
    /// not mapped or has no PROT_READ, 0 for none.
    #[must_use]
    pub fn read(&self, address: Address, into: &mut [u8]) -> usize {
        let mut done = 0;
        while done < into.len() {
            let at = address.offset(done as u64);
            match process_vm::read(self.tid, at.0, &mut into[done..]) {
                Ok(0) => break,
                Ok(n) => done += n,
                // The man page lets a kernel give up the whole piece for one bad page in it; so ask for one page alone.
                Err(Errno(14)) if done == 0 && into.len() > to_page_end(at) => {
                    match process_vm::read(self.tid, at.0, &mut into[..to_page_end(at)]) {
                        Ok(n) if n > 0 => done += n,
                        _ => break,
                    }
                }
                Err(_) => break,
            }
        }
        done
    }

    /// Reads a value's bytes, all or nothing.
    #[must_use]
    pub fn read_array<const N: usize>(&self, address: Address) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        (self.read(address, &mut bytes) == N).then_some(bytes)
    }

    /// Reads a C string of at most `limit` bytes, without its NUL. Never touches a page behind the one that holds the NUL.
    #[must_use]
    pub fn text(&self, address: Address, limit: usize) -> Text {
        let mut bytes = Vec::new();
        // One more than the limit, so that a string that just fits is whole.
        let room = limit.saturating_add(1);
        while bytes.len() < room {
            let start = bytes.len();
            let at = address.offset(start as u64);
            let piece = to_page_end(at).min(room - start);
            bytes.resize(start + piece, 0);
            let read = process_vm::read(self.tid, at.0, &mut bytes[start..]).unwrap_or(0);
            bytes.truncate(start + read);
            if let Some(nul) = bytes[start..].iter().position(|&b| b == 0) {
                bytes.truncate(start + nul);
                return Text { bytes, end: TextEnd::Nul };
            }
            if read < piece {
                bytes.truncate(limit);
                return Text { bytes, end: TextEnd::Unreadable };
            }
        }
        bytes.truncate(limit);
        Text { bytes, end: TextEnd::Limit }
    }

    /// Writes bytes. Pages without PROT_WRITE refuse (EFAULT), and nothing may have been written then, or a part.
    pub fn write(&self, address: Address, bytes: &[u8]) -> Result<(), Error> {
        let mut done = 0;
        while done < bytes.len() {
            let n = process_vm::write(self.tid, address.offset(done as u64).0, &bytes[done..])
                .map_err(|errno| Error::of("process_vm_writev", errno))?;
            done += n.max(1);
        }
        Ok(())
    }
}

fn to_page_end(at: Address) -> usize {
    (PAGE - at.0 % PAGE) as usize
}
