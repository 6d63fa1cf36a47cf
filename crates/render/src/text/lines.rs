//! Lines as they grow: prefix, columns, and the pieces of a call whose line is cut.

use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;

use tipstaff_decode::{Arg, Call, Value};

use super::number::{decimal, padded};
use super::options::{Stamp, TaskPrefix, TextOptions};
use super::style::{Kind, Styles};
use super::value;

/// Bytes that are collected before they are written.
const PIECE: usize = 64 << 10;

/// A call whose line was begun at its entry.
#[derive(Debug)]
pub(super) struct Begun {
    /// The call's name, for the line that takes it up again.
    name: Cow<'static, str>,
    /// How many arguments were printed.
    printed: usize,
    /// The first of them that the kernel may change; `printed` for none.
    loose: usize,
    /// What was printed from there on, as it stood.
    state: Loose,
}

impl Begun {
    /// Whether a call that returns is the one that was begun.
    pub(super) fn is_of(&self, call: &Call) -> bool {
        self.name == call.name
    }
}

/// The arguments that were printed at the entry and are others at the return.
pub(super) type Changed = Option<Range<usize>>;

/// Where the arguments stand that may still change.
#[derive(Debug)]
enum Loose {
    /// From this place of the buffer on; they can still be replaced.
    Buffered(usize),
    /// They are out, and this is what they were.
    Out(Vec<u8>),
}

/// The output, and the line at its end.
#[derive(Debug)]
pub(super) struct Lines<W: Write> {
    to: W,
    options: TextOptions,
    styles: Styles,
    buffer: Vec<u8>,
    /// Where the last line begins in the buffer.
    line: usize,
    /// How many bytes of the last line are out already.
    line_out: usize,
    /// Bytes of the line that take no room on the screen.
    unseen: usize,
    /// When the line before began.
    before_ns: Option<u64>,
    /// When the buffer was brought out, by the events' clock.
    out_ns: u64,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(to: W, options: TextOptions) -> Self {
        let styles = Styles::new(options.colour);
        let buffer = Vec::with_capacity(PIECE + PIECE / 4);
        Self { to, options, styles, buffer, line: 0, line_out: 0, unseen: 0, before_ns: None, out_ns: 0 }
    }

    pub(super) fn options(&self) -> &TextOptions {
        &self.options
    }

    /// Begins a line: task and time.
    pub(super) fn begin(&mut self, tid: i32, at_ns: u64, several: bool) {
        self.line = self.buffer.len();
        self.line_out = 0;
        self.unseen = 0;
        match self.options.task {
            TaskPrefix::Always => {
                let start = self.buffer.len();
                decimal(&mut self.buffer, tid);
                // Ids up to five digits stand in a column, as strace has them.
                let end = self.buffer.len().max(start + 5);
                self.buffer.resize(end, b' ');
                self.buffer.push(b' ');
            }
            TaskPrefix::WhenSeveral if several => {
                self.styled(Kind::Dim, |out| {
                    out.extend_from_slice(b"[pid ");
                    let mut digits = itoa::Buffer::new();
                    let digits = digits.format(tid).as_bytes();
                    out.resize(out.len() + 5usize.saturating_sub(digits.len()), b' ');
                    out.extend_from_slice(digits);
                    out.push(b']');
                });
                self.buffer.push(b' ');
            }
            TaskPrefix::WhenSeveral | TaskPrefix::Never => {}
        }
        if self.options.stamp != Stamp::None {
            self.stamp(at_ns);
        }
        self.before_ns = Some(at_ns);
    }

