//! Network rules by address: who decides, and who makes the calls.
//!
//! ```text
//!  guest ── connect(fd, address) ──▶ engine ──▶ Network: copies, judges ──▶ Deputy: a thread with no privilege
//!    ▲                                                                        connect(duplicate, our copy)
//!    └───────────────────────────── the result ◀──────────────────────────────┘
//! ```

mod acts;
mod address;
mod budget;
mod deputy;
mod dns;
mod handler;
mod message;
mod names;
mod stub;
mod tighten;
mod unix;

pub use handler::Network;
pub use tighten::Tighten;
