//! Paths and socket addresses of a call that returns, read from the task's memory: now it is there, and the result is known.

use tipstaff_abi::ebpf::{self as e, helper};

use super::Gen;
use super::exit::ARGUMENTS;
use crate::asm::{FP, If, Label, R0, R1, R2, R3, R4, R6, R7, R8, R9, Reg, Size};
use crate::maps::{NAMES, flag, size, slot, spec, state};

const EFAULT: i32 = -14;
const EBADF: i32 = -9;
const ENOTSOCK: i32 = -88;
const AT_FDCWD: i32 = -100;
const TEXT: i16 = size::PATH_TEXT as i16;
const TEXT_SIZE: i32 = (size::PATH - size::PATH_TEXT) as i32;
/// What of open(2)'s flags is kept: access mode, O_CREAT, O_TRUNC, O_DIRECTORY, O_PATH, O_TMPFILE's own bit.
const OPEN_FLAGS: i32 = 0o3 | 0o100 | 0o1000 | 0o200_000 | 0o10_000_000 | 0o20_000_000;

/// Stack, below what sys_exit has.
const SPARE: i16 = ARGUMENTS - 8;
const RESULT: i16 = ARGUMENTS - 16;
const ZERO: i16 = ARGUMENTS - 24;
const TASK: i16 = ARGUMENTS - 32;
const TABLE: i16 = ARGUMENTS - 40;

/// R8 = scratch memory, or to `out`.
fn scratch(g: &mut Gen<'_>, out: Label) {
    g.a.store(Size::D, FP, ZERO, 0);
    g.a.map(R1, &g.m.scratch);
    g.a.mov(R2, FP);
    g.a.add(R2, i32::from(ZERO));
    g.a.call(helper::MAP_LOOKUP);
    g.a.jump_if(If::Eq, R0, 0, out);
    g.a.mov(R8, R0);
}

/// `dst` = the argument whose index is in three bits of the spec (R9), less `less`; loses R1.
fn argument(g: &mut Gen<'_>, dst: Reg, at: i32, less: i32) {
    g.a.mov(R1, R9);
    g.a.alu(e::RSH, R1, at);
    g.a.alu(e::AND, R1, 7);
    if less > 0 {
        g.a.add(R1, -less);
        g.a.alu(e::AND, R1, 7);
    }
    g.a.alu(e::LSH, R1, 3);
    g.a.add(R1, FP);
    g.a.load(Size::D, dst, R1, ARGUMENTS);
}

/// The beginning of a key in scratch memory: who, and which call. The rest of `whole` bytes becomes 0.
fn head(g: &mut Gen<'_>, id: i16, whole: usize) {
    for offset in (0..whole as i16).step_by(8) {
        g.a.store(Size::D, R8, offset, 0);
    }
    if id == state::ID {
        g.a.load(Size::W, R1, R7, state::ID);
    } else {
        // The id at the entry; sys_exit has it in its key.
        g.a.load(Size::W, R1, FP, -(size::RESULT as i16));
    }
    g.a.store(Size::W, R8, 0, R1);
    g.a.load(Size::W, R1, R7, state::CALL_ARCH);
    g.a.store(Size::W, R8, 4, R1);
    g.a.load(Size::W, R1, R7, state::CALL_NR);
    g.a.store(Size::W, R8, 8, R1);
}

/// R6: registers, result; R7: state; R9: the spec. Goes to `out`.
pub(super) fn details(g: &mut Gen<'_>, out: Label, walk: Label) {
    let [address, no_files] = [(); 2].map(|()| g.a.label());
    let bits = spec::PATH[0] | spec::PATH[1] | spec::ADDRESS;
    let some = g.a.label();
    g.a.jump_if(If::Set, R9, bits as i32, some);
    g.a.jump(out);
    g.a.bind(some);
    scratch(g, out);
    // The errno, 0 for success.
    let (success, known) = (g.a.label(), g.a.label());
    g.a.load(Size::D, R1, R6, 8);
    g.a.jump_if(If::GeSigned, R1, 0, success);
    g.a.jump_if(If::GeSigned, R1, -4095, known);
    g.a.bind(success);
    g.a.mov(R1, 0);
    g.a.bind(known);
    g.a.store(Size::D, FP, RESULT, R1);
    g.a.load(Size::W, R1, R7, state::FLAGS);
    let files = g.a.label();
    g.a.jump_if(If::Set, R1, flag::FILES, files);
    g.a.jump(no_files);
    g.a.bind(files);
    for which in 0..2 {
        let (there, next) = (g.a.label(), g.a.label());
        g.a.jump_if(If::Set, R9, spec::PATH[which] as i32, there);
        g.a.jump(next);
        g.a.bind(there);
        path(g, which, next, walk);
        g.a.bind(next);
    }
    g.a.bind(no_files);
    g.a.jump_if(If::Set, R9, spec::ADDRESS as i32, address);
    g.a.jump(out);
    g.a.bind(address);
    g.a.load(Size::W, R1, R7, state::FLAGS);
    let wanted = g.a.label();
    g.a.jump_if(If::Set, R1, flag::SOCKETS, wanted);
    g.a.jump(out);
    g.a.bind(wanted);
    socket(g, out);
    g.a.jump(out);
}

