//! What passes through us: the guest's output, our terminal's input, signals.

use std::os::fd::AsFd;

use rustix::event::epoll::{self, EventData, EventFlags};
use tipstaff_report::{Cause, Event, Limit};
use tipstaff_sys::signal;

use super::{Session, token};
use crate::relay::{Moved, Relay};
use crate::terminal;

impl Session {
    pub(super) fn take_signals(&mut self) {
        const SIGINT: i32 = 2;
        const SIGWINCH: i32 = 28;
        let Some(fd) = &self.options.signals else { return };
        let mut numbers = Vec::new();
        while let Some(number) = signal::next(fd.as_fd()) {
            numbers.push(number);
        }
        for number in numbers {
            match number {
                SIGWINCH => {
                    if let Some((from, to)) = &self.input {
                        terminal::copy_size(from.as_fd(), to.as_fd());
                    } else {
                        self.signal(number);
                    }
                }
                SIGINT => {
                    self.interrupts += 1;
                    if self.interrupts >= 2 { self.kill(Cause::User) } else { self.signal(number) }
                }
                other => self.signal(other),
            }
        }
    }

    /// Our terminal's input to the guest's. Both are terminals: a read gives at most one line or what was typed.
    pub(super) fn feed(&mut self) {
        let Some((from, to)) = &self.input else { return };
        let mut bytes = [0u8; 1024];
        match rustix::io::read(from, &mut bytes) {
            Ok(n) if n > 0 => {
                let mut rest = &bytes[..n];
                while !rest.is_empty() {
                    match rustix::io::write(to, rest) {
                        Ok(n) => rest = &rest[n..],
                        Err(rustix::io::Errno::INTR) => {}
                        // A full terminal drops what is typed, as a full line buffer does.
                        Err(_) => break,
                    }
                }
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            // Our side hung up: end of file for the guest (VEOF is 4 unless it changed that).
            _ => {
                let _ = rustix::io::write(to, b"\x04");
                let _ = epoll::delete(&self.epoll, from);
            }
        }
    }

    pub(super) fn relay(&mut self, index: usize) {
        if matches!(self.cause, Some((Cause::Output, _))) {
            // The budget is used up; the rest is dropped at the end.
            if let Some(source) = self.options.relays.get(index).and_then(Relay::source) {
                let _ = epoll::delete(&self.epoll, source);
            }
            return;
        }
        let limit = self.limits.output;
        let Some(relay) = self.options.relays.get_mut(index) else { return };
        let moved = relay.pump(&mut self.counted_output, limit);
        let stalled = relay.is_stalled();
        match moved {
            Moved::Over => self.output_over(),
            Moved::Ended | Moved::Some | Moved::More => {}
        }
        if stalled {
            self.watch_target(index);
        }
    }

    /// The reader is slow: wait until it takes more instead of reading on.
    pub(super) fn watch_target(&mut self, index: usize) {
        let Some(relay) = self.options.relays.get(index) else { return };
        let data = EventData::new_u64(token::RELAY + index as u64);
        self.parked[index] = true;
        if let Some(source) = relay.source() {
            let _ = epoll::delete(&self.epoll, source);
        }
        if let Some(target) = relay.target()
            && epoll::add(&self.epoll, target, data, EventFlags::OUT | EventFlags::ONESHOT).is_err()
        {
            // Already watched (both streams may go to one file), or a regular file: it takes everything at once.
            let again = epoll::modify(&self.epoll, target, data, EventFlags::OUT | EventFlags::ONESHOT);
            if let (Err(_), Some(source)) = (again, relay.source()) {
                let _ = epoll::add(&self.epoll, source, data, EventFlags::IN);
            }
        }
    }

    fn output_over(&mut self) {
        let at = self.elapsed();
        if let Some(limit) = self.limits.output {
            self.event(Event::new(Limit::Output, limit, Some(self.counted_output + 1), at));
        }
        self.kill(Cause::Output);
    }

    /// Relays whose reader has taken more come back to their source.
    pub(super) fn unpark(&mut self) {
        for (index, relay) in self.options.relays.iter().enumerate() {
            if self.parked[index]
                && let (false, Some(source), None) = (relay.is_stalled(), relay.source(), self.cause)
            {
                let data = EventData::new_u64(token::RELAY + index as u64);
                let _ = epoll::add(&self.epoll, source, data, EventFlags::IN);
                self.parked[index] = false;
            }
        }
    }
}
