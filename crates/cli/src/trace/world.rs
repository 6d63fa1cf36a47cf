//! What decoding asks of a tracee, answered by its stop.

use std::os::unix::ffi::OsStringExt;

use tipstaff_decode::{Files, Memory};
use tipstaff_trace::Address;

/// The memory of a stopped tracee.
pub struct TraceeMemory<'stop>(pub tipstaff_trace::Memory<'stop>);

impl Memory for TraceeMemory<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        self.0.read(Address(address), into)
    }
}

/// The descriptors of a thread, by its id: proc_pid_fd(5).
pub struct TraceeFiles(pub i32);

impl Files for TraceeFiles {
    fn path(&self, fd: i32) -> Option<Vec<u8>> {
        let target = std::fs::read_link(format!("/proc/{}/fd/{fd}", self.0)).ok()?;
        Some(target.into_os_string().into_vec())
    }
}

/// The program that a process runs, and its arguments, as the kernel has them after an exec: proc_pid_exe(5), proc_pid_cmdline(5).
pub fn program(pid: i32) -> (Vec<u8>, Vec<Vec<u8>>) {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).map(|path| path.into_os_string().into_vec());
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    (path.unwrap_or_default(), line.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect())
}
