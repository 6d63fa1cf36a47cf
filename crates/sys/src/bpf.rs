//! bpf(2): maps, programs, links, type information. Each is a descriptor; with the last one the kernel removes it.
//!
//! The programs themselves are the verifier's business, so nothing here is unsafe for the caller: a map knows its sizes and refuses other ones.

use core::ffi::CStr;
use core::sync::atomic::AtomicU64;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use tipstaff_abi::ebpf::Insn;

use crate::raw::{Errno, addr, addr_mut, call, ptr};

const MAP_CREATE: usize = 0;
const MAP_LOOKUP_ELEM: usize = 1;
const MAP_UPDATE_ELEM: usize = 2;
const MAP_DELETE_ELEM: usize = 3;
const MAP_GET_NEXT_KEY: usize = 4;
const PROG_LOAD: usize = 5;
const RAW_TRACEPOINT_OPEN: usize = 17;
const BTF_LOAD: usize = 18;
const MAP_LOOKUP_AND_DELETE_ELEM: usize = 21;

const F_NO_PREALLOC: u32 = 1;
const F_MMAPABLE: u32 = 1 << 10;

const PROG_TYPE_TRACING: u32 = 26;
const TRACE_RAW_TP: u32 = 23;

/// BPF_ANY, BPF_NOEXIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Update {
    /// Creates or replaces.
    Any = 0,
    /// Only creates; EEXIST.
    Create = 1,
}

/// What a map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One element of many bytes, which programs address directly and we map into memory.
    Memory,
    /// A hash table whose elements are allocated when they are needed.
    Hash,
    /// A first-in first-out queue; no key.
    Queue,
    /// Scratch memory, one per CPU; for programs only.
    Scratch,
    /// A value in each task; the key is a pidfd.
    TaskStorage,
}

/// A map. Keys and values are bytes of its sizes.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    kind: Kind,
    key: usize,
    value: usize,
}

fn bpf<T>(command: usize, attr: &mut T) -> Result<usize, Errno> {
    // SAFETY: the kernel reads the attributes of this size; each caller answers for the pointers in them.
    unsafe { call(libc::SYS_bpf, [command, addr_mut(attr), size_of::<T>(), 0, 0, 0]) }
}

fn new_fd<T>(command: usize, attr: &mut T) -> Result<OwnedFd, Errno> {
    let fd = bpf(command, attr)?;
    // SAFETY: these commands return a new descriptor of ours, close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn name(text: &str) -> [u8; 16] {
    let mut name = [0; 16];
    let length = text.len().min(15);
    name[..length].copy_from_slice(&text.as_bytes()[..length]);
    name
}

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
    map_ifindex: u32,
    btf_fd: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
    btf_vmlinux_value_type_id: u32,
}

#[repr(C)]
struct Element {
    map_fd: u32,
    _pad: u32,
    key: u64,
    /// Or the next key.
    value: u64,
    flags: u64,
}

impl Map {
    /// A new map. `entries` counts for hash tables and queues only. EPERM: no CAP_BPF.
    pub fn new(kind: Kind, map_name: &str, key: usize, value: usize, entries: u32) -> Result<Self, Errno> {
        let (map_type, map_flags, max_entries, key) = match kind {
            Kind::Memory => (2, F_MMAPABLE, 1, 4),
            Kind::Hash => (1, F_NO_PREALLOC, entries, key),
            Kind::Queue => (22, 0, entries, 0),
            Kind::Scratch => (6, 0, 1, 4),
            Kind::TaskStorage => (29, F_NO_PREALLOC, 0, 4),
        };
        let mut attr = MapCreate {
            map_type,
            key_size: u32::try_from(key).map_err(|_| Errno::INVAL)?,
            value_size: u32::try_from(value).map_err(|_| Errno::INVAL)?,
            max_entries,
            map_flags,
            map_name: name(map_name),
            ..MapCreate::default()
        };
        // Local storage must have types: an int as key, words as value.
        let types = match kind {
            Kind::TaskStorage => Some(words(attr.value_size)?),
            _ => None,
        };
        if let Some(types) = &types {
            attr.btf_fd = types.as_raw_fd().cast_unsigned();
            (attr.btf_key_type_id, attr.btf_value_type_id) = (1, 2);
        }
        Ok(Self { fd: new_fd(MAP_CREATE, &mut attr)?, kind, key, value })
    }

