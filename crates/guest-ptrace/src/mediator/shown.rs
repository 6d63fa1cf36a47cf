//! Files of proc(5) that would tell of our tracer, and not of the guest's.
//!
//! A guest opens what it wants, and the kernel decides whether it may. Then the file is looked at, not the path: if it is one that tells of a task of this
//! box what a guest should see otherwise, the thread is made to exchange it for a memory file with the right text (memfd_create(2), dup3(2), close(2)).
//! That text follows what becomes of the task, for whoever keeps the file open and reads it again.

use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{PROC_SUPER_MAGIC, fcntl_get_seals, fstatfs};
use tipstaff_sys::process_vm;
use tipstaff_trace::seam::{Engine, Stopping};
use tipstaff_trace::{Call, Resume, Tracer};

use super::script::Next;
use super::{Mediator, Todo};
use crate::descriptor::copy_of;
use crate::proc::{File, State};

/// Documentation/admin-guide/LSM/Yama.rst.
const YAMA: &[u8] = b"/proc/sys/kernel/yama/ptrace_scope";
/// PATH_MAX.
const LONGEST: usize = 4096;
const O_CLOEXEC: u64 = 0o2_000_000;
const MFD_CLOEXEC: u64 = 1;
/// Files that are kept up to date; of more the oldest ones stay as they are.
const WINDOWS: usize = 64;

/// An open whose return is to be seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    cloexec: bool,
    /// It is Yama's file, which need not be there.
    yama: bool,
}

/// A file on its way to a guest.
#[derive(Debug)]
pub(crate) struct Showing {
    cloexec: bool,
    text: String,
    /// In the place of which file; None: of none.
    instead: Option<Instead>,
    step: Step,
}

/// The file that a guest has opened.
#[derive(Debug)]
struct Instead {
    fd: i32,
    file: File,
    target: i32,
    source: fs::File,
}

#[derive(Debug)]
enum Step {
    /// memfd_create(2).
    Made,
    /// dup3(2), of this one.
    Exchanged(i32),
    /// close(2).
    Closed,
}

/// A file that a guest has open, and what it shows.
#[derive(Debug)]
pub(crate) struct Window {
    file: File,
    target: i32,
    /// Who sees it, and at which descriptor.
    viewer: (i32, i32),
    source: fs::File,
    copy: fs::File,
}

/// A call that opens a file, by its arguments: the path, and the flags (openat2(2): where they are).
pub(crate) enum Opens {
    Flags(u64, u64),
    How(u64, u64),
}

impl Mediator {
    pub(super) fn opens(&self, call: &Call) -> Option<Opens> {
        let [first, second, third, ..] = call.args;
        match call.number {
            number if number == self.numbers.openat => Some(Opens::Flags(second, third)),
            number if number == self.numbers.open => Some(Opens::Flags(first, second)),
            number if number == self.numbers.openat2 => Some(Opens::How(second, third)),
            _ => None,
        }
    }

    /// Whether the return of this open is to be seen, and whether its descriptor is O_CLOEXEC. By the name alone, which costs little: what was opened is
    /// looked at afterwards.
    pub(super) fn watches(&mut self, tid: i32, opens: &Opens) -> Option<Opening> {
        let (Opens::Flags(path, _) | Opens::How(path, _)) = *opens;
        let path = string(tid, path)?;
        let yama = self.scope.is_some() && path == YAMA;
        let differs = yama
            || match File::named(&path)? {
                File::Status => self.names.depth(tid) == 1 || self.machine.tracees().next().is_some(),
                File::Stat | File::Channel => false,
            };
        if !differs && self.still.is_empty() {
            return None;
        }
        let flags = match *opens {
            Opens::Flags(_, flags) => flags,
            Opens::How(_, how) => {
                let mut bytes = [0; 8];
                crate::moves::read(tid, how, &mut bytes).ok()?;
                u64::from_ne_bytes(bytes)
            }
        };
        Some(Opening { cloexec: flags & O_CLOEXEC != 0, yama })
    }

