//! The machine that a document is evaluated for.

use tipstaff_abi::Arch;

/// The machine and the box that a document is evaluated for: given, never asked of the kernel, so that a profile for
/// another machine can be examined here.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// The machine's own architecture.
    pub arch: Arch,
    /// Its kernel, (major, minor).
    pub kernel: (u32, u32),
    /// The capabilities in the box's bounding set, as "CAP_SYS_ADMIN".
    pub caps: &'a [String],
}
