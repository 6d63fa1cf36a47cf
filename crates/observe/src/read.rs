//! From maps to what a recording has seen.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use tipstaff_abi::enumerable::Enumerable;
use tipstaff_abi::{Arch, Sysno};
use tipstaff_sys::Errno;
use tipstaff_sys::bpf::Map;

use crate::maps::{CALLS, NAMES_CUT, NAMES_PSEUDO, class, flag, info, size, slot};
use crate::observer::Inner;
use crate::{
    Address, Arguments, Call, Capability, Completeness, Error, ExeId, Executable, File, FileUse, Key, Observed, Phase,
    Refusal, Refused, Results, Socket, Tuple,
};

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
    let mut calls = counted(inner, &pages);
    facts(inner, key, &mut calls, begun_ns)?;
    if flags & flag::ARGUMENTS.cast_unsigned() != 0 {
        tuples(inner, &pages, &mut calls)?;
    }
    let returned = flags & flag::RESULTS.cast_unsigned() != 0;
    if returned {
        calls.values_mut().for_each(|call| call.results = Some(Results::default()));
    }
    let refused = results(inner, key, &mut calls)?;
    let files = if flags & flag::FILES.cast_unsigned() != 0 { files(inner, key)? } else { Vec::new() };
    let sockets = if flags & flag::SOCKETS.cast_unsigned() != 0 { sockets(inner, key)? } else { Vec::new() };
    let capabilities =
        if flags & flag::CAPABILITIES.cast_unsigned() != 0 { capabilities(inner, &pages)? } else { Vec::new() };
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

fn call(calls: &mut BTreeMap<Key, Call>, key: Key) -> &mut Call {
    calls.entry(key).or_insert(Call { key, count: 0, first_ns: u64::MAX, results: None, arguments: None })
}

/// The counts of the pages.
fn counted(inner: &Inner, pages: &HashMap<u32, Page>) -> BTreeMap<Key, Call> {
    let mut calls = BTreeMap::new();
    let per_shard = 2 * CALLS as usize;
    let shards = inner.maps.shards as usize;
    for page in pages.values() {
        let counts = &inner.memory.counts[page.number as usize * shards * per_shard..][..shards * per_shard];
        for index in 0..per_shard {
            let count: u64 = (0..shards).map(|shard| counts[shard * per_shard + index].load(Relaxed)).sum();
            if count == 0 {
                continue;
            }
            let (arch, number) = (TABLES[index / CALLS as usize], Sysno((index % CALLS as usize) as u32));
            let key = Key { executable: page.executable, phase: page.phase, arch, number };
            call(&mut calls, key).count += count;
        }
    }
    calls
}

/// First-seen times, numbers without a place in the tables, calls with too many tuples.
fn facts(
    inner: &Inner,
    key: impl Fn(&[u8]) -> Option<Key>,
    calls: &mut BTreeMap<Key, Call>,
    begun_ns: u64,
) -> Result<(), Error> {
    for (bytes, value) in entries::<{ size::CALL }>(&inner.maps.calls, size::CALL_VALUE, "ts_calls")? {
        let Some(key) = key(&bytes) else { continue };
        let call = call(calls, key);
        call.count += u64_at(&value, 8);
        call.first_ns = call.first_ns.min(u64_at(&value, 0).saturating_sub(begun_ns));
        if u32_at(&value, 20) != 0 {
            call.arguments = Some(Arguments::Any);
        }
    }
    // What the counters have seen since, or what found no room.
    calls.values_mut().filter(|call| call.first_ns == u64::MAX).for_each(|call| call.first_ns = 0);
    Ok(())
}

fn tuples(inner: &Inner, pages: &HashMap<u32, Page>, calls: &mut BTreeMap<Key, Call>) -> Result<(), Error> {
    let table: HashMap<(Arch, u32), &Enumerable> =
        inner.arguments.iter().map(|call| ((call.arch, call.number.0), call)).collect();
    let mut found: BTreeMap<Key, BTreeMap<Vec<u64>, u64>> = BTreeMap::new();
    for (bytes, value) in entries::<{ size::TUPLE }>(&inner.maps.tuples, 8, "ts_tuples")? {
        let Some(page) = pages.get(&u32_at(&bytes, 0)) else { continue };
        let which = u32_at(&bytes, 4);
        let (arch, number) = (TABLES[(which >> 31) as usize], which & 0x7fff_ffff);
        let Some(entry) = table.get(&(arch, number)) else { continue };
        let key = Key { executable: page.executable, phase: page.phase, arch, number: Sysno(number) };
        let values = entry.picks.iter().map(|pick| u64_at(&bytes, 8 + 8 * usize::from(pick.index))).collect();
        *found.entry(key).or_default().entry(values).or_default() += u64_at(&value, 0);
    }
    for (key, tuples) in found {
        let Some(call) = calls.get_mut(&key) else { continue };
        if call.arguments.is_none() {
            let tuples = tuples.into_iter().map(|(values, count)| Tuple { values, count });
            call.arguments = Some(Arguments::Tuples(tuples.collect()));
        }
    }
    Ok(())
}

