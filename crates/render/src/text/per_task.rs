//! One file for each task.

use std::collections::HashMap;
use std::io::{self, Write};

use super::{Text, TextOptions};
use crate::{Event, Sink, What};

/// Writes each thread's trace to a writer of its own, as `strace -ff -o FILE` does to `FILE.TID`.
///
/// A writer is closed as soon as its thread has ended, so that a long trace does not run out of descriptors. `open` is asked again should the
/// kernel give the id to another thread later: it should append.
#[derive(Debug)]
pub struct PerTask<W: Write, F> {
    open: F,
    options: TextOptions,
    tasks: HashMap<i32, Text<W>>,
}

impl<W: Write, F: FnMut(i32) -> io::Result<W>> PerTask<W, F> {
    /// `open` makes the writer of a thread. The option [`TextOptions::task`] is of no use here.
    pub fn new(options: TextOptions, open: F) -> Self {
        Self { open, options: TextOptions { task: super::TaskPrefix::Never, ..options }, tasks: HashMap::new() }
    }
}

impl<W: Write, F: FnMut(i32) -> io::Result<W>> Sink for PerTask<W, F> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let What::Executed { former_tid, .. } = event.what
            && former_tid != event.tid
            && let Some(mut former) = self.tasks.remove(&former_tid)
        {
            former.finish()?;
        }
        if !self.tasks.contains_key(&event.tid) {
            let text = Text::new((self.open)(event.tid)?, self.options.clone());
            self.tasks.insert(event.tid, text);
        }
        let Some(text) = self.tasks.get_mut(&event.tid) else { return Ok(()) };
        text.event(event)?;
        if matches!(event.what, What::Exited { .. } | What::Killed { .. } | What::Detached) {
            text.finish()?;
            self.tasks.remove(&event.tid);
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.tasks.drain().map(|(_, mut text)| text.finish()).fold(Ok(()), Result::and)
    }

    fn pause(&mut self) -> io::Result<()> {
        self.tasks.values_mut().try_for_each(Sink::pause)
    }

    fn wants_entries(&self) -> bool {
        true
    }
}
