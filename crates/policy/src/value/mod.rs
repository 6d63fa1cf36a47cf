//! The small languages of profiles and flags: sizes, durations, network rules, words.
//!
//! Each type has a `FromStr`, or a function of one string, whose error is one line: what is wrong; the cure.

mod duration;
mod error;
mod limit;
mod nearest;
mod net;
mod size;
mod words;

pub use duration::{format_duration, parse_duration};
pub(crate) use error::Shown;
pub use error::{NetFault, ValueError};
pub use limit::Setting;
pub use nearest::nearest;
pub use net::{Dest, IpNet, NetRule, NetSpec, PortRange, Ports, Proto, parse_ports};
pub use size::{format_size, parse_size};
pub(crate) use words::words;