/// How calls returned; and those that were refused.
fn results(
    inner: &Inner,
    key: impl Fn(&[u8]) -> Option<Key>,
    calls: &mut BTreeMap<Key, Call>,
) -> Result<Vec<Refused>, Error> {
    let mut refused: BTreeMap<(Key, Refusal), u64> = BTreeMap::new();
    for (bytes, value) in entries::<{ size::RESULT }>(&inner.maps.results, 8, "ts_results")? {
        let Some(mut key) = key(&bytes) else { continue };
        let (result, count) = (u64_at(&bytes, 16).cast_signed(), u64_at(&value, 0));
        let errno = i32::try_from(-result).unwrap_or(0);
        let how = match u32_at(&bytes, 12).cast_signed() {
            class::RETURNED => {
                let results = calls.get_mut(&key).and_then(|call| call.results.as_mut());
                match results {
                    Some(results) if result == 0 => results.succeeded += count,
                    Some(results) => match results.failed.binary_search_by_key(&errno, |(errno, _)| *errno) {
                        Ok(at) => results.failed[at].1 += count,
                        Err(at) => results.failed.insert(at, (errno, count)),
                    },
                    None => {}
                }
                continue;
            }
            class::ERRNO => Refusal::Errno(errno),
            class::TRAP => Refusal::Trap,
            class::KILL => Refusal::Kill,
            _ => Refusal::Answered(result),
        };
        if key.arch == Arch::X86_64 && (tipstaff_abi::X32_BIT..u32::MAX).contains(&key.number.0) {
            key.arch = Arch::X32;
        }
        *refused.entry((key, how)).or_default() += count;
    }
    Ok(refused.into_iter().map(|((key, how), count)| Refused { key, how, count }).collect())
}

const O_ACCMODE: u32 = 3;
const O_CREAT: u32 = 0o100;
const O_TRUNC: u32 = 0o1000;
const O_DIRECTORY: u32 = 0o200_000;
const O_PATH: u32 = 0o10_000_000;
const O_TMPFILE_BIT: u32 = 0o20_000_000;

/// What a call does with the path that it is given.
fn usage(name: &str, flags: u32) -> FileUse {
    let none = FileUse::default();
    match name {
        "open" | "openat" | "openat2" if flags & O_PATH != 0 => {
            FileUse { look: true, directory: flags & O_DIRECTORY != 0, ..none }
        }
        "open" | "openat" | "openat2" => FileUse {
            read: flags & O_ACCMODE != 1,
            write: matches!(flags & O_ACCMODE, 1 | 2) || flags & O_TRUNC != 0,
            create: flags & (O_CREAT | O_TMPFILE_BIT) != 0,
            directory: flags & O_DIRECTORY != 0,
            ..none
        },
        "creat" => FileUse { write: true, create: true, ..none },
        "execve" | "execveat" => FileUse { execute: true, ..none },
        "chdir" => FileUse { look: true, directory: true, ..none },
        "mkdir" | "mkdirat" => FileUse { create: true, directory: true, ..none },
        "mknod" | "mknodat" | "link" | "linkat" | "symlink" | "symlinkat" => FileUse { create: true, ..none },
        "truncate" => FileUse { write: true, ..none },
        "rmdir" => FileUse { change: true, directory: true, ..none },
        "unlink" | "unlinkat" | "rename" | "renameat" | "renameat2" | "chmod" | "fchmodat" | "fchmodat2" | "chown"
        | "lchown" | "fchownat" | "utime" | "utimes" | "utimensat" => FileUse { change: true, ..none },
        _ => FileUse { look: true, ..none },
    }
}

fn files(inner: &Inner, key: impl Fn(&[u8]) -> Option<Key>) -> Result<Vec<File>, Error> {
    let mut bases: HashMap<[u8; size::BASE], Option<PathBuf>> = HashMap::new();
    for (bytes, value) in entries::<{ size::BASE }>(&inner.maps.bases, size::BASE_VALUE, "ts_bases")? {
        let end = u64_at(&value, 0);
        // The root directory has no names at all.
        bases.insert(bytes, if end == 0 { Some(PathBuf::from("/")) } else { path_of(end, &value[8..]) });
    }
    let mut files = Vec::new();
    for (bytes, value) in entries::<{ size::PATH }>(&inner.maps.paths, 8, "ts_paths")? {
        let Some(key) = key(&bytes) else { continue };
        let text = &bytes[size::PATH_TEXT..];
        let given =
            Path::new(std::ffi::OsStr::from_bytes(&text[..text.iter().position(|b| *b == 0).unwrap_or(text.len())]));
        let base = bases.get(&bytes[24..40]).and_then(Option::as_ref).filter(|base| base.is_absolute());
        let path = match base {
            Some(base) if given.is_relative() => base.join(given.strip_prefix(".").unwrap_or(given)),
            _ => given.to_owned(),
        };
        let name = key.number.name(key.arch).unwrap_or_default();
        files.push(File {
            key,
            relative: path.is_relative(),
            path,
            cut: u32_at(&bytes, 20) != 0,
            usage: usage(name, u32_at(&bytes, 12)),
            errno: u32_at(&bytes, 16).cast_signed(),
            count: u64_at(&value, 0),
        });
    }
    Ok(files)
}

