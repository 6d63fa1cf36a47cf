//! Which page a task's calls are counted in, and the walk from a file to the names of its path.

use tipstaff_abi::ebpf::{self as e, helper};

use super::Gen;
use crate::asm::{FP, If, Label, R0, R1, R2, R3, R4, R6, R7, R8, R9, Size};
use crate::maps::{NAMES_CUT, NAMES_PSEUDO, NAMES_STOP, info, slot};

/// Names and mount points together; PATH_MAX allows more, with names of one letter.
const STEPS: i32 = 64;

/// `page_for(slot, phase, task)`: the id of the page for the program that the task runs; a new page if there is none yet, and the page without an
/// executable if no page is left. Never 0.
pub(super) fn page_for(g: &mut Gen<'_>, entry: Label, walk: Label) {
    const KEY: i16 = -24;
    const PAGE: i16 = -32;
    const SPARE: i16 = -40;
    const TASK: i16 = -48;
    const EXE: i16 = -56;
    const ID: i16 = -64;
    let [nothing, make, undo, fallback] = [(); 4].map(|()| g.a.label());
    g.a.function(entry);
    g.a.mov(R6, R1);
    g.a.mov(R7, R2);
    g.a.store(Size::D, FP, TASK, R3);
    g.a.store(Size::W, FP, KEY, R6);
    g.a.store(Size::W, FP, KEY + 4, R7);
    g.a.store(Size::D, FP, KEY + 8, 0);
    g.a.store(Size::D, FP, KEY + 16, 0);
    g.a.store(Size::D, FP, EXE, 0);
    g.a.mov(R9, R3);
    g.read(R9, R9, g.l.task_mm, SPARE);
    g.a.jump_if(If::Eq, R9, 0, nothing);
    g.read(R9, R9, g.l.mm_exe_file, SPARE);
    g.a.jump_if(If::Eq, R9, 0, nothing);
    g.a.store(Size::D, FP, EXE, R9);
    g.read(R9, R9, g.l.file_inode, SPARE);
    g.read(R8, R9, g.l.inode_ino, SPARE);
    g.a.store(Size::D, FP, KEY + 16, R8);
    g.read(R9, R9, g.l.inode_sb, SPARE);
    g.read_sized(Size::W, R8, R9, g.l.sb_dev, SPARE);
    g.a.store(Size::W, FP, KEY + 8, R8);
    g.a.bind(nothing);
    let look_up = |g: &mut Gen<'_>, otherwise: Label| {
        g.a.map(R1, &g.m.exes);
        g.a.mov(R2, FP);
        g.a.add(R2, i32::from(KEY));
        g.a.call(helper::MAP_LOOKUP);
        g.a.jump_if(If::Eq, R0, 0, otherwise);
        g.a.load(Size::W, R0, R0, 0);
        g.a.exit();
    };
    look_up(g, make);

    g.a.bind(make);
    g.a.map(R1, &g.m.free);
    g.a.mov(R2, FP);
    g.a.add(R2, i32::from(PAGE));
    g.a.call(helper::MAP_POP);
    g.a.jump_if(If::Ne, R0, 0, fallback);
    g.a.load(Size::W, R9, FP, PAGE);
    g.a.alu32(e::AND, R9, (g.m.pages - 1).cast_signed());
    // Its description.
    g.a.mov32(R1, R9);
    g.a.alu(e::MUL, R1, info::SIZE as i32);
    g.a.address(R8, &g.m.infos, 0);
    g.a.add(R8, R1);
    g.a.store(Size::W, R8, info::SLOT, R6);
    g.a.store(Size::W, R8, info::PHASE, R7);
    g.a.store(Size::D, R8, info::END, 0);
    g.a.load(Size::D, R1, FP, EXE);
    let unnamed = g.a.label();
    g.a.jump_if(If::Eq, R1, 0, unnamed);
    g.read(R2, R1, g.l.file_path + g.l.path_mnt, SPARE);
    g.a.store(Size::D, FP, ID, R2);
    g.a.load(Size::D, R1, FP, EXE);
    g.read(R1, R1, g.l.file_path + g.l.path_dentry, SPARE);
    g.a.load(Size::D, R2, FP, ID);
    g.a.mov(R3, R8);
    g.a.add(R3, i32::from(info::NAMES));
    g.a.load(Size::D, R4, FP, TASK);
    g.a.call_local(walk);
    g.a.bind(unnamed);
    // In use.
    g.a.mov32(R1, R9);
    g.a.alu(e::LSH, R1, 3);
    g.a.address(R8, &g.m.live, 0);
    g.a.add(R8, R1);
    g.a.load(Size::D, R2, R8, (g.m.pages * 8) as i16);
    g.a.store(Size::D, R8, 0, R2);
    g.a.store(Size::D, FP, ID, R2);
    g.insert(&g.m.exes, FP, KEY, ID);
    g.a.jump_if(If::Ne, R0, 0, undo);
    g.a.load(Size::W, R0, FP, ID);
    g.a.exit();

    // Another thread was faster, or the table is full: the page goes back.
    g.a.bind(undo);
    g.a.store(Size::D, R8, 0, 0);
    g.a.map(R1, &g.m.free);
    g.a.mov(R2, FP);
    g.a.add(R2, i32::from(PAGE));
    g.a.mov(R3, 0);
    g.a.call(helper::MAP_PUSH);
    look_up(g, fallback);

    g.a.bind(fallback);
    g.a.mov(R1, R6);
    g.count_in_slot(R1, slot::MERGED, 1);
    g.a.mov(R1, R6);
    g.slot_words(R2, R1);
    g.a.alu32(e::AND, R7, 3);
    g.a.alu(e::LSH, R7, 3);
    g.a.add(R2, R7);
    g.a.load(Size::D, R0, R2, 8 * slot::FALLBACK as i16);
    g.a.exit();
}