    fn stamp(&mut self, at_ns: u64) {
        let clock = self.options.clock;
        let before_ns = self.before_ns.unwrap_or(at_ns);
        let stamp = self.options.stamp;
        let unix_us = clock.began_unix_ns.saturating_add(at_ns) / 1000;
        self.styled(Kind::Dim, |out| match stamp {
            Stamp::None => {}
            Stamp::Seconds | Stamp::Microseconds => {
                let day = (unix_us / 1_000_000).saturating_add_signed(i64::from(clock.utc_offset_s)) % 86_400;
                padded(out, day / 3600, 2);
                out.push(b':');
                padded(out, day / 60 % 60, 2);
                out.push(b':');
                padded(out, day % 60, 2);
                if stamp == Stamp::Microseconds {
                    out.push(b'.');
                    padded(out, unix_us % 1_000_000, 6);
                }
            }
            Stamp::Unix => seconds(out, unix_us, 0),
            // A line may begin before the one above it: a call that was told only when it returned.
            Stamp::Relative => seconds(out, at_ns.saturating_sub(before_ns) / 1000, 6),
        });
        self.buffer.push(b' ');
    }

    /// Appends a piece in colour.
    pub(super) fn styled(&mut self, kind: Kind, print: impl FnOnce(&mut Vec<u8>)) {
        self.unseen += self.styles.wrap(&mut self.buffer, kind, print);
    }

    pub(super) fn end(&mut self) {
        self.buffer.push(b'\n');
    }

    /// A call at its entry: its name, and the arguments up to the first that the kernel will fill in.
    pub(super) fn call_begins(&mut self, call: &Call) -> Begun {
        self.name(call);
        let fills = !fills_nothing(&call.name);
        let out = |arg: &Arg| fills && matches!(arg.value, Value::Address(1..));
        let printed = call.args.iter().position(out).unwrap_or(call.args.len());
        let loose = call.args[..printed].iter().position(may_change).unwrap_or(printed);
        self.args(call, 0, loose);
        let place = self.buffer.len();
        self.args(call, loose, printed);
        Begun { name: call.name.clone(), printed, loose, state: Loose::Buffered(place) }
    }

    /// The same call at its return, nothing having come in between.
    pub(super) fn call_goes_on(&mut self, call: &Call, begun: &Begun) -> Changed {
        if let Loose::Buffered(place) = begun.state {
            self.buffer.truncate(place);
            self.args(call, begun.loose, call.args.len());
            return None;
        }
        self.rest(call, begun)
    }

    /// The same call at its return, its line having been cut.
    pub(super) fn call_resumes(&mut self, call: &Call, begun: &Begun) -> Changed {
        self.resume(begun);
        self.rest(call, begun)
    }

    /// A call that nothing was printed of.
    pub(super) fn call_whole(&mut self, call: &Call) -> Changed {
        self.name(call);
        self.args(call, 0, call.args.len());
        None
    }

    /// The result. Arguments that were other ones at the entry are told behind it.
    pub(super) fn call_ends(&mut self, call: &Call, took_ns: u64, changed: Changed) {
        self.buffer.extend_from_slice(b") ");
        self.align();
        let failed = call.returned.as_ref().is_some_and(|returned| returned.errno.is_some());
        self.buffer.extend_from_slice(b"= ");
        if failed {
            self.styled(Kind::Failure, |out| value::put_result(out, call.returned.as_ref()));
        } else {
            value::put_result(&mut self.buffer, call.returned.as_ref());
        }
        if let Some(changed) = changed {
            self.buffer.extend_from_slice(b" (");
            for (index, arg) in call.args[changed].iter().filter(|arg| may_change(arg)).enumerate() {
                if index > 0 {
                    self.buffer.extend_from_slice(b", ");
                }
                value::put(&mut self.buffer, &arg.value, self.options.whole);
            }
            self.buffer.push(b')');
        }
        if self.options.durations && call.returned.is_some() {
            self.buffer.push(b' ');
            self.styled(Kind::Dim, |out| {
                out.push(b'<');
                seconds(out, took_ns / 1000, 0);
                out.push(b'>');
            });
        }
        self.end();
    }

    /// Ends the line of a call that is still running.
    pub(super) fn cut(&mut self, begun: &mut Begun) {
        self.keep(begun);
        self.buffer.extend_from_slice(b" <unfinished ...>");
        self.end();
    }

    /// Ends the line of a call whose end will not be seen.
    pub(super) fn abandon(&mut self) {
        self.buffer.extend_from_slice(b" <detached ...>");
        self.end();
    }

