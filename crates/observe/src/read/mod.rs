//! From maps to what a recording has seen.

mod calls;
mod details;

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use tipstaff_abi::{Arch, Sysno};
use tipstaff_sys::Errno;
use tipstaff_sys::bpf::Map;

use crate::maps::{NAMES_CUT, NAMES_PSEUDO, flag, info, memo, size, slot};
use crate::observer::Inner;
use crate::{Call, Completeness, Error, ExeId, Executable, Key, Observed, Phase, Results};

/// A page of the recording.
struct Page {
    number: u32,
    executable: ExeId,
    phase: Phase,
}

/// The key of an element and its value.
type Entry<const KEY: usize> = ([u8; KEY], Vec<u8>);

/// All of a hash table.
fn entries<const KEY: usize>(map: &Map, value: usize, what: &'static str) -> Result<Vec<Entry<KEY>>, Error> {
    let error = |errno| Error::Map { what, errno };
    let mut all = Vec::new();
    let mut key = [0; KEY];
    let mut after: Option<[u8; KEY]> = None;
    loop {
        match map.next_key(after.as_ref().map(<[u8; KEY]>::as_slice), &mut key) {
            Err(Errno::NOENT) => return Ok(all),
            other => other.map_err(error)?,
        }
        let mut bytes = vec![0; value];
        match map.get(&key, &mut bytes) {
            Ok(()) => all.push((key, bytes)),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(error(errno)),
        }
        after = Some(key);
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

const TABLES: [Arch; 3] = [Arch::X86_64, Arch::I386, Arch::X32];

/// The pages of a recording by their ids, and the programs that they belong to. Two pages of one path are one program.
fn pages(inner: &Inner, number: u32) -> (HashMap<u32, Page>, Vec<Executable>) {
    let mut executables: Vec<Executable> = Vec::new();
    let mut by_path: HashMap<Option<PathBuf>, ExeId> = HashMap::new();
    let mut pages = HashMap::new();
    for page in 0..inner.maps.pages {
        let Some(id) = inner.live(page) else { continue };
        let words: Vec<u8> = inner.memory.infos[page as usize * info::SIZE / 8..][..info::SIZE / 8]
            .iter()
            .flat_map(|word| word.load(Relaxed).to_ne_bytes())
            .collect();
        if u32_at(&words, info::SLOT as usize) != number {
            continue;
        }
        let phase = Phase::ALL[(u32_at(&words, info::PHASE as usize) as usize).min(2)];
        let path = path_of(u64_at(&words, info::END as usize), &words[info::NAMES as usize..]);
        let executable = *by_path.entry(path.clone()).or_insert_with(|| {
            executables.push(Executable { path });
            ExeId(executables.len() as u32 - 1)
        });
        pages.insert(id, Page { number: page, executable, phase });
    }
    (pages, executables)
}

/// Names, last one first, as a path.
fn path_of(end: u64, names: &[u8]) -> Option<PathBuf> {
    let length = (end & 0xffff) as usize;
    if length == 0 || end & NAMES_CUT as u64 != 0 {
        return None;
    }
    let names = names[..length.min(names.len())].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let names: Vec<&[u8]> = names.collect();
    if end & NAMES_PSEUDO as u64 != 0 {
        return names.last().map(|name| PathBuf::from(OsString::from_vec(name.to_vec())));
    }
    let mut path = Vec::new();
    for name in names.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    Some(PathBuf::from(OsString::from_vec(path)))
}

/// Everything.
pub(crate) fn all(inner: &Inner, number: u32, flags: u32, begun_ns: u64) -> Result<Observed, Error> {
    let (pages, executables) = pages(inner, number);
    let key = &|bytes: &[u8]| {
        let page = pages.get(&u32_at(bytes, 0))?;
        let arch = *TABLES.get(u32_at(bytes, 4) as usize)?;
        Some(Key { executable: page.executable, phase: page.phase, arch, number: Sysno(u32_at(bytes, 8)) })
    };
    let mut calls = calls::counted(inner, &pages);
    calls::facts(inner, key, &mut calls, begun_ns)?;
    if flags & flag::ARGUMENTS.cast_unsigned() != 0 {
        calls::tuples(inner, &pages, &mut calls)?;
        if inner.word(number, slot::ARGUMENTS_DROPPED).load(Relaxed) > 0 {
            calls.values_mut().for_each(|call| calls::without_gaps(inner, call));
        }
    }
    let returned = flags & flag::RESULTS.cast_unsigned() != 0;
    if returned {
        calls.values_mut().for_each(|call| call.results = Some(Results::default()));
    }
    let refused = calls::results(inner, key, &mut calls)?;
    let files = if flags & flag::FILES.cast_unsigned() != 0 { details::files(inner, key)? } else { Vec::new() };
    let sockets = if flags & flag::SOCKETS.cast_unsigned() != 0 { details::sockets(inner, key)? } else { Vec::new() };
    let capabilities = if flags & flag::CAPABILITIES.cast_unsigned() != 0 {
        details::capabilities(inner, &pages)?
    } else {
        Vec::new()
    };
    let word = |word| inner.word(number, word).load(Relaxed);
    let calls: Vec<Call> = calls.into_values().collect();
    Ok(used(Observed {
        executables,
        calls,
        refused,
        files,
        sockets,
        capabilities,
        completeness: Completeness {
            calls_dropped: word(slot::CALLS_DROPPED),
            arguments_dropped: word(slot::ARGUMENTS_DROPPED),
            results_dropped: word(slot::RESULTS_DROPPED),
            files_dropped: word(slot::FILES_DROPPED),
            files_unread: word(slot::FILES_UNREAD),
            sockets_dropped: word(slot::SOCKETS_DROPPED),
            capabilities_dropped: word(slot::CAPABILITIES_DROPPED),
            tasks_missed: word(slot::TASKS_MISSED),
            executables_merged: word(slot::MERGED),
            tasks_taken: word(slot::TAKEN),
            filtered: word(slot::FILTERED) != 0,
            set_aside: word(slot::SET_ASIDE),
        },
        elapsed_ns: 0,
        tasks: word(slot::MEMBERS).cast_signed().max(0).cast_unsigned(),
    }))
}

/// Without the executables that nothing belongs to, the others sorted by path.
fn used(mut observed: Observed) -> Observed {
    let mut is_used = vec![false; observed.executables.len()];
    let mut visit = |id: &ExeId| is_used[id.0 as usize] = true;
    observed.calls.iter().for_each(|call| visit(&call.key.executable));
    observed.refused.iter().for_each(|call| visit(&call.key.executable));
    observed.files.iter().for_each(|file| visit(&file.key.executable));
    observed.sockets.iter().for_each(|socket| visit(&socket.key.executable));
    observed.capabilities.iter().for_each(|capability| visit(&capability.executable));
    let mut order: Vec<usize> = (0..is_used.len()).filter(|index| is_used[*index]).collect();
    order.sort_by(|a, b| observed.executables[*a].cmp(&observed.executables[*b]));
    let mut place = vec![ExeId(0); is_used.len()];
    order.iter().enumerate().for_each(|(new, old)| place[*old] = ExeId(new as u32));
    observed.executables = order.iter().map(|old| observed.executables[*old].clone()).collect();
    let renumber = |id: &mut ExeId| *id = place[id.0 as usize];
    observed.calls.iter_mut().for_each(|call| renumber(&mut call.key.executable));
    observed.refused.iter_mut().for_each(|call| renumber(&mut call.key.executable));
    observed.files.iter_mut().for_each(|file| renumber(&mut file.key.executable));
    observed.sockets.iter_mut().for_each(|socket| renumber(&mut socket.key.executable));
    observed.capabilities.iter_mut().for_each(|capability| renumber(&mut capability.executable));
    observed.calls.sort_by_key(|call| call.key);
    observed.refused.sort_by_key(|refused| (refused.key, refused.how));
    observed.files.sort_by(|a, b| (a.key, &a.path, a.usage, a.errno).cmp(&(b.key, &b.path, b.usage, b.errno)));
    observed.sockets.sort_by(|a, b| (a.key, &a.address, a.errno).cmp(&(b.key, &b.address, b.errno)));
    observed.capabilities.sort_by_key(|c| (c.executable, c.phase, c.number, c.granted));
    observed
}

/// Removes all that a recording has left, and gives its pages back.
pub(crate) fn forget(inner: &Inner, number: u32) {
    let (pages, _) = pages(inner, number);
    // From here on its tasks are nobody's.
    pages.values().for_each(|page| inner.memory.live[page.number as usize].store(0, Relaxed));
    fn clear<const KEY: usize>(map: &Map, value: usize, of: impl Fn(&[u8]) -> bool) {
        for (key, _) in entries::<KEY>(map, value, "").unwrap_or_default() {
            if of(&key) {
                let _ = map.remove(&key);
            }
        }
    }
    let ours = |key: &[u8]| pages.contains_key(&u32_at(key, 0));
    let maps = &inner.maps;
    clear::<{ size::EXE }>(&maps.exes, 4, |key| u32_at(key, 0) == number);
    clear::<{ size::CALL }>(&maps.calls, size::CALL_VALUE, ours);
    clear::<{ size::TUPLE }>(&maps.tuples, 8, ours);
    for words in inner.memory.memo.chunks_exact(memo::WORDS) {
        if pages.contains_key(&(words[0].load(Relaxed) as u32)) {
            words[0].store(0, Relaxed);
        }
    }
    clear::<{ size::RESULT }>(&maps.results, 8, ours);
    clear::<{ size::PATH }>(&maps.paths, 8, ours);
    clear::<{ size::ADDRESS }>(&maps.addresses, 8, ours);
    clear::<{ size::CAPABILITY }>(&maps.capabilities, 8, ours);
    pages.values().for_each(|page| inner.close_page(page.number));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_a_path() {
        let at = |end, names: &[u8]| path_of(end, names);
        assert_eq!(at(11, b"sh\0bin\0usr\0xx"), Some(PathBuf::from("/usr/bin/sh")));
        assert_eq!(at(0, b"sh\0"), None);
        assert_eq!(at(3 | NAMES_CUT as u64, b"sh\0"), None);
        assert_eq!(at(8 | NAMES_PSEUDO as u64, b"memfd:a\0"), Some(PathBuf::from("memfd:a")));
    }
}
