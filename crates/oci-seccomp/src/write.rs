//! From values to the members of a document.

use tipstaff_seccomp::{Condition, Op, Width};

use crate::{Arg, Document};

/// A condition as an argument of an entry.
pub(crate) fn arg(condition: &Condition) -> Arg {
    let (op, value, value_two) = match condition.op {
        Op::Ne => ("SCMP_CMP_NE", condition.value, None),
        Op::Lt => ("SCMP_CMP_LT", condition.value, None),
        Op::Le => ("SCMP_CMP_LE", condition.value, None),
        Op::Eq => ("SCMP_CMP_EQ", condition.value, None),
        Op::Ge => ("SCMP_CMP_GE", condition.value, None),
        Op::Gt => ("SCMP_CMP_GT", condition.value, None),
        // The mask stands where other operators have the value.
        Op::MaskedEq(mask) => ("SCMP_CMP_MASKED_EQ", mask, Some(condition.value)),
    };
    Arg { index: condition.arg.into(), value, value_two, op: op.into() }
}

/// The same as a comparison of 64 bits, which is all that a document has: an equality of the low half is one under a mask, an ordering of it is none.
pub(crate) fn wide(condition: &Condition) -> Option<Condition> {
    let low = u64::from(u32::MAX);
    match (condition.width, condition.op) {
        (Width::W64, _) => Some(*condition),
        (Width::W32, Op::Eq) => Some(Condition::w64(condition.arg, Op::MaskedEq(low), condition.value)),
        (Width::W32, Op::MaskedEq(mask)) => Some(Condition::w64(condition.arg, Op::MaskedEq(mask), condition.value)),
        (Width::W32, _) => None,
    }
}

impl Document {
    /// The document as text: JSON, indented by two, a newline at its end. The same document is the same bytes.
    ///
    /// # Panics
    /// Never: a document has nothing that JSON cannot say.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a document is JSON");
        text.push('\n');
        text
    }
}