    /// Its number, for the constants of programs.
    pub fn number(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    fn element(&self, command: usize, key: &[u8], value: u64, flags: u64) -> Result<(), Errno> {
        if key.len() != self.key || self.kind == Kind::Scratch {
            return Err(Errno::INVAL);
        }
        let key = if key.is_empty() { 0 } else { key.as_ptr() as u64 };
        let mut attr = Element { map_fd: self.number().cast_unsigned(), _pad: 0, key, value, flags };
        bpf(command, &mut attr).map(|_| ())
    }

    /// Reads the value of a key. ENOENT: there is none.
    pub fn get(&self, key: &[u8], value: &mut [u8]) -> Result<(), Errno> {
        if value.len() != self.value {
            return Err(Errno::INVAL);
        }
        self.element(MAP_LOOKUP_ELEM, key, value.as_mut_ptr() as u64, 0)
    }

    /// Writes the value of a key; of a queue, at its end. EEXIST, E2BIG: full.
    pub fn set(&self, key: &[u8], value: &[u8], how: Update) -> Result<(), Errno> {
        if value.len() != self.value {
            return Err(Errno::INVAL);
        }
        self.element(MAP_UPDATE_ELEM, key, value.as_ptr() as u64, how as u64)
    }

    /// Removes a key. ENOENT: there is none.
    pub fn remove(&self, key: &[u8]) -> Result<(), Errno> {
        self.element(MAP_DELETE_ELEM, key, 0, 0)
    }

    /// Takes the first value out of a queue. ENOENT: it is empty.
    pub fn pop(&self, value: &mut [u8]) -> Result<(), Errno> {
        if value.len() != self.value || self.kind != Kind::Queue {
            return Err(Errno::INVAL);
        }
        self.element(MAP_LOOKUP_AND_DELETE_ELEM, &[], value.as_mut_ptr() as u64, 0)
    }

    /// The key behind this one, or the first. ENOENT: it was the last. Of a key that is gone meanwhile: the first.
    pub fn next_key(&self, after: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        if next.len() != self.key || after.is_some_and(|key| key.len() != self.key) || self.kind != Kind::Hash {
            return Err(Errno::INVAL);
        }
        let key = after.map_or(0, |key| key.as_ptr() as u64);
        let mut attr =
            Element { map_fd: self.number().cast_unsigned(), _pad: 0, key, value: next.as_mut_ptr() as u64, flags: 0 };
        bpf(MAP_GET_NEXT_KEY, &mut attr).map(|_| ())
    }

    /// The memory of a [`Kind::Memory`] map, shared with the programs.
    pub fn memory(&self) -> Result<Memory, Errno> {
        if self.kind != Kind::Memory {
            return Err(Errno::INVAL);
        }
        let length = self.value.next_multiple_of(8);
        let prot = (libc::PROT_READ | libc::PROT_WRITE) as usize;
        // SAFETY: a new shared mapping at an address that the kernel chooses.
        let base =
            unsafe { call(libc::SYS_mmap, [0, length, prot, libc::MAP_SHARED as usize, self.number() as usize, 0])? };
        Ok(Memory { base: base as *const AtomicU64, words: length / 8 })
    }
}

/// Memory that programs of the kernel write while we look at it: every word is atomic.
#[derive(Debug)]
pub struct Memory {
    base: *const AtomicU64,
    words: usize,
}

// SAFETY: a mapping of its own, reached through atomics only.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl core::ops::Deref for Memory {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has this many words, is page-aligned and readable and writable until `drop`.
        unsafe { core::slice::from_raw_parts(self.base, self.words) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and no reference outlives it.
        let _ = unsafe { call(libc::SYS_munmap, [self.base as usize, self.words * 8, 0, 0, 0, 0]) };
    }
}

/// Loads type information: types as words, and their names.
fn load_btf(types: &[u32], strings: &[u8]) -> Result<OwnedFd, Errno> {
    let size = size_of_val(types) as u32;
    // struct btf_header: magic and version, header length, then offset and length of types and of strings.
    let header: [u32; 6] = [0x0001_eb9f, 24, 0, size, size, strings.len() as u32];
    let mut blob: Vec<u8> = header.iter().chain(types).flat_map(|word| word.to_le_bytes()).collect();
    blob.extend_from_slice(strings);
    #[repr(C)]
    #[derive(Default)]
    struct BtfLoad {
        btf: u64,
        log_buf: u64,
        btf_size: u32,
        log_size: u32,
        log_level: u32,
        _pad: u32,
    }
    let mut attr = BtfLoad { btf: blob.as_ptr() as u64, btf_size: blob.len() as u32, ..BtfLoad::default() };
    new_fd(BTF_LOAD, &mut attr)
}

