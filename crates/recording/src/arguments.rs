//! The argument words that are recorded, as the file says them.

use serde::{Deserialize, Serialize};
use tipstaff_abi::enumerable::{self, Pick};
use tipstaff_abi::{Arch, Sysno};

use crate::words;

/// As many different combinations are kept of one call; with one more, any are taken as seen.
pub const MOST_TUPLES: usize = 32;

/// An argument word, and what of it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// Which word: 0 to 5.
    pub index: u8,
    /// The bits that count. The kernel reads the low half of an `int`, and callers leave anything in the high one.
    pub mask: u64,
    /// The word is a pointer, and what counts are the 64 bits so many bytes behind it: no filter can compare them.
    #[serde(deserialize_with = "words::present")]
    pub behind: Option<u8>,
}

impl From<Pick> for Select {
    fn from(Pick { index, mask, behind }: Pick) -> Self {
        Self { index, mask, behind }
    }
}

/// The words of a call that are recorded ([`tipstaff_abi::enumerable`]); none for most calls, and for numbers without a name.
#[must_use]
pub fn selected(arch: Arch, number: u32) -> &'static [Pick] {
    Sysno(number).name(arch).map_or(&[], |name| enumerable::picks(arch, name))
}