fn path(g: &mut Gen<'_>, which: usize, next: Label, walk: Label) {
    let [read, absolute, cwd, based, known_base, whole, no_flags, by_value, flags] = [(); 9].map(|()| g.a.label());
    let stays = g.a.label();
    g.a.load(Size::D, R1, FP, RESULT);
    g.a.jump_if(If::Ne, R1, 0, stays);
    g.a.jump_if(If::Set, R9, spec::EXECUTES as i32, next);
    g.a.bind(stays);
    head(g, state::CALL_ID, size::PATH);
    argument(g, R3, spec::PATH_AT[which], 0);
    g.a.jump_if(If::Eq, R3, 0, next);
    g.a.mov(R1, R8);
    g.a.add(R1, i32::from(TEXT));
    g.a.mov(R2, TEXT_SIZE);
    g.a.call(helper::PROBE_READ_USER_STR);
    g.a.jump_if(If::GeSigned, R0, 0, read);
    // The kernel could not read it either: there is nothing to tell.
    g.a.load(Size::D, R1, FP, RESULT);
    g.a.jump_if(If::Eq, R1, EFAULT, next);
    g.count(slot::FILES_UNREAD);
    g.a.jump(next);
    g.a.bind(read);
    // An empty path means a descriptor.
    g.a.load(Size::B, R1, R8, TEXT);
    g.a.jump_if(If::Eq, R1, 0, next);
    g.a.jump_if(If::Ne, R0, TEXT_SIZE, whole);
    g.a.store(Size::W, R8, 20, 1);
    g.a.bind(whole);
    g.a.load(Size::D, R1, FP, RESULT);
    g.a.alu(e::NEG, R1, 0);
    g.a.store(Size::W, R8, 16, R1);
    // The flags of open(2) and its kin, which are those of the first path.
    if which == 0 {
        g.a.mov(R1, R9);
        g.a.alu(e::RSH, R1, spec::FLAGS_AT);
        g.a.alu(e::AND, R1, 7);
        g.a.jump_if(If::Eq, R1, 0, no_flags);
        argument(g, R3, spec::FLAGS_AT, 1);
        let behind = g.a.label();
        g.a.jump_if(If::Set, R9, spec::FLAGS_BEHIND as i32, behind);
        g.a.jump(by_value);
        g.a.bind(behind);
        g.a.mov(R1, FP);
        g.a.add(R1, i32::from(SPARE));
        g.a.mov(R2, 8);
        g.a.call(helper::PROBE_READ_USER);
        g.a.load(Size::D, R3, FP, SPARE);
        g.a.jump(flags);
        g.a.bind(by_value);
        g.a.bind(flags);
        g.a.alu32(e::AND, R3, OPEN_FLAGS);
        g.a.store(Size::W, R8, 12, R3);
        g.a.bind(no_flags);
    }
    // What a relative path is relative to.
    g.a.load(Size::B, R1, R8, TEXT);
    g.a.jump_if(If::Eq, R1, i32::from(b'/'), absolute);
    g.a.jump_if(If::Set, R9, spec::NO_BASE as i32, absolute);
    g.a.call(helper::GET_CURRENT_TASK_BTF);
    g.a.store(Size::D, FP, TASK, R0);
    g.a.mov(R1, R9);
    g.a.alu(e::RSH, R1, spec::DIRFD_AT[which]);
    g.a.alu(e::AND, R1, 7);
    g.a.jump_if(If::Eq, R1, 0, cwd);
    argument(g, R3, spec::DIRFD_AT[which], 1);
    g.a.jump_if32(If::Eq, R3, AT_FDCWD, cwd);
    file(g, absolute);
    g.a.add(R3, i32::from(g.l.file_path));
    g.a.jump(based);
    g.a.bind(cwd);
    g.a.load(Size::D, R3, FP, TASK);
    g.read(R3, R3, g.l.task_fs, SPARE);
    g.a.add(R3, i32::from(g.l.fs_pwd));
    g.a.bind(based);
    g.a.store(Size::D, FP, ZERO, R3);
    g.read(R1, R3, g.l.path_dentry, SPARE);
    g.a.store(Size::D, R8, 24, R1);
    g.a.load(Size::D, R3, FP, ZERO);
    g.read(R1, R3, g.l.path_mnt, SPARE);
    g.a.store(Size::D, R8, 32, R1);
    // The names of that directory, once.
    g.a.map(R1, &g.m.bases);
    g.a.mov(R2, R8);
    g.a.add(R2, 24);
    g.a.call(helper::MAP_LOOKUP);
    g.a.jump_if(If::Ne, R0, 0, known_base);
    g.a.load(Size::D, R1, R8, 24);
    g.a.load(Size::D, R2, R8, 32);
    g.a.mov(R3, R8);
    g.a.add(R3, size::PATH as i32 + 8);
    g.a.load(Size::D, R4, FP, TASK);
    g.a.call_local(walk);
    g.a.map(R1, &g.m.bases);
    g.a.mov(R2, R8);
    g.a.add(R2, 24);
    g.a.mov(R3, R8);
    g.a.add(R3, size::PATH as i32);
    g.a.mov(R4, 0);
    g.a.call(helper::MAP_UPDATE);
    g.a.bind(known_base);
    g.a.bind(absolute);
    g.bump(&g.m.paths, R8, 0, SPARE, slot::FILES_DROPPED);
    const { assert!(NAMES + 8 == size::BASE_VALUE) };
}

