//! A guest's memory as it was when it was first read.

use std::collections::BTreeMap;

use super::Guest;

const PAGE: u64 = 4096;
/// Pages that are fetched with one call.
const RUN: u64 = 64;

/// Pages of one stop. What is read twice is the same twice, whoever reads: every handler of a stack, and whoever verifies an exec
/// afterwards, see one copy, although the guest's other threads go on writing.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// By page number; shorter than a page where the rest cannot be read.
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Snapshot {
    /// How many bytes could be read, from the first one.
    pub fn read(&mut self, guest: &dyn Guest, address: u64, into: &mut [u8]) -> usize {
        let mut done = 0;
        while done < into.len() {
            let Some(at) = address.checked_add(done as u64) else { break };
            let (page, offset) = (at / PAGE, (at % PAGE) as usize);
            if !self.pages.contains_key(&page) {
                let last = at.saturating_add((into.len() - done - 1) as u64) / PAGE;
                self.fetch(guest, page, last.min(page + RUN - 1));
            }
            let known = self.pages.get(&page).and_then(|bytes| bytes.get(offset..)).unwrap_or_default();
            let n = known.len().min(into.len() - done);
            into[done..done + n].copy_from_slice(&known[..n]);
            done += n;
            // A short page is where memory ends.
            if n == 0 || (done < into.len() && offset + n < PAGE as usize) {
                break;
            }
        }
        done
    }

    /// Reads the unknown pages from `first` on, up to `last` or the first one that is known.
    fn fetch(&mut self, guest: &dyn Guest, first: u64, last: u64) {
        let mut end = first;
        while end < last && !self.pages.contains_key(&(end + 1)) {
            end += 1;
        }
        let mut bytes = vec![0; ((end - first + 1) * PAGE) as usize];
        let got = guest.read(first * PAGE, &mut bytes);
        bytes.truncate(got);
        let mut pieces = bytes.chunks(PAGE as usize);
        for page in first..=end {
            let piece = pieces.next().unwrap_or_default();
            self.pages.insert(page, piece.to_vec());
            // What lies behind unreadable memory has not been tried.
            if piece.len() < PAGE as usize {
                break;
            }
        }
    }

    /// We have written there ourselves.
    pub fn written(&mut self, address: u64, bytes: &[u8]) {
        for (n, byte) in bytes.iter().enumerate() {
            let Some(at) = address.checked_add(n as u64) else { return };
            if let Some(known) = self.pages.get_mut(&(at / PAGE)).and_then(|page| page.get_mut((at % PAGE) as usize)) {
                *known = *byte;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn what_was_read_stays_what_it_was() {
        let guest = Fake::default();
        guest.map(0x1000, &[b'a'; 4096]);
        let (mut snapshot, mut bytes) = (Snapshot::default(), [0; 4]);
        assert_eq!(snapshot.read(&guest, 0x1010, &mut bytes), 4);
        guest.map(0x1000, &[b'b'; 4096]);
        assert_eq!((snapshot.read(&guest, 0x1ffc, &mut bytes), bytes), (4, *b"aaaa"), "the same page");
        assert_eq!((Snapshot::default().read(&guest, 0x1010, &mut bytes), bytes), (4, *b"bbbb"));
    }

    #[test]
    fn reading_ends_where_memory_ends() {
        let guest = Fake::default();
        guest.map(0x1000, &[1; 4096]);
        guest.map(0x3000, &[3; 4096]);
        let mut snapshot = Snapshot::default();
        let mut bytes = [0; 8192];
        assert_eq!(snapshot.read(&guest, 0x1800, &mut bytes), 0x800);
        assert_eq!(snapshot.read(&guest, 0x2000, &mut bytes), 0);
        assert_eq!(snapshot.read(&guest, 0x3000, &mut bytes), 4096);
        assert_eq!(snapshot.read(&guest, 0, &mut bytes), 0);
        assert_eq!(snapshot.read(&guest, u64::MAX - 3, &mut bytes), 0, "no wrap-around");
    }

    #[test]
    fn what_we_write_is_seen() {
        let guest = Fake::default();
        guest.map(0x1000, &[b'a'; 4096]);
        guest.map(0x2000, &[b'a'; 4096]);
        let (mut snapshot, mut bytes) = (Snapshot::default(), [0; 4]);
        snapshot.read(&guest, 0x1ffe, &mut bytes);
        snapshot.written(0x1fff, b"xy");
        snapshot.read(&guest, 0x1ffe, &mut bytes);
        assert_eq!(&bytes, b"axya");
    }
}
