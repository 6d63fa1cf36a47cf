//! The maps, and what lies where in them: one place for the programs and for us.

use tipstaff_sys::Errno;
use tipstaff_sys::bpf::{Kind, Map, Memory};

use crate::{Setup, Unavailable};

/// Numbers below this have a place in the tables; all others (x32, unknown ones) are counted in a hash table.
pub(crate) const CALLS: u32 = 512;
/// Recordings at once.
pub(crate) const SLOTS: u32 = 63;

/// A task's state (task storage), in bytes.
pub(crate) mod state {
    /// u32: the page that its calls are counted in, with a generation above the page's number; see [`super::Maps::live`].
    pub(crate) const ID: i16 = 0;
    /// u32: phase and [`super::flag`]s.
    pub(crate) const FLAGS: i16 = 4;
    /// u32: the recording.
    pub(crate) const SLOT: i16 = 8;
    /// u32: the id when the present call was entered; 0: it is in none.
    pub(crate) const CALL_ID: i16 = 12;
    /// u32: the present call.
    pub(crate) const CALL_NR: i16 = 16;
    /// u32: its table.
    pub(crate) const CALL_ARCH: i16 = 20;
    /// u32: SIGSYS has told of a refused call: [`TRAPPED`], until it returns, or [`KILLED`], until the task ends.
    pub(crate) const SIGSYS: i16 = 24;
    pub(crate) const TRAPPED: i32 = 1;
    pub(crate) const KILLED: i32 = 2;
    pub(crate) const SIZE: usize = 32;
}

/// Bits of a task's flags, and of a recording's.
pub(crate) mod flag {
    pub(crate) const PHASE: i32 = 3;
    /// In the phase Setup: look whether a filter is there.
    pub(crate) const WATCH: i32 = 1 << 2;
    /// New: its first return is that of the fork.
    pub(crate) const FRESH: i32 = 1 << 3;
    /// Attached: its first return may be of a call that nobody saw entered.
    pub(crate) const ASIDE: i32 = 1 << 4;
    /// It has ended, and was counted so.
    pub(crate) const ENDED: i32 = 1 << 5;
    pub(crate) const ARGUMENTS: i32 = 1 << 8;
    pub(crate) const RESULTS: i32 = 1 << 9;
    pub(crate) const REFUSED: i32 = 1 << 10;
    pub(crate) const FILES: i32 = 1 << 11;
    pub(crate) const SOCKETS: i32 = 1 << 12;
    pub(crate) const CAPABILITIES: i32 = 1 << 13;
    /// What needs sys_exit.
    pub(crate) const RETURNS: i32 = RESULTS | REFUSED | FILES | SOCKETS;
}

/// A recording's words (64 bits each).
pub(crate) mod slot {
    pub(crate) const WORDS: usize = 32;
    pub(crate) const SHIFT: i32 = 8;
    /// Tuples of a call at most.
    pub(crate) const CAP: usize = 0;
    /// Flags of joiners.
    pub(crate) const JOINERS: usize = 1;
    /// Ids of the pages without an executable, by phase.
    pub(crate) const FALLBACK: usize = 2;
    pub(crate) const MEMBERS: usize = 5;
    pub(crate) const CALLS_DROPPED: usize = 8;
    pub(crate) const ARGUMENTS_DROPPED: usize = 9;
    pub(crate) const RESULTS_DROPPED: usize = 10;
    pub(crate) const FILES_DROPPED: usize = 11;
    pub(crate) const FILES_UNREAD: usize = 12;
    pub(crate) const SOCKETS_DROPPED: usize = 13;
    pub(crate) const CAPABILITIES_DROPPED: usize = 14;
    pub(crate) const TASKS_MISSED: usize = 15;
    pub(crate) const MERGED: usize = 16;
    pub(crate) const FILTERED: usize = 17;
    pub(crate) const SET_ASIDE: usize = 18;
    pub(crate) const TAKEN: usize = 19;
    /// In the slot behind the last: how many control groups and PID namespaces are recorded.
    pub(crate) const CGROUPS: usize = 0;
    pub(crate) const PIDNSES: usize = 1;
}

/// A page's description (bytes).
pub(crate) mod info {
    /// u32 slot, u32 phase.
    pub(crate) const SLOT: i16 = 0;
    pub(crate) const PHASE: i16 = 4;
    /// u64: where the names end.
    pub(crate) const END: i16 = 8;
    /// Names of the path, last one first, each with a zero byte.
    pub(crate) const NAMES: i16 = 16;
    pub(crate) const SIZE: usize = NAMES as usize + super::NAMES;
}