    /// A guest has opened a file that may be one of those. It is held at the return of its call.
    pub(crate) fn opened(
        &mut self,
        tid: i32,
        value: i64,
        Opening { cloexec, yama }: Opening,
        tracer: &mut Tracer,
        engine: &dyn Engine,
    ) {
        let showing = match i32::try_from(value).ok().filter(|fd| *fd >= 0) {
            None if yama => {
                self.scope.map(|scope| Showing { cloexec, text: format!("{scope}\n"), instead: None, step: Step::Made })
            }
            Some(fd) if !yama => self.look_at(tid, fd, cloexec, tracer),
            _ => None,
        };
        tracer.settle(tid, |task, stop| {
            let stopping = Stopping { task, awaited: engine.awaits(tid) };
            if let Some(showing) = showing {
                // Whatever the program has at its path is as good a name as any.
                let path = stop.registers().map_or(0, |registers| registers.arg(self.arch, self.path_arg(&registers)));
                let flags = if showing.cloexec || showing.instead.is_some() { MFD_CLOEXEC } else { 0 };
                let first = Next::Call(self.numbers.memfd_create.cast_signed(), [path, flags, 0, 0]);
                if let Some(resume) = self.play(tid, stop, showing, first) {
                    return resume;
                }
            }
            self.exit(stopping, stop, value, Resume::Free)
        });
    }

    fn path_arg(&self, registers: &tipstaff_trace::Registers) -> usize {
        usize::from(registers.number() != self.numbers.open.cast_signed())
    }

    fn look_at(&mut self, tid: i32, fd: i32, cloexec: bool, tracer: &Tracer) -> Option<Showing> {
        // What it is comes first: to open a pipe of that name would wait for ever, and the descriptor may be another file's by then.
        let theirs = copy_of(tid, tracer.tasks().get(tid)?.process(), fd).ok()?;
        if fstatfs(&theirs).ok()?.f_type != PROC_SUPER_MAGIC {
            return None;
        }
        let at = format!("/proc/self/fd/{}", theirs.as_raw_fd());
        let path = fs::read_link(&at).ok()?;
        let (file, number) = File::subject(path.as_os_str().as_bytes())?;
        let target = self.names.find(tid, number, tracer.tasks().iter().map(tipstaff_trace::Task::tid))?;
        let source = fs::File::open(&at).ok()?;
        let text = self.text(tid, file, target, &source)?;
        Some(Showing { cloexec, text, instead: Some(Instead { fd, file, target, source }), step: Step::Made })
    }

    /// What a guest is to read, where that is something else than it would.
    fn text(&mut self, viewer: i32, file: File, target: i32, source: &fs::File) -> Option<String> {
        let mut text = String::new();
        let mut rest = source;
        std::io::Seek::rewind(&mut rest).ok()?;
        rest.read_to_string(&mut text).ok()?;
        let (tracer, state) = self.truth(viewer, target);
        file.told(&text, tracer, state)
    }

    /// Who traces a task, as the viewer calls him, and its state.
    fn truth(&mut self, viewer: i32, target: i32) -> (i32, State) {
        let tracee = self.machine.tracee(target).map(|tracee| (tracee.tracer, tracee.stop.is_some()));
        let tracer = tracee.map_or(0, |(tracer, _)| self.names.seen(viewer, tracer));
        let state = match tracee {
            Some((_, true)) => State::True,
            _ if self.still.contains(&target) => State::Stopped,
            _ => State::Running,
        };
        (tracer, state)
    }

