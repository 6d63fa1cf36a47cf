//! capabilities(7): reading our own and emptying a child's.

use crate::raw::{Errno, addr, addr_mut, call};

/// CAP_KILL.
pub const KILL: u32 = 5;
/// CAP_SETGID.
pub const SETGID: u32 = 6;
/// CAP_SETUID.
pub const SETUID: u32 = 7;
/// CAP_SETPCAP.
pub const SETPCAP: u32 = 8;
/// CAP_SYS_PTRACE.
pub const SYS_PTRACE: u32 = 19;
/// CAP_SYS_ADMIN.
pub const SYS_ADMIN: u32 = 21;
/// CAP_PERFMON (Linux 5.8).
pub const PERFMON: u32 = 38;
/// CAP_BPF (Linux 5.8).
pub const BPF: u32 = 39;
/// CAP_SYS_RESOURCE.
pub const SYS_RESOURCE: u32 = 24;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// The effective set of this thread, bit N for capability N.
pub fn effective() -> u64 {
    let header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 reads the header and writes two data elements.
    let done = unsafe { call(libc::SYS_capget, [addr(&header), addr_mut(&mut data), 0, 0, 0, 0]) };
    if done.is_err() {
        return 0;
    }
    u64::from(data[0].effective) | u64::from(data[1].effective) << 32
}

/// Whether the effective set holds a capability.
pub fn has(capability: u32) -> bool {
    effective() >> capability & 1 == 1
}

/// Takes every capability from the calling thread for good; other threads keep theirs (capabilities(7): sets are a thread's own).
pub fn drop_in_this_thread() -> Result<(), Errno> {
    drop_all()
}

/// Empties the ambient set, the bounding set (where CAP_SETPCAP is held) and then effective, permitted and
/// inheritable. Child-safe.
///
/// Without CAP_SETPCAP the bounding set stays as it is: an ordinary user who also has no_new_privs can gain
/// nothing from it, since exec grants no file capabilities then.
pub(crate) fn drop_all() -> Result<(), Errno> {
    // SAFETY: prctl with integers, capset with a version 3 header and two data elements.
    unsafe {
        let _ =
            call(libc::SYS_prctl, [libc::PR_CAP_AMBIENT as usize, libc::PR_CAP_AMBIENT_CLEAR_ALL as usize, 0, 0, 0, 0]);
        for capability in 0..64usize {
            match call(libc::SYS_prctl, [libc::PR_CAPBSET_DROP as usize, capability, 0, 0, 0, 0]) {
                Ok(_) => {}
                // EINVAL: past the last capability of this kernel. EPERM: no CAP_SETPCAP.
                Err(_) => break,
            }
        }
        let header = Header { version: VERSION_3, pid: 0 };
        let data = [Data::default(); 2];
        call(libc::SYS_capset, [addr(&header), addr(&data), 0, 0, 0, 0])?;
    }
    Ok(())
}