/// Bytes for the names of a path: the walk stops behind [`NAMES_STOP`], and the last name has up to 256.
pub(crate) const NAMES: usize = NAMES_STOP as usize + 1 + 256;
/// See [`NAMES`].
pub(crate) const NAMES_STOP: i32 = 1023;
/// In the result of a walk: it was cut.
pub(crate) const NAMES_CUT: i32 = 1 << 16;
/// In the result of a walk: it has no place in any tree (a memfd).
pub(crate) const NAMES_PSEUDO: i32 = 1 << 17;

/// What is known of a call beforehand (64-bit words).
pub(crate) mod spec {
    pub(crate) const WORDS: usize = 8;
    pub(crate) const SHIFT: i32 = 6;
    /// The first word: what to do.
    pub(crate) const ARGUMENTS: u64 = 1;
    pub(crate) const PATH: [u64; 2] = [2, 4];
    pub(crate) const ADDRESS: u64 = 8;
    /// Where the three bits of an argument's index (plus one, where it can be absent) are.
    pub(crate) const PATH_AT: [i32; 2] = [8, 16];
    pub(crate) const DIRFD_AT: [i32; 2] = [11, 19];
    pub(crate) const FLAGS_AT: i32 = 24;
    /// The flags are behind a pointer.
    pub(crate) const FLAGS_BEHIND: u64 = 1 << 27;
    /// A relative path has no base that can still be told.
    pub(crate) const NO_BASE: u64 = 1 << 28;
    /// When it succeeds, another program runs: its path is taken at sched_process_exec.
    pub(crate) const EXECUTES: u64 = 1 << 29;
    pub(crate) const ADDRESS_AT: i32 = 8;
    pub(crate) const LENGTH_AT: i32 = 11;
    /// Words 1 to 6: masks of the arguments. Word 7: 0, or 1 plus the offset behind the first argument.
    pub(crate) const BEHIND: usize = 7;
}

/// Tuples in plain memory before the hash table: what a hash of the tuple leads to, if it is free or the same. An entry is a tuple's key and its count;
/// once taken it is kept as long as its page, so nothing is ever moved.
pub(crate) mod memo {
    pub(crate) const ENTRIES: usize = 4096;
    pub(crate) const SHIFT: i32 = 6;
    pub(crate) const WORDS: usize = 8;
    pub(crate) const COUNT: i16 = super::size::TUPLE as i16;
    /// In the place of the key's first word while the rest is being written; no id is that small.
    pub(crate) const BUSY: i32 = 1;
}

/// Keys and values of hash tables, in bytes.
pub(crate) mod size {
    /// id, table, number.
    pub(crate) const CALL: usize = 12;
    /// u64 first-seen, u64 count of odd numbers, u32 distinct tuples, u32 demoted.
    pub(crate) const CALL_VALUE: usize = 24;
    /// id, table and number, six masked arguments.
    pub(crate) const TUPLE: usize = 56;
    /// id, table, number, class, i64 value.
    pub(crate) const RESULT: usize = 24;
    /// id, table, number, flags, errno, cut, u64 dentry, u64 mount, path.
    pub(crate) const PATH: usize = 512;
    pub(crate) const PATH_TEXT: usize = 40;
    /// dentry, mount.
    pub(crate) const BASE: usize = 16;
    /// u64 end, names.
    pub(crate) const BASE_VALUE: usize = 8 + super::NAMES;
    /// id, table, number, kind and protocol, errno, length, address.
    pub(crate) const ADDRESS: usize = 24 + ADDRESS_TEXT;
    pub(crate) const ADDRESS_TEXT: usize = 112;
    /// id, number and outcome.
    pub(crate) const CAPABILITY: usize = 8;
    /// slot, phase, device, 0, u64 inode.
    pub(crate) const EXE: usize = 24;
    /// hierarchy, 0, u64 id.
    pub(crate) const CGROUP: usize = 16;
}

/// How a call came to its end, in the keys of [`Maps::results`].
pub(crate) mod class {
    pub(crate) const RETURNED: i32 = 0;
    pub(crate) const ERRNO: i32 = 1;
    pub(crate) const TRAP: i32 = 2;
    pub(crate) const KILL: i32 = 3;
    pub(crate) const ANSWERED: i32 = 4;
}