    /// The thread has made a call in our name.
    pub(super) fn showing(&mut self, (tid, process): (i32, i32), job: &mut Showing, value: i64) -> Next {
        let descriptor = i32::try_from(value).ok().filter(|value| *value >= 0);
        match (std::mem::replace(&mut job.step, Step::Closed), descriptor) {
            (Step::Made, Some(made)) => {
                // Another thread may have put another file there: the guest's own right to write is all there is, and only memory files are written to.
                let copy = copy_of(tid, process, made).map(fs::File::from).ok();
                let copy = copy.filter(|copy| is_memory(copy) && copy.write_all_at(job.text.as_bytes(), 0).is_ok());
                let Some(copy) = copy else { return self.close(made) };
                let Some(Instead { fd, file, target, source }) = job.instead.take() else {
                    return Next::Done(Some(value));
                };
                if self.windows.len() == WINDOWS {
                    self.windows.retain(Window::is_open);
                }
                if self.windows.len() == WINDOWS {
                    self.windows.pop_front();
                }
                self.windows.push_back(Window { file, target, viewer: (tid, fd), source, copy });
                job.step = Step::Exchanged(made);
                let flags = if job.cloexec { O_CLOEXEC } else { 0 };
                let [from, to] = [made, fd].map(|fd| u64::from(fd.cast_unsigned()));
                Next::Call(self.numbers.dup3.cast_signed(), [from, to, flags, 0])
            }
            (Step::Exchanged(made), _) => self.close(made),
            _ => Next::Done(None),
        }
    }

    fn close(&self, fd: i32) -> Next {
        Next::Call(self.numbers.close.cast_signed(), [fd.cast_unsigned().into(), 0, 0, 0])
    }

    /// Something has become of a task: who keeps such a file of it open is to read that.
    pub(crate) fn refresh(&mut self, target: i32) {
        if !self.windows.iter().any(|window| window.target == target) {
            return;
        }
        for window in std::mem::take(&mut self.windows) {
            if window.target == target {
                if !window.is_open() {
                    continue;
                }
                self.rewrite(&window);
            }
            self.windows.push_back(window);
        }
    }

    fn rewrite(&mut self, window: &Window) {
        let mut text = String::new();
        let mut source = &window.source;
        // A task that is gone has nothing to tell, and what was told stays.
        if std::io::Seek::rewind(&mut source).is_err() || source.read_to_string(&mut text).is_err() {
            return;
        }
        let (tracer, state) = self.truth(window.viewer.0, window.target);
        let text = window.file.told(&text, tracer, state).unwrap_or(text);
        let _ = window.copy.write_all_at(text.as_bytes(), 0);
        let _ = window.copy.set_len(text.len() as u64);
    }

    /// An open returns: it is held, if it is one to look at.
    pub(super) fn open_returned(&mut self, tid: i32, value: i64) -> bool {
        let Some(opening) = self.opening.remove(&tid) else { return false };
        let looks = value >= 0 || opening.yama && value == -i64::from(tipstaff_abi::errno::ENOENT);
        if looks {
            self.todo.push_back(Todo::Opened(tid, value, opening));
        }
        looks
    }
}

impl Window {
    /// Whether its viewer has it still, at that number.
    fn is_open(&self) -> bool {
        let (viewer, fd) = self.viewer;
        let is = |there: fs::Metadata| {
            self.copy.metadata().is_ok_and(|copy| (copy.dev(), copy.ino()) == (there.dev(), there.ino()))
        };
        fs::metadata(format!("/proc/{viewer}/fd/{fd}")).is_ok_and(is)
    }
}

/// As memfd_create(2) makes them: nobody has a name for it.
fn is_memory(file: &fs::File) -> bool {
    let nameless = file.metadata().is_ok_and(|meta| meta.is_file() && meta.nlink() == 0);
    nameless && fcntl_get_seals(file).is_ok()
}

/// A C string of a guest's.
fn string(tid: i32, address: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    // Names of interest are short.
    let mut piece = 128;
    while bytes.len() < LONGEST {
        let at = address.checked_add(bytes.len() as u64)?;
        let start = bytes.len();
        bytes.resize(start + piece.min((4096 - at % 4096) as usize), 0);
        let got = process_vm::read(tid, at, &mut bytes[start..]).ok()?;
        bytes.truncate(start + got);
        if let Some(end) = bytes[start..].iter().position(|&byte| byte == 0) {
            bytes.truncate(start + end);
            return Some(bytes);
        }
        if got == 0 {
            return None;
        }
        piece = LONGEST;
    }
    None
}
