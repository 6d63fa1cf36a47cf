//! The calls: counts, first times, arguments, results.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;

use tipstaff_abi::enumerable::Enumerable;
use tipstaff_abi::{Arch, Sysno};

use super::{Page, TABLES, entries, u32_at, u64_at};
use crate::maps::{CALLS, class, memo, size};
use crate::observer::Inner;
use crate::{Arguments, Call, Error, Key, Refusal, Refused, Tuple};

fn call(calls: &mut BTreeMap<Key, Call>, key: Key) -> &mut Call {
    calls.entry(key).or_insert(Call { key, count: 0, first_ns: u64::MAX, results: None, arguments: None })
}

/// The counts of the pages.
pub(super) fn counted(inner: &Inner, pages: &HashMap<u32, Page>) -> BTreeMap<Key, Call> {
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
pub(super) fn facts(
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

pub(super) fn tuples(inner: &Inner, pages: &HashMap<u32, Page>, calls: &mut BTreeMap<Key, Call>) -> Result<(), Error> {
    let table: HashMap<(Arch, u32), &Enumerable> =
        inner.arguments.iter().map(|call| ((call.arch, call.number.0), call)).collect();
    let mut found: BTreeMap<Key, BTreeMap<Vec<u64>, u64>> = BTreeMap::new();
    let remembered = inner.memory.memo.chunks_exact(memo::WORDS).map(|words| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
        let (key, count) = bytes.split_at(size::TUPLE);
        (key.try_into().expect("a key and a count"), count.to_vec())
    });
    for (bytes, value) in entries::<{ size::TUPLE }>(&inner.maps.tuples, 8, "ts_tuples")?.into_iter().chain(remembered)
    {
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

/// Where tuples found no room, a call of which fewer are known than were made may have had any.
pub(super) fn without_gaps(inner: &Inner, call: &mut Call) {
    let known = match &call.arguments {
        Some(Arguments::Any) => return,
        Some(Arguments::Tuples(tuples)) => tuples.iter().map(|tuple| tuple.count).sum(),
        None => 0,
    };
    let has = |entry: &Enumerable| entry.arch == call.key.arch && entry.number == call.key.number;
    if known < call.count && inner.arguments.iter().any(has) {
        call.arguments = Some(Arguments::Any);
    }
}

/// How calls returned; and those that were refused.
pub(super) fn results(
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
        key.arch = Arch::of(key.arch.audit_arch(), key.number.0).unwrap_or(key.arch);
        *refused.entry((key, how)).or_default() += count;
    }
    Ok(refused.into_iter().map(|((key, how), count)| Refused { key, how, count }).collect())
}