/// struct sockaddr of ip(7), ipv6(7), unix(7).
fn address(bytes: &[u8]) -> Address {
    let family = u16::from_ne_bytes([bytes.first().copied().unwrap_or(0), bytes.get(1).copied().unwrap_or(0)]);
    let port = bytes.get(2..4).map(|port| u16::from_be_bytes([port[0], port[1]]));
    let other = || Address::Other(family, bytes.get(2..).unwrap_or_default().to_vec());
    match (family, port) {
        (2, Some(port)) if bytes.len() >= 8 => {
            let ip: [u8; 4] = bytes[4..8].try_into().expect("four bytes");
            Address::Inet(SocketAddr::from((Ipv4Addr::from(ip), port)))
        }
        (10, Some(port)) if bytes.len() >= 24 => {
            let ip: [u8; 16] = bytes[8..24].try_into().expect("sixteen bytes");
            let scope = bytes.get(24..28).map_or(0, |bytes| u32_at(bytes, 0));
            Address::Inet(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope)))
        }
        (1, _) if bytes.get(2) == Some(&0) => Address::Abstract(bytes[3..].to_vec()),
        (1, _) if bytes.len() > 2 => {
            let path = &bytes[2..];
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            Address::Unix(PathBuf::from(OsString::from_vec(path[..end].to_vec())))
        }
        _ => other(),
    }
}

fn sockets(inner: &Inner, key: impl Fn(&[u8]) -> Option<Key>) -> Result<Vec<Socket>, Error> {
    let mut sockets = Vec::new();
    for (bytes, value) in entries::<{ size::ADDRESS }>(&inner.maps.addresses, 8, "ts_addresses")? {
        let Some(key) = key(&bytes) else { continue };
        let kind = u32_at(&bytes, 12);
        let length = (u32_at(&bytes, 20) as usize).min(size::ADDRESS_TEXT);
        sockets.push(Socket {
            key,
            kind: (kind & 0xffff).cast_signed(),
            protocol: (kind >> 16).cast_signed(),
            address: address(&bytes[24..24 + length]),
            errno: u32_at(&bytes, 16).cast_signed(),
            count: u64_at(&value, 0),
        });
    }
    Ok(sockets)
}

fn capabilities(inner: &Inner, pages: &HashMap<u32, Page>) -> Result<Vec<Capability>, Error> {
    let mut found: BTreeMap<(ExeId, Phase, u8, bool), u64> = BTreeMap::new();
    for (bytes, value) in entries::<{ size::CAPABILITY }>(&inner.maps.capabilities, 8, "ts_caps")? {
        let Some(page) = pages.get(&u32_at(&bytes, 0)) else { continue };
        let what = u32_at(&bytes, 4);
        let key = (page.executable, page.phase, (what >> 1) as u8, what & 1 == 1);
        *found.entry(key).or_default() += u64_at(&value, 0);
    }
    let capability =
        |((executable, phase, number, granted), count)| Capability { executable, phase, number, granted, count };
    Ok(found.into_iter().map(capability).collect())
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

    #[test]
    fn addresses_are_read_as_their_families_say() {
        let inet = [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(address(&inet), Address::Inet("127.0.0.1:80".parse().expect("address")));
        assert_eq!(address(&inet[..7]), Address::Other(2, inet[2..7].to_vec()));
        assert_eq!(address(b"\x01\0/run/x\0junk"), Address::Unix("/run/x".into()));
        assert_eq!(address(b"\x01\0\0name"), Address::Abstract(b"name".to_vec()));
        assert_eq!(address(&[]), Address::Other(0, Vec::new()));
    }

    #[test]
    fn open_flags_say_what_for() {
        assert!(usage("openat", 0).read && !usage("openat", 0).write);
        assert!(usage("open", 0o1101).write && usage("open", 0o1101).create && !usage("open", 0o1101).read);
        assert!(usage("openat", O_PATH | 2).look && !usage("openat", O_PATH | 2).write);
        assert!(usage("statx", 0).look);
    }
}