/// `walk(dentry, mount, names, task)`: the names up to the task's root directory, last one first, each with a zero byte. The word before them becomes
/// the place where they end, with [`NAMES_CUT`] and [`NAMES_PSEUDO`].
pub(super) fn walk(g: &mut Gen<'_>, entry: Label) {
    // What a step works on, as it lies on the stack.
    const DENTRY: i16 = 0;
    const MOUNT: i16 = 8;
    const NAMES: i16 = 16;
    const ROOT: i16 = 24;
    const ROOT_MOUNT: i16 = 32;
    const WORK: i16 = -40;
    const SPARE: i16 = WORK - 8;
    let [step, whole] = [(); 2].map(|()| g.a.label());
    g.a.function(entry);
    g.a.store(Size::D, FP, WORK + DENTRY, R1);
    g.a.store(Size::D, FP, WORK + MOUNT, R2);
    g.a.store(Size::D, FP, WORK + NAMES, R3);
    g.a.mov(R8, R3);
    g.a.mov(R9, R4);
    g.read(R9, R9, g.l.task_fs, SPARE);
    g.read(R1, R9, g.l.fs_root + g.l.path_dentry, SPARE);
    g.a.store(Size::D, FP, WORK + ROOT, R1);
    g.read(R1, R9, g.l.fs_root + g.l.path_mnt, SPARE);
    g.a.store(Size::D, FP, WORK + ROOT_MOUNT, R1);
    g.a.store(Size::D, R8, -8, 0);
    g.repeat(STEPS, step, WORK);
    // The number of steps: with all of them the root was not reached.
    g.a.jump_if(If::Lt, R0, STEPS, whole);
    flag_end(g, NAMES_CUT);
    g.a.bind(whole);
    g.a.mov(R0, 0);
    g.a.exit();

    // `step(index, work)`: one name, or one mount point. 1: that was the last.
    const STEP_SPARE: i16 = -8;
    let [inside, same, done, cut, pseudo] = [(); 5].map(|()| g.a.label());
    g.a.function(step);
    g.a.mov(R9, R2);
    g.a.load(Size::D, R6, R9, DENTRY);
    g.a.load(Size::D, R7, R9, MOUNT);
    g.a.load(Size::D, R8, R9, NAMES);
    g.a.load(Size::D, R1, R9, ROOT);
    g.a.jump_if(If::Ne, R6, R1, inside);
    g.a.load(Size::D, R1, R9, ROOT_MOUNT);
    g.a.jump_if(If::Eq, R7, R1, done);
    g.a.bind(inside);
    g.read(R1, R7, g.l.vfsmount_root, STEP_SPARE);
    g.a.jump_if(If::Ne, R6, R1, same);
    // The root of a mount: on at its mount point. `struct mount` lies around `struct vfsmount`.
    g.read(R1, R7, g.l.mount_parent - g.l.mount_mnt, STEP_SPARE);
    g.a.add(R1, i32::from(g.l.mount_mnt));
    g.a.jump_if(If::Eq, R1, R7, done);
    g.a.store(Size::D, R9, MOUNT, R1);
    g.read(R1, R7, g.l.mount_mountpoint - g.l.mount_mnt, STEP_SPARE);
    g.a.store(Size::D, R9, DENTRY, R1);
    g.a.mov(R0, 0);
    g.a.exit();

    g.a.bind(same);
    g.read(R1, R6, g.l.dentry_parent, STEP_SPARE);
    g.a.store(Size::D, R9, DENTRY, R1);
    g.read(R3, R6, g.l.dentry_name, STEP_SPARE);
    g.a.load(Size::D, R7, R8, -8);
    g.a.jump_if(If::Gt, R7, NAMES_STOP, cut);
    g.a.mov(R1, R8);
    g.a.add(R1, R7);
    g.a.mov(R2, 256);
    g.a.call(helper::PROBE_READ_KERNEL_STR);
    g.a.jump_if(If::LtSigned, R0, 0, cut);
    g.a.add(R7, R0);
    g.a.store(Size::D, R8, -8, R7);
    // Its own parent, and no mount's root: it lies in no tree.
    g.a.load(Size::D, R1, R9, DENTRY);
    g.a.jump_if(If::Eq, R1, R6, pseudo);
    g.a.mov(R0, 0);
    g.a.exit();

    g.a.bind(pseudo);
    flag_end(g, NAMES_PSEUDO);
    g.a.jump(done);
    g.a.bind(cut);
    flag_end(g, NAMES_CUT);
    g.a.bind(done);
    g.a.mov(R0, 1);
    g.a.exit();
}

/// A flag into the word before the names (R8); loses R1.
fn flag_end(g: &mut Gen<'_>, flag: i32) {
    g.a.load(Size::D, R1, R8, -8);
    g.a.alu(e::OR, R1, flag);
    g.a.store(Size::D, R8, -8, R1);
}