const KIND_INT: u32 = 1 << 24;
const KIND_ARRAY: u32 = 3 << 24;
const KIND_FUNC: u32 = 12 << 24;
const KIND_FUNC_PROTO: u32 = 13 << 24;

/// Type 1 is a 32-bit word, type 2 an array of them of `bytes`.
fn words(bytes: u32) -> Result<OwnedFd, Errno> {
    load_btf(&[1, KIND_INT, 4, 32, 0, KIND_ARRAY, 0, 1, 1, bytes / 4], b"\0word\0")
}

/// Type [`PART`] is a static function that returns a word.
fn parts() -> Result<OwnedFd, Errno> {
    load_btf(&[1, KIND_INT, 4, 32, 0, KIND_FUNC_PROTO, 1, 6, KIND_FUNC, 2], b"\0word\0part\0")
}

const PART: u32 = 3;

#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_prog_fd: u32,
    _pad: u32,
}

/// Why a program was not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// EPERM: no CAP_BPF or CAP_PERFMON; EACCES, EINVAL, E2BIG: the verifier.
    pub errno: Errno,
    /// What the verifier said; empty where it was not asked.
    pub log: String,
}

/// Loads a program for a tracepoint with types (BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP; Linux 5.5). `tracepoint` is the id of `btf_trace_NAME` in the
/// kernel's type information; `functions` are the instructions at which the program and its parts begin, in order, the first of which is 0. When it is refused, it is loaded again to hear why, with up to `log` bytes.
pub fn load_tracing(
    prog_name: &str,
    licence: &CStr,
    insns: &[Insn],
    functions: &[u32],
    tracepoint: u32,
    log: usize,
) -> Result<OwnedFd, Rejected> {
    // Parts that are handed to bpf_loop must have a type.
    let types = parts().map_err(|errno| Rejected { errno, log: String::new() })?;
    let records: Vec<[u32; 2]> = functions.iter().map(|at| [*at, PART]).collect();
    let mut attr = ProgLoad {
        prog_type: PROG_TYPE_TRACING,
        insn_cnt: insns.len() as u32,
        insns: insns.as_ptr() as u64,
        license: ptr(licence) as u64,
        prog_name: name(prog_name),
        expected_attach_type: TRACE_RAW_TP,
        attach_btf_id: tracepoint,
        prog_btf_fd: types.as_raw_fd().cast_unsigned(),
        func_info_rec_size: size_of::<[u32; 2]>() as u32,
        func_info: records.as_ptr() as u64,
        func_info_cnt: records.len() as u32,
        ..ProgLoad::default()
    };
    let errno = match new_fd(PROG_LOAD, &mut attr) {
        Ok(fd) => return Ok(fd),
        Err(errno) => errno,
    };
    if errno == Errno::PERM || log == 0 {
        return Err(Rejected { errno, log: String::new() });
    }
    let mut text = vec![0u8; log];
    (attr.log_level, attr.log_size, attr.log_buf) = (1, log as u32, text.as_mut_ptr() as u64);
    match new_fd(PROG_LOAD, &mut attr) {
        Ok(fd) => Ok(fd),
        Err(errno) => {
            let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
            Err(Rejected { errno, log: String::from_utf8_lossy(&text[..end]).into_owned() })
        }
    }
}

/// Attaches a loaded program; it runs until the result is dropped.
pub fn attach(program: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct RawTracepoint {
        name: u64,
        prog_fd: u32,
        _pad: u32,
    }
    // Without a name the program's own tracepoint is meant.
    let mut attr = RawTracepoint { name: 0, prog_fd: program.as_raw_fd().cast_unsigned(), _pad: 0 };
    new_fd(RAW_TRACEPOINT_OPEN, &mut attr)
}

/// Whether the kernel has bpf(2) at all: a command that does not exist is EINVAL, or EPERM where it must not be asked.
pub fn exists() -> bool {
    let nothing = [0u64; 2];
    // SAFETY: the kernel reads the attributes of this size.
    let said = unsafe { call(libc::SYS_bpf, [usize::MAX >> 33, addr(&nothing), size_of_val(&nothing), 0, 0, 0]) };
    said != Err(Errno::NOSYS)
}
