//! Small rewrites of one call's rules. Each keeps the meaning, and says whether it changed anything.

use crate::{Action, Condition, Op, Rule};

/// The rules of one call and what happens if none matches.
type Rules = (Vec<Rule>, Action);

/// A rewrite; `None` if there was nothing to do.
type Pass = fn(&Rules) -> Option<Rules>;

/// In this order, because each makes work for those below it. After a change all run again from the top.
const PASSES: [Pass; 5] =
    [drop_certain_conditions, drop_impossible_rules, drop_shadowed_rules, cut_at_unconditional, drop_echoing_tail];

/// Runs all passes until none changes anything. Each makes the rules shorter, so that ends.
pub(crate) fn rules(rules: &[Rule], fallback: Action) -> Rules {
    // Most calls have no rule or one without conditions, and there is nothing to rewrite.
    match rules.first() {
        None => return (Vec::new(), fallback),
        Some(first) if first.conditions.is_empty() => return (Vec::new(), first.action),
        Some(_) => {}
    }
    let mut now = (rules.to_vec(), fallback);
    while let Some(next) = PASSES.iter().find_map(|pass| pass(&now)) {
        now = next;
    }
    now
}

/// What a condition says whatever the argument is.
fn constant(condition: &Condition) -> Option<bool> {
    let (value, limit) = (condition.value, condition.limit());
    match condition.op {
        Op::Ge if value == 0 => Some(true),
        Op::Le if value == limit => Some(true),
        Op::Lt if value == 0 => Some(false),
        Op::Gt if value == limit => Some(false),
        Op::MaskedEq(mask) if value & !mask != 0 => Some(false),
        Op::MaskedEq(0) => Some(true),
        _ => None,
    }
}

/// A condition that always holds, or that was already said, says nothing.
fn drop_certain_conditions((rules, fallback): &Rules) -> Option<Rules> {
    let shorten = |rule: &Rule| {
        let mut conditions: Vec<Condition> = Vec::new();
        for &condition in &rule.conditions {
            if constant(&condition) != Some(true) && !conditions.contains(&condition) {
                conditions.push(condition);
            }
        }
        Rule { conditions, action: rule.action }
    };
    changed(rules, rules.iter().map(shorten).collect(), *fallback)
}

/// A rule with a condition that never holds never matches.
fn drop_impossible_rules((rules, fallback): &Rules) -> Option<Rules> {
    let possible = |rule: &&Rule| !rule.conditions.iter().any(|condition| constant(condition) == Some(false));
    changed(rules, rules.iter().filter(possible).cloned().collect(), *fallback)
}

/// A rule that asks for all that an earlier one asks for, and more, comes too late.
fn drop_shadowed_rules((rules, fallback): &Rules) -> Option<Rules> {
    let shadowed = |at: usize, rule: &Rule| {
        let wider = |earlier: &Rule| earlier.conditions.iter().all(|each| rule.conditions.contains(each));
        rules[..at].iter().any(wider)
    };
    let left = rules.iter().enumerate().filter(|(at, rule)| !shadowed(*at, rule));
    changed(rules, left.map(|(_, rule)| rule.clone()).collect(), *fallback)
}

/// An unconditional rule is the real fallback; what follows is dead.
fn cut_at_unconditional((rules, _): &Rules) -> Option<Rules> {
    let at = rules.iter().position(|rule| rule.conditions.is_empty())?;
    Some((rules[..at].to_vec(), rules[at].action))
}

/// A last rule that does what would happen anyway.
fn drop_echoing_tail((rules, fallback): &Rules) -> Option<Rules> {
    let (last, rest) = rules.split_last()?;
    (last.action == *fallback).then(|| (rest.to_vec(), *fallback))
}

fn changed(before: &[Rule], after: Vec<Rule>, fallback: Action) -> Option<Rules> {
    (before != after).then_some((after, fallback))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(conditions: &[Condition], action: Action) -> Rule {
        Rule { conditions: conditions.to_vec(), action }
    }

    const A: Condition = Condition::w32(0, Op::Eq, 1);
    const B: Condition = Condition::w32(1, Op::Eq, 2);

    #[test]
    fn certain_and_repeated_conditions_go() {
        let certain = Condition::w32(0, Op::Le, u32::MAX);
        let (rules, _) = rules(&[rule(&[A, certain, A, B], Action::Log)], Action::Allow);
        assert_eq!(rules, [rule(&[A, B], Action::Log)]);
    }

    #[test]
    fn impossible_shadowed_and_dead_rules_go() {
        let never = Condition::w64(2, Op::MaskedEq(1), 2);
        let given = [
            rule(&[never], Action::KillProcess),
            rule(&[A], Action::Log),
            rule(&[B, A], Action::Errno(1)),
            rule(&[], Action::Errno(2)),
            rule(&[B], Action::Allow),
        ];
        assert_eq!(rules(&given, Action::Allow), (vec![rule(&[A], Action::Log)], Action::Errno(2)));
    }

    #[test]
    fn tails_that_say_the_fallback_go() {
        let given = [rule(&[A], Action::Allow), rule(&[B], Action::Allow)];
        assert_eq!(rules(&given, Action::Allow), (vec![], Action::Allow));
    }

    #[test]
    fn a_condition_can_still_stand_behind_a_different_one() {
        // A wide condition is certain in 64 bits only at 64 bits' limit.
        let (left, _) = rules(&[rule(&[Condition::w64(0, Op::Le, u32::MAX as u64)], Action::Log)], Action::Allow);
        assert_eq!(left.len(), 1);
    }
}
