//! What one run gives its guest: descriptors, environment, directory.

use std::ffi::OsString;
use std::os::fd::OwnedFd;

/// A descriptor of ours and the number that the guest sees it under.
#[derive(Debug)]
pub struct Wiring {
    /// Ours.
    pub source: OwnedFd,
    /// The guest's.
    pub target: i32,
}

/// What one run gives its guest.
#[derive(Debug, Default)]
pub struct Request {
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Descriptors; what is not here is closed.
    pub wiring: Vec<Wiring>,
    /// The guest gets a terminal of its own with this many rows and columns, instead of descriptors 0, 1 and 2.
    pub terminal: Option<(u16, u16)>,
    /// A network namespace that was made ahead ([`tipstaff_sys::unshare::network`]), if the plan has one and no user namespace.
    pub network: Option<OwnedFd>,
}