    /// Takes up the line of a call that was cut.
    pub(super) fn resume(&mut self, begun: &Begun) {
        self.buffer.extend_from_slice(b"<... ");
        self.styled(Kind::Name, |out| out.extend_from_slice(begun.name.as_bytes()));
        self.buffer.extend_from_slice(b" resumed>");
    }

    /// Writes what is due; `open` is the call whose line is not at its end.
    pub(super) fn bring_out(&mut self, at_ns: u64, open: Option<&mut Begun>) -> io::Result<()> {
        const SECOND: u64 = 1_000_000_000;
        if self.options.live || self.buffer.len() >= PIECE || at_ns.saturating_sub(self.out_ns) >= SECOND {
            self.out_ns = at_ns;
            return self.flush(open);
        }
        Ok(())
    }

    /// Writes everything; `open` is the call whose line is not at its end.
    pub(super) fn flush(&mut self, open: Option<&mut Begun>) -> io::Result<()> {
        if let Some(begun) = open {
            self.keep(begun);
        }
        self.to.write_all(&self.buffer)?;
        self.to.flush()?;
        self.line_out += self.buffer.len().saturating_sub(self.line);
        self.line = 0;
        self.buffer.clear();
        Ok(())
    }

    /// What is still in the buffer of the arguments that may change, before it goes out.
    fn keep(&mut self, begun: &mut Begun) {
        if let Loose::Buffered(place) = begun.state {
            begun.state = Loose::Out(self.buffer[place..].to_vec());
        }
    }

    /// The arguments that were not printed at the entry.
    fn rest(&mut self, call: &Call, begun: &Begun) -> Changed {
        let printed = begun.printed.min(call.args.len());
        let loose = begun.loose.min(printed);
        let end = self.buffer.len();
        self.args(call, loose, printed);
        let same = matches!(&begun.state, Loose::Out(before) if self.buffer[end..] == before[..]);
        self.buffer.truncate(end);
        self.args(call, printed, call.args.len());
        (!same).then_some(loose..printed)
    }

    fn name(&mut self, call: &Call) {
        self.styled(Kind::Name, |out| out.extend_from_slice(call.name.as_bytes()));
        self.buffer.push(b'(');
    }

    /// Arguments `from..to` of a call, and the separator if more of them follow.
    fn args(&mut self, call: &Call, from: usize, to: usize) {
        for (index, arg) in call.args.iter().enumerate().take(to).skip(from) {
            value::put(&mut self.buffer, &arg.value, self.options.whole);
            if index + 1 < call.args.len() {
                self.buffer.extend_from_slice(b", ");
            }
        }
    }

    fn align(&mut self) {
        let width = self.line_out + self.buffer.len() - self.line - self.unseen;
        let end = self.buffer.len() + self.options.column.saturating_sub(width);
        self.buffer.resize(end, b' ');
    }
}

/// Whether the kernel may have written to what was given at the entry.
fn may_change(arg: &Arg) -> bool {
    matches!(arg.value, Value::Struct(_) | Value::List { .. })
}

/// Whether the addresses among a call's arguments stay what they are, so that nothing of them is awaited.
fn fills_nothing(name: &str) -> bool {
    matches!(
        name,
        "brk"
            | "execve"
            | "execveat"
            | "futex"
            | "futex_wait"
            | "futex_waitv"
            | "futex_wake"
            | "madvise"
            | "mbind"
            | "mlock"
            | "mlock2"
            | "mmap"
            | "mmap2"
            | "mprotect"
            | "mremap"
            | "msync"
            | "munlock"
            | "munmap"
            | "pkey_mprotect"
            | "process_madvise"
            | "ptrace"
            | "remap_file_pages"
            | "rseq"
            | "set_robust_list"
            | "set_tid_address"
            | "shmat"
            | "shmdt"
    )
}

/// Seconds with microseconds, the whole seconds at least `width` wide.
fn seconds(out: &mut Vec<u8>, us: u64, width: usize) {
    let start = out.len();
    decimal(out, us / 1_000_000);
    let missing = width.saturating_sub(out.len() - start);
    out.splice(start..start, std::iter::repeat_n(b' ', missing));
    out.push(b'.');
    padded(out, us % 1_000_000, 6);
}
