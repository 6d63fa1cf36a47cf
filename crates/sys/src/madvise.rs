//! madvise(2): giving back what was needed once.

use core::ffi::c_void;

use crate::raw::call;

/// Gives back the resident pages of this program's own code and constants: MADV_DONTNEED on each segment that is mapped from the
/// program's file and was never writable. Whatever is used again comes back from the page cache by a minor fault, so nothing is
/// lost but some microseconds, and nothing changes for other threads.
///
/// The kernel maps up to 64 KiB of the page cache around each fault (`fault_around_bytes`), so a program that starts soon has all of its file resident.
pub fn release_program() {
    // SAFETY: the callback follows dl_iterate_phdr(3) and keeps nothing.
    unsafe { libc::dl_iterate_phdr(Some(segments), core::ptr::null_mut()) };
}

/// One object; the program itself comes first, and ends the walk.
unsafe extern "C" fn segments(info: *mut libc::dl_phdr_info, _size: libc::size_t, _data: *mut c_void) -> i32 {
    // SAFETY: valid for the time of the call (dl_iterate_phdr(3)).
    let (info, headers) = unsafe {
        let info = &*info;
        (info, core::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    // A segment that was written to before it became read-only (relocations) must stay: its pages are no longer the file's.
    let relro = |start: u64| headers.iter().any(|h| h.p_type == libc::PT_GNU_RELRO && h.p_vaddr == start);
    for header in headers {
        let writable = header.p_flags & libc::PF_W != 0;
        if header.p_type != libc::PT_LOAD || writable || relro(header.p_vaddr) {
            continue;
        }
        // Whole pages inside the segment: a page at its edge may belong to its neighbour too.
        const PAGE: u64 = 4096;
        let start = (info.dlpi_addr + header.p_vaddr).next_multiple_of(PAGE);
        let end = (info.dlpi_addr + header.p_vaddr + header.p_filesz) / PAGE * PAGE;
        if start < end {
            let length = (end - start) as usize;
            // SAFETY: a private mapping of the program's file that nobody has written to: the same bytes come back.
            let _ = unsafe { call(libc::SYS_madvise, [start as usize, length, libc::MADV_DONTNEED as usize, 0, 0, 0]) };
        }
    }
    1
}

#[cfg(test)]
mod tests {
    /// Resident KiB of this program's executable mapping.
    fn resident() -> u64 {
        let name = std::env::current_exe().expect("our name");
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("smaps");
        let mut ours = false;
        let mut sum = 0;
        for line in maps.lines() {
            if line.contains('-') && line.split(' ').nth(1).is_some_and(|flags| flags.len() == 4) {
                ours = line.contains(" r-xp ") && line.ends_with(name.to_str().expect("UTF-8"));
            } else if let (true, Some(size)) = (ours, line.strip_prefix("Rss:")) {
                sum += size.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
            }
        }
        sum
    }

    #[test]
    fn pages_go_and_come_back() {
        // Once, so that what it needs itself is there.
        resident();
        let before = resident();
        super::release_program();
        let after = resident();
        assert!(before > 0 && after < before, "{after} KiB of {before} KiB");
    }
}