/// All maps.
#[derive(Debug)]
pub(crate) struct Maps {
    /// Pages, a power of two.
    pub(crate) pages: u32,
    /// Copies of the counts, a power of two: CPUs do not wait for each other's cache lines.
    pub(crate) shards: u32,
    pub(crate) state: Map,
    /// u64 per page: the id that is in use, 0 for none; then u64 per page: the id that it gets when it is taken.
    pub(crate) live: Map,
    pub(crate) slots: Map,
    /// u64 by page, shard, table (64 or 32 bits), number.
    pub(crate) counts: Map,
    pub(crate) specs: Map,
    pub(crate) infos: Map,
    pub(crate) memo: Map,
    pub(crate) free: Map,
    pub(crate) scratch: Map,
    pub(crate) exes: Map,
    pub(crate) calls: Map,
    pub(crate) tuples: Map,
    pub(crate) results: Map,
    pub(crate) paths: Map,
    pub(crate) bases: Map,
    pub(crate) addresses: Map,
    pub(crate) capabilities: Map,
    pub(crate) cgroups: Map,
    pub(crate) pidnses: Map,
}

/// The maps that are memory.
#[derive(Debug)]
pub(crate) struct Memories {
    pub(crate) live: Memory,
    pub(crate) slots: Memory,
    pub(crate) counts: Memory,
    pub(crate) specs: Memory,
    pub(crate) infos: Memory,
    pub(crate) memo: Memory,
}

impl Maps {
    pub(crate) fn new(setup: &Setup, cpus: u32) -> Result<Self, Unavailable> {
        let pages = setup.pages;
        let shards = cpus.next_power_of_two().min(8);
        let make = |kind, name: &'static str, key, value, entries| {
            Map::new(kind, name, key, value, entries).map_err(|errno| match errno {
                Errno::PERM => crate::probe::not_permitted(),
                Errno::NOSYS => Unavailable::NoBpf,
                errno => Unavailable::Map { name, errno },
            })
        };
        let memory = |name, bytes: usize| make(Kind::Memory, name, 4, bytes, 1);
        let hash = |name, key, value| make(Kind::Hash, name, key, value, setup.entries);
        let all_pages = pages as usize;
        Ok(Self {
            pages,
            shards,
            state: make(Kind::TaskStorage, "ts_state", 4, state::SIZE, 0)?,
            live: memory("ts_live", all_pages * 16)?,
            slots: memory("ts_slots", (SLOTS as usize + 1) * slot::WORDS * 8)?,
            counts: memory("ts_counts", all_pages * shards as usize * 2 * CALLS as usize * 8)?,
            specs: memory("ts_specs", 2 * CALLS as usize * spec::WORDS * 8)?,
            infos: memory("ts_infos", all_pages * info::SIZE)?,
            memo: memory("ts_memo", memo::ENTRIES * memo::WORDS * 8)?,
            free: make(Kind::Queue, "ts_free", 0, 4, pages)?,
            scratch: make(Kind::Scratch, "ts_scratch", 4, size::PATH + size::BASE_VALUE, 1)?,
            exes: hash("ts_exes", size::EXE, 4)?,
            calls: hash("ts_calls", size::CALL, size::CALL_VALUE)?,
            tuples: hash("ts_tuples", size::TUPLE, 8)?,
            results: hash("ts_results", size::RESULT, 8)?,
            paths: make(Kind::Hash, "ts_paths", size::PATH, 8, setup.paths)?,
            bases: make(Kind::Hash, "ts_bases", size::BASE, size::BASE_VALUE, setup.paths)?,
            addresses: hash("ts_addresses", size::ADDRESS, 8)?,
            capabilities: hash("ts_caps", size::CAPABILITY, 8)?,
            cgroups: make(Kind::Hash, "ts_cgroups", size::CGROUP, 4, 1024)?,
            pidnses: make(Kind::Hash, "ts_pidnses", 4, 4, 1024)?,
        })
    }

    pub(crate) fn memories(&self) -> Result<Memories, Unavailable> {
        let map = |map: &Map, name| map.memory().map_err(|errno| Unavailable::Map { name, errno });
        Ok(Memories {
            live: map(&self.live, "ts_live")?,
            slots: map(&self.slots, "ts_slots")?,
            counts: map(&self.counts, "ts_counts")?,
            specs: map(&self.specs, "ts_specs")?,
            infos: map(&self.infos, "ts_infos")?,
            memo: map(&self.memo, "ts_memo")?,
        })
    }
}
