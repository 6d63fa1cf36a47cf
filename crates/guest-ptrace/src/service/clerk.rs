//! The thread whose listener a guest has.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use tipstaff_sys::Errno;
use tipstaff_sys::stand_in::{StandIn, listen};

const STACK: usize = 64 << 10;

enum Order {
    Stand(u64, Sender<Result<StandIn, Errno>>),
    /// Whether anybody has the listener still.
    Look(Sender<bool>),
}

/// A thread that is under a filter with a listener, as are the stand-ins that it makes. When it has ended, and they have, poll(2) of the listener says POLLHUP.
#[derive(Debug)]
pub(crate) struct Clerk {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Clerk {
    /// The thread, and its listener.
    pub fn start() -> Result<(Self, OwnedFd), Errno> {
        let (orders, taken) = mpsc::channel();
        let (reply, listener) = mpsc::channel();
        let serve = move || match listen() {
            Ok(fd) => {
                let _ = reply.send(Ok(fd));
                serve(&taken);
            }
            Err(e) => drop(reply.send(Err(e))),
        };
        let thread = thread::Builder::new().name("clerk".into()).stack_size(STACK).spawn(serve)?;
        let listener = listener.recv().unwrap_or(Err(Errno::NOSYS));
        let clerk = Self { orders: Some(orders), thread: Some(thread) };
        listener.map(|fd| (clerk, fd))
    }

    /// A process that waits in the listener. EAGAIN, ENOMEM: there can be no more.
    pub fn stand(&self, ticket: u64) -> Result<StandIn, Errno> {
        self.ask(|reply| Order::Stand(ticket, reply)).unwrap_or(Err(Errno::AGAIN))
    }

    /// Whether anybody has the listener still.
    pub fn is_heard(&self) -> bool {
        self.ask(Order::Look).unwrap_or(false)
    }

    fn ask<T>(&self, order: impl FnOnce(Sender<T>) -> Order) -> Option<T> {
        let (reply, answer) = mpsc::channel();
        self.orders.as_ref()?.send(order(reply)).ok()?;
        answer.recv().ok()
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(orders: &Receiver<Order>) {
    while let Ok(order) = orders.recv() {
        match order {
            Order::Stand(ticket, reply) => drop(reply.send(StandIn::new(ticket))),
            // The kernel takes a second one only where the first is nobody's any more: seccomp(2), EBUSY.
            Order::Look(reply) => drop(reply.send(listen().is_err())),
        }
    }
}
