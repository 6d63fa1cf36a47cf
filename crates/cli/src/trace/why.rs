//! `--why`: the call that made a program fail, in words.

use tipstaff_decode::Call;
use tipstaff_render::Event;
use tipstaff_trace::Memory;

/// Collects what speaks for one call or another.
#[derive(Default)]
pub struct Why {}

impl Why {
    /// Takes one event.
    pub fn event(&mut self, _event: &Event) {}

    /// A call has returned: if it wrote to standard error, its words.
    pub fn said(&mut self, _pid: i32, _call: &Call, _memory: &Memory<'_>) {}
}
