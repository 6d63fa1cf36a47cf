//! Conditions with an action.

use crate::{Action, Condition};

/// And-bound conditions with an action. Without conditions it always matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// All of them must hold; the same argument may occur more than once.
    pub conditions: Vec<Condition>,
    /// What happens then.
    pub action: Action,
}

impl Rule {
    /// A rule that always matches.
    #[must_use]
    pub const fn always(action: Action) -> Self {
        Self { conditions: Vec::new(), action }
    }

    /// Whether these arguments satisfy every condition.
    #[must_use]
    pub fn matches(&self, args: &[u64; 6]) -> bool {
        self.conditions.iter().all(|condition| condition.holds(args))
    }
}
