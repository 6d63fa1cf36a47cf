//! The guest's standard streams.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex};

use rustix::pipe::{PipeFlags, pipe_with};
use tipstaff_launch::Wiring;
use tipstaff_supervise::{Captured, Relay, Sink};

use crate::stdio::Kind;

/// The guest's standard streams while they are put together.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    pub wiring: Vec<Wiring>,
    pub relays: Vec<Relay>,
    pub captured: [Option<Captured>; 2],
    pub ends: [Option<File>; 3],
    pub terminal: Option<(OwnedFd, OwnedFd)>,
}

pub(crate) fn ours(target: usize) -> io::Result<OwnedFd> {
    let fd = match target {
        0 => rustix::stdio::stdin().try_clone_to_owned(),
        1 => rustix::stdio::stdout().try_clone_to_owned(),
        _ => rustix::stdio::stderr().try_clone_to_owned(),
    };
    // Closed on our side: the guest gets something that it can use all the same.
    fd.or_else(|_| null(target))
}

/// An open directory would lead out of the box, past every mount: `/proc/self/fd/0/etc/shadow`.
fn no_directory(fd: &OwnedFd, target: usize) -> io::Result<()> {
    use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
    let directory = FileType::from_raw_mode(fstat(fd)?.st_mode) == FileType::Directory;
    if directory || fcntl_getfl(fd)?.contains(OFlags::PATH) {
        let name = ["input", "output", "error"][target.min(2)];
        let text = format!("standard {name} is a directory, which would lead out of the box; redirect it from a file");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(())
}

/// Whoever has a file open for reading can open it again for writing through /proc/self/fd (proc(5)): by the mount that it was opened on, which
/// is the host's. Landlock's rules go with the file (since Linux 5.13), so where it holds, that is refused; where it does not, nobody refuses it.
pub(crate) fn no_second_opening(fd: &OwnedFd) -> io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, FileType, OFlags, accessat, fcntl_getfl, fstat};
    use rustix::io::Errno;
    let kind = FileType::from_raw_mode(fstat(fd)?.st_mode);
    let stored = matches!(kind, FileType::RegularFile | FileType::BlockDevice);
    if !stored || fcntl_getfl(fd)? & OFlags::ACCMODE != OFlags::RDONLY {
        return Ok(());
    }
    match accessat(CWD, format!("/proc/self/fd/{}", fd.as_raw_fd()), Access::WRITE_OK, AtFlags::EACCESS) {
        Err(Errno::ACCESS | Errno::ROFS | Errno::PERM) => Ok(()),
        _ => {
            let text = "standard input is a file that the program could open again for writing, since the kernel has no Landlock; \
                        hand it in through a pipe (cat FILE | …), or say --best-effort";
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

fn null(target: usize) -> io::Result<OwnedFd> {
    let file = if target == 0 { File::open("/dev/null") } else { File::options().write(true).open("/dev/null") };
    file.map(OwnedFd::from)
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

impl Wires {
    fn wire(&mut self, source: OwnedFd, target: usize) {
        self.wiring.push(Wiring { source, target: target as i32 });
    }

    fn relay(&mut self, target: usize, to: Sink) -> io::Result<()> {
        let (read, write) = pipe()?;
        self.wire(write, target);
        self.relays.push(Relay::new(read, to)?);
        Ok(())
    }

    /// `counted`: an output limit is set, so output passes through us.
    pub fn stream(&mut self, target: usize, kind: Kind, counted: bool) -> io::Result<()> {
        let kind = match kind {
            Kind::Inherit => Kind::Fd(ours(target)?),
            other => other,
        };
        if let Kind::Fd(fd) = &kind {
            no_directory(fd, target)?;
        }
        let output = target != 0;
        match kind {
            Kind::Capture if output => {
                let memory: Captured = Arc::new(Mutex::new(Vec::new()));
                self.captured[target - 1] = Some(Arc::clone(&memory));
                self.relay(target, Sink::Memory(memory))
            }
            Kind::Piped => {
                let (read, write) = pipe()?;
                if !output {
                    self.ends[0] = Some(File::from(write));
                    self.wire(read, 0);
                    return Ok(());
                }
                self.ends[target] = Some(File::from(read));
                if counted {
                    return self.relay(target, Sink::Fd(write));
                }
                self.wire(write, target);
                Ok(())
            }
            Kind::Fd(fd) if output && counted => self.relay(target, Sink::Fd(fd)),
            Kind::Null if output && counted => self.relay(target, Sink::Nowhere),
            Kind::Fd(fd) => {
                self.wire(fd, target);
                Ok(())
            }
            Kind::Null | Kind::Capture | Kind::Inherit => {
                let fd = null(target)?;
                self.wire(fd, target);
                Ok(())
            }
        }
    }
}
