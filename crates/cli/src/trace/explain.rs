//! `--why`: what the explanation needs beyond the events, and where it goes.

use std::io::{self, Write};

use tipstaff_decode::{Call, World};
use tipstaff_render::{Event, Sink, What, Why};

use crate::say;

/// Bytes of a message to standard error that are looked at.
const MESSAGE: usize = 512;
const STDERR: u32 = 2;

/// Watches the events for the explanation, and prints it at the end.
pub struct Explain(Why<Notes>);

impl Explain {
    pub fn new() -> Self {
        Self(Why::new(Notes::default()))
    }

    /// Takes one event.
    pub fn event(&mut self, event: &Event) {
        // It writes nothing before its end.
        let _ = self.0.event(event);
    }

    /// Prints the explanation.
    pub fn finish(&mut self) {
        let _ = self.0.finish();
    }

    /// The same event with more of the message, if this is one: `-s` is made for eyes.
    pub fn longer(event: &Event, world: &World<'_>) -> Option<Event> {
        let What::Returned { call, took_ns } = &event.what else { return None };
        let message = matches!(&*call.name, "write" | "writev" | "sendto" | "sendmsg") && call.raw[0] as u32 == STDERR;
        if !message || world.string_limit >= MESSAGE {
            return None;
        }
        let Call { arch, number, raw, .. } = *call;
        let mut longer = tipstaff_decode::enter(arch, number, raw, &World { string_limit: MESSAGE, ..*world });
        longer.returned = call.returned.clone();
        Some(Event { what: What::Returned { call: longer, took_ns: *took_ns }, ..*event })
    }
}

/// Lines for standard error, each with our name in front.
#[derive(Default)]
struct Notes(Vec<u8>);

impl Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        String::from_utf8_lossy(&std::mem::take(&mut self.0)).lines().for_each(say::note);
        Ok(())
    }
}