/// R3 = the file behind the descriptor in R3 of the task at `FP + TASK`; if there is none, to `none`.
fn file(g: &mut Gen<'_>, none: Label) {
    g.a.mov32(R3, R3);
    g.a.store(Size::D, FP, ZERO, R3);
    g.a.load(Size::D, R3, FP, TASK);
    g.read(R3, R3, g.l.task_files, SPARE);
    g.read(R3, R3, g.l.files_fdt, SPARE);
    g.a.store(Size::D, FP, TABLE, R3);
    g.read_sized(Size::W, R1, R3, g.l.fdt_max, SPARE);
    g.a.load(Size::D, R2, FP, ZERO);
    g.a.jump_if(If::Ge, R2, R1, none);
    g.a.load(Size::D, R3, FP, TABLE);
    g.read(R3, R3, g.l.fdt_fd, SPARE);
    g.a.load(Size::D, R2, FP, ZERO);
    g.a.alu(e::LSH, R2, 3);
    g.a.add(R3, R2);
    g.read(R3, R3, 0, SPARE);
    g.a.jump_if(If::Eq, R3, 0, none);
}

/// connect(2), bind(2), sendto(2). The first argument is the socket.
fn socket(g: &mut Gen<'_>, out: Label) {
    let [unread, fits, unknown] = [(); 3].map(|()| g.a.label());
    g.a.load(Size::D, R1, FP, RESULT);
    for errno in [EBADF, ENOTSOCK, EFAULT] {
        g.a.jump_if(If::Eq, R1, errno, out);
    }
    head(g, state::CALL_ID, size::ADDRESS);
    g.a.load(Size::D, R1, FP, RESULT);
    g.a.alu(e::NEG, R1, 0);
    g.a.store(Size::W, R8, 16, R1);
    argument(g, R3, spec::ADDRESS_AT, 0);
    g.a.jump_if(If::Eq, R3, 0, out);
    argument(g, R2, spec::LENGTH_AT, 0);
    g.a.mov32(R2, R2);
    g.a.jump_if(If::Eq, R2, 0, out);
    g.a.jump_if(If::Le, R2, size::ADDRESS_TEXT as i32, fits);
    g.a.mov(R2, size::ADDRESS_TEXT as i32);
    g.a.bind(fits);
    g.a.store(Size::W, R8, 20, R2);
    g.a.mov(R1, R8);
    g.a.add(R1, 24);
    g.a.call(helper::PROBE_READ_USER);
    g.a.jump_if(If::Ne, R0, 0, unread);
    // Its type and protocol.
    g.a.call(helper::GET_CURRENT_TASK_BTF);
    g.a.store(Size::D, FP, TASK, R0);
    g.a.load(Size::D, R3, FP, ARGUMENTS);
    file(g, unknown);
    g.read(R3, R3, g.l.file_private, SPARE);
    g.a.store(Size::D, FP, ZERO, R3);
    g.read_sized(Size::H, R1, R3, g.l.socket_type, SPARE);
    g.a.store(Size::H, R8, 12, R1);
    g.a.load(Size::D, R3, FP, ZERO);
    g.read(R3, R3, g.l.socket_sk, SPARE);
    g.read_sized(Size::H, R1, R3, g.l.sk_protocol, SPARE);
    g.a.store(Size::H, R8, 14, R1);
    g.a.bind(unknown);
    g.bump(&g.m.addresses, R8, 0, SPARE, slot::SOCKETS_DROPPED);
    g.a.jump(out);
    g.a.bind(unread);
    g.count(slot::SOCKETS_DROPPED);
}

/// At sched_process_exec: the path that was executed, for the program that did it. R6: task, its former id, the binary.
pub(super) fn executed(g: &mut Gen<'_>) {
    let done = g.a.label();
    scratch(g, done);
    head(g, state::ID, size::PATH);
    g.a.load(Size::D, R3, R6, 16);
    g.read(R3, R3, g.l.bprm_filename, SPARE);
    g.a.mov(R1, R8);
    g.a.add(R1, i32::from(TEXT));
    g.a.mov(R2, TEXT_SIZE);
    g.a.call(helper::PROBE_READ_KERNEL_STR);
    g.a.jump_if(If::LtSigned, R0, 0, done);
    g.bump(&g.m.paths, R8, 0, SPARE, slot::FILES_DROPPED);
    g.a.bind(done);
}
