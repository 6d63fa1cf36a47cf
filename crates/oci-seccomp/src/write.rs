//! From values to the members of a document.

use tipstaff_seccomp::{Condition, Op};

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
