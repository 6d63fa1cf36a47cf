//! What takes events.

use std::io;

use crate::Event;

/// Takes the events of a trace, in the order in which they happened.
///
/// An error is one of writing; the sink is not asked again after it.
pub trait Sink {
    /// Takes one event.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// The trace is over: writes what is left. Nothing else is called afterwards.
    fn finish(&mut self) -> io::Result<()>;

    /// Nothing has happened for a while: brings out what is kept back to be written in large pieces. Writers that write at the end only do nothing.
    fn pause(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Whether [`What::Entered`](crate::What::Entered) is of use here. A tracer need not send it to a sink that says no, and a sink that says no
    /// passes over it.
    fn wants_entries(&self) -> bool {
        false
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        (**self).event(event)
    }

    fn finish(&mut self) -> io::Result<()> {
        (**self).finish()
    }

    fn pause(&mut self) -> io::Result<()> {
        (**self).pause()
    }

    fn wants_entries(&self) -> bool {
        (**self).wants_entries()
    }
}

/// Several sinks of one trace. The first error ends the event; [`Sink::finish`] reaches each of them all the same, and gives the first error.
impl<S: Sink> Sink for Vec<S> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.iter_mut().try_for_each(|sink| sink.event(event))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.iter_mut().map(Sink::finish).fold(Ok(()), Result::and)
    }

    fn pause(&mut self) -> io::Result<()> {
        self.iter_mut().try_for_each(Sink::pause)
    }

    fn wants_entries(&self) -> bool {
        self.iter().any(Sink::wants_entries)
    }
}
