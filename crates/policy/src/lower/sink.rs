//! Where lowering writes what it decided, rule by rule.

use std::fmt;

use tipstaff_report::{Enforcement, Level};

use super::plan::{Cost, PlanRule};

/// Lowering refuses: which rules, why, and what to do. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One line: the first refused rule, why, the cure.
    pub message: String,
    /// Every decision so far, the refused ones among them.
    pub rules: Vec<PlanRule>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

pub(super) struct Sink {
    best_effort: bool,
    rules: Vec<PlanRule>,
    refused: Option<String>,
}

impl Sink {
    pub fn new(best_effort: bool) -> Self {
        Self { best_effort, rules: Vec::new(), refused: None }
    }

    fn push(&mut self, rule: &str, mechanism: &str, level: Level, why: Option<&str>, cost: Cost) {
        let enforcement =
            Enforcement { rule: rule.into(), mechanism: mechanism.into(), level, why: why.map(Into::into) };
        self.rules.push(PlanRule { enforcement, cost });
    }

    /// The rule holds.
    pub fn full(&mut self, rule: &str, mechanism: &str, cost: Cost) {
        self.push(rule, mechanism, Level::Full, None, cost);
    }

    /// The rule holds, in a way that needs a word.
    pub fn full_but(&mut self, rule: &str, mechanism: &str, why: &str, cost: Cost) {
        self.push(rule, mechanism, Level::Full, Some(why), cost);
    }

    /// Something that no rule asks for by itself is less than it could be; said, not refused.
    pub fn note(&mut self, rule: &str, mechanism: &str, why: &str, cost: Cost) {
        self.push(rule, mechanism, Level::Weakened, Some(why), cost);
    }

    /// The rule cannot be enforced as asked: refused, or weakened to `mechanism` under best effort. True when the
    /// caller shall go on with the weaker mechanism.
    pub fn weaken(&mut self, rule: &str, mechanism: &str, why: &str, cure: &str, cost: Cost) -> bool {
        if self.best_effort {
            self.push(rule, mechanism, Level::Weakened, Some(why), cost);
            return true;
        }
        self.refuse(rule, why, cure);
        false
    }

    /// The rule cannot be enforced; under best effort it is dropped and named.
    pub fn refuse(&mut self, rule: &str, why: &str, cure: &str) {
        if self.best_effort {
            self.push(rule, "none", Level::Weakened, Some(why), Cost::Free);
        } else {
            self.impossible(rule, why, cure);
        }
    }

    /// The wish cannot be met, best effort or not.
    pub fn impossible(&mut self, rule: &str, why: &str, cure: &str) {
        self.push(rule, "none", Level::Refused, Some(why), Cost::Free);
        self.refused.get_or_insert_with(|| format!("cannot enforce {rule}: {why}; {cure}"));
    }

    /// An input that is wrong whatever the kernel can do.
    pub fn wrong(&mut self, message: String) -> Refusal {
        Refusal { message, rules: std::mem::take(&mut self.rules) }
    }

    pub fn finish(self) -> Result<Vec<PlanRule>, Refusal> {
        match self.refused {
            Some(message) => Err(Refusal { message, rules: self.rules }),
            None => Ok(self.rules),
        }
    }
}
