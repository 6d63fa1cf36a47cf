//! The control socket of a running box: who may ask, what can be asked, and how.
//!
//! ```text
//!  place   a directory of the user's own; for a box NAME the socket `NAME` and the file `.NAME`
//!  server  the box's side: one descriptor to poll, nothing that blocks, a bound for everything
//!  client  the other side: finds boxes, asks one of them one thing
//!  wire    what goes over the socket, as plain data
//! ```
//!
//! The file `.NAME` is locked (flock(2)) while its box lives: the kernel lets go of the lock however the supervisor ends, so a name
//! is in use exactly as long as somebody answers for it. It holds a key. A client shows it, and by that shows that it can read files
//! in the directory: connect(2) to a socket with a name is not in Landlock's reach before ABI 9, reading a file always is, so a guest
//! that runs as the same user, without a mount namespace, gets to the socket and is turned away.
#![forbid(unsafe_code)]

mod client;
mod place;
mod server;
mod wire;

pub use client::{Ask, Found, ask, find, list, list_of};
pub use place::{Place, candidates, check_name, own};
pub use server::{Server, Ticket};
pub use wire::{Inspect, Limits, ProcessInfo, Reply, Request, Rule, State, Status};
