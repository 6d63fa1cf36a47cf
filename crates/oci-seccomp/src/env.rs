//! The machine that a document is evaluated for.

use tipstaff_abi::Arch;

use crate::Form;

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
    /// Whose rules of evaluation count; absent: those that the document's own members speak for. They differ in one thing: containers-common
    /// has no `minKernel`, so an entry with one always counts there.
    pub form: Option<Form>,
}
