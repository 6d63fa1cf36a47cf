//! setns(2), move_mount(2): a name of a running box, covered by something that nobody can open.
//!
//! Only a process inside a mount namespace can mount there, and only one without other threads can enter a user namespace. So it is done by a
//! process that shares our memory ([`crate::shared`]), for as long as that takes; its caller waits.

use core::ffi::c_void;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::child::mounts;
use crate::raw::{Errno, addr, addr_mut, call, ptr, word};
use crate::shared::{Arena, CloneSpec, clone_vm};
use crate::wait;

const MOVE_MOUNT_F_EMPTY_PATH: usize = 4;
const MOVE_MOUNT_T_EMPTY_PATH: usize = 0x40;
const RESOLVE_NO_MAGICLINKS: u64 = 2;

/// What failed, in words, and why.
pub type Failed = (&'static str, Errno);

const STEPS: [&str; 6] = [
    "start a process",
    "enter the box's user namespace",
    "make what covers it",
    "enter the box's mount namespace",
    "open it in the box",
    "mount over it",
];

struct Job<'a> {
    keeper: i32,
    user: bool,
    path: &'a CString,
    step: AtomicU32,
    errno: AtomicI32,
}

/// Covers `path`, absolute as the box sees it, links followed: a directory by an empty one, anything else by an empty file, both without permissions and
/// read-only. `keeper`: a pidfd of a process in the box's namespaces; `user`: it has a user namespace of its own.
/// What has been opened stays open, and another mount of the same file is not covered.
pub fn mask(keeper: BorrowedFd<'_>, user: bool, path: &CString) -> Result<(), Failed> {
    let arena = Arena::new().map_err(|e| (STEPS[0], e))?;
    let job =
        Job { keeper: keeper.as_raw_fd(), user, path, step: AtomicU32::new(0), errno: AtomicI32::new(libc::ESRCH) };
    let spec = CloneSpec { vfork: true, ..CloneSpec::default() };
    let arg = core::ptr::from_ref(&job).cast_mut().cast::<c_void>();
    // SAFETY: this thread waits for the child's end (CLONE_VFORK, then `reap`), so arena and job outlive it.
    let (_, pidfd) = unsafe { clone_vm(&spec, &arena, 0, main, arg) }.map_err(|e| (STEPS[0], e))?;
    use std::os::fd::AsFd;
    let _ = wait::reap(pidfd.as_fd(), true);
    match job.errno.load(SeqCst) {
        0 => Ok(()),
        errno => Err((STEPS[job.step.load(SeqCst) as usize], Errno(errno))),
    }
}

extern "C" fn main(arg: *mut c_void) -> ! {
    // SAFETY: the job of `mask`, which waits for us.
    let job = unsafe { &*arg.cast::<Job<'_>>() };
    let errno = run(job).err().map_or(0, |e| e.0);
    job.errno.store(errno, SeqCst);
    loop {
        // SAFETY: ends this process alone.
        let _ = unsafe { call(libc::SYS_exit_group, [0; 6]) };
    }
}

fn setns(keeper: i32, kind: i32) -> Result<usize, Errno> {
    // SAFETY: integers.
    unsafe { call(libc::SYS_setns, [word(keeper), kind as usize, 0, 0, 0, 0]) }
}

fn run(job: &Job<'_>) -> Result<(), Errno> {
    job.step.store(1, SeqCst);
    if job.user {
        setns(job.keeper, libc::CLONE_NEWUSER)?;
    }
    job.step.store(2, SeqCst);
    // SAFETY: integers. A copy of our mount namespace, where something can be attached that nobody else sees.
    unsafe { call(libc::SYS_unshare, [libc::CLONE_NEWNS as usize, 0, 0, 0, 0, 0])? };
    mounts::make_private()?;
    let (directory, file) = mounts::covers()?;
    job.step.store(3, SeqCst);
    setns(job.keeper, libc::CLONE_NEWNS)?;
    job.step.store(4, SeqCst);
    // struct open_how: flags, mode, resolve.
    let how = [(libc::O_PATH | libc::O_CLOEXEC) as u64, 0, RESOLVE_NO_MAGICLINKS];
    let (at, size) = (word(libc::AT_FDCWD), size_of_val(&how));
    // SAFETY: a C string and a struct open_how of that size.
    let target = unsafe { call(libc::SYS_openat2, [at, ptr(job.path), addr(&how), size, 0, 0])? };
    // SAFETY: plain data, which the kernel fills.
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: an empty path and a struct stat.
    unsafe {
        let flags = libc::AT_EMPTY_PATH as usize;
        call(libc::SYS_newfstatat, [target, ptr(c""), addr_mut(&mut stat), flags, 0, 0])?;
    }
    let cover = if stat.st_mode & libc::S_IFMT == libc::S_IFDIR { directory } else { file };
    job.step.store(5, SeqCst);
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: two empty paths.
    unsafe { call(libc::SYS_move_mount, [cover, ptr(c""), target, ptr(c""), flags, 0]).map(drop) }
}
