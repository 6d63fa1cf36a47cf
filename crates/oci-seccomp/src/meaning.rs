//! What happens to one call, for all its arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tipstaff_abi::{Arch, Sysno};
use tipstaff_seccomp::{Action, Filter, Rule};

use crate::region::{Cube, MOST, Plain, Region, Steps, TooMany};

/// What happens to one call: of the cubes that hold its arguments the first one decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    rules: Vec<(Cube, Action)>,
    rest: Action,
    /// The rules as they were written, for people.
    said: Vec<Rule>,
}

/// Whether a call that meets this action is made.
#[must_use]
pub const fn passes(action: Action) -> bool {
    matches!(action, Action::Allow | Action::Log)
}

impl Meaning {
    /// What a filter means for a call. Where it has no table for the architecture, that is one action for all.
    ///
    /// # Errors
    /// If the rules are too many to be told apart.
    pub fn of(filter: &Filter, arch: Arch, nr: u32) -> Result<Self, TooMany> {
        let Some(table) = filter.table(arch) else { return Ok(Self::always(filter.foreign)) };
        let fallback = if Sysno(nr).name(arch).is_some() { table.default } else { table.unknown };
        let mut meaning = Self::always(fallback);
        meaning.said = table.rules.get(&nr).cloned().unwrap_or_default();
        let mut steps = Steps::new();
        let rules = table.rules.get(&nr).map_or(&[][..], Vec::as_slice);
        for (at, rule) in rules.iter().enumerate() {
            if rule.conditions.is_empty() {
                meaning.rest = rule.action;
                break;
            }
            // Word for word what one before it says.
            if rules[..at].iter().any(|before| before.conditions == rule.conditions) {
                continue;
            }
            for cube in Region::of_conditions(&rule.conditions)?.cubes() {
                steps.take(meaning.rules.len())?;
                meaning.push(*cube, rule.action)?;
            }
        }
        Ok(meaning)
    }

    /// One action for all arguments.
    #[must_use]
    pub const fn always(action: Action) -> Self {
        Self { rules: Vec::new(), rest: action, said: Vec::new() }
    }

    /// The cubes with their actions, first match first.
    #[must_use]
    pub fn rules(&self) -> &[(Cube, Action)] {
        &self.rules
    }

    /// What happens to all other arguments.
    #[must_use]
    pub const fn rest(&self) -> Action {
        self.rest
    }

    /// A rule behind the others, if it can be reached.
    fn push(&mut self, cube: Cube, action: Action) -> Result<(), TooMany> {
        if !self.rules.iter().any(|(before, _)| before.contains(&cube)) {
            self.rules.push((cube, action));
        }
        if self.rules.len() > MOST { Err(TooMany) } else { Ok(()) }
    }

    /// Every action that occurs.
    ///
    /// # Errors
    /// If there are too many cubes.
    pub fn actions(&self) -> Result<BTreeSet<Action>, TooMany> {
        let (mut actions, mut steps) = (BTreeSet::new(), Steps::new());
        for (cube, _) in &self.rules {
            for (_, action) in self.pieces(cube, &mut steps)? {
                actions.insert(action);
            }
        }
        if self.cubes().outside(&Cube::ALL)?.is_some() {
            actions.insert(self.rest);
        }
        Ok(actions)
    }

    /// Whether an action of a kind occurs. Only cubes that could say so are cut up, and the first is enough.
    fn any(&self, kind: impl Fn(Action) -> bool) -> Result<bool, TooMany> {
        if kind(self.rest) && self.cubes().outside(&Cube::ALL)?.is_some() {
            return Ok(true);
        }
        let mut steps = Steps::new();
        for (cube, _) in self.rules.iter().filter(|(_, action)| kind(*action)) {
            if self.pieces(cube, &mut steps)?.into_iter().any(|(_, action)| kind(action)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The one action, if it is the same for all arguments.
    ///
    /// # Errors
    /// If there are too many cubes.
    pub fn only(&self) -> Result<Option<Action>, TooMany> {
        let actions = self.actions()?;
        Ok(actions.first().copied().filter(|_| actions.len() == 1))
    }

    /// Whether the call is made with any arguments.
    ///
    /// # Errors
    /// If there are too many cubes.
    pub fn passes_always(&self) -> Result<bool, TooMany> {
        Ok(!self.any(|action| !passes(action))?)
    }

    /// Whether the call is made with some arguments.
    ///
    /// # Errors
    /// If there are too many cubes.
    pub fn passes_sometimes(&self) -> Result<bool, TooMany> {
        self.any(passes)
    }

    /// What happens to these arguments.
    #[must_use]
    pub fn at(&self, args: &[u64; 6]) -> Action {
        self.rules.iter().find(|(cube, _)| cube.holds(args)).map_or(self.rest, |(_, action)| *action)
    }

    /// A cube, cut up so that each piece has one action.
    ///
    /// # Errors
    /// If there are too many pieces.
    pub fn within(&self, cube: &Cube) -> Result<Vec<(Cube, Action)>, TooMany> {
        self.pieces(cube, &mut Steps::new())
    }

    fn pieces(&self, cube: &Cube, steps: &mut Steps) -> Result<Vec<(Cube, Action)>, TooMany> {
        let mut pieces = Vec::new();
        cut(cube, &self.rules, self.rest, &mut pieces, steps)?;
        Ok(pieces)
    }

    /// The arguments of a cube with which the call is made.
    ///
    /// # Errors
    /// If there are too many pieces.
    pub fn passing(&self, cube: &Cube) -> Result<Region, TooMany> {
        let pieces = self.within(cube)?.into_iter().filter(|(_, action)| passes(*action));
        Ok(Region::of(pieces.map(|(cube, _)| cube).collect()))
    }

    /// Whether two mean the same.
    ///
    /// # Errors
    /// If there are too many pieces.
    pub fn same(&self, other: &Self) -> Result<bool, TooMany> {
        if self == other {
            return Ok(true);
        }
        let mut steps = Steps::new();
        for (cube, _) in self.rules.iter().chain(&other.rules) {
            for (piece, action) in self.pieces(cube, &mut steps)? {
                if other.pieces(&piece, &mut steps)?.iter().any(|(_, theirs)| *theirs != action) {
                    return Ok(false);
                }
            }
        }
        Ok(self.rest == other.rest || self.cubes().join(&other.cubes())?.outside(&Cube::ALL)?.is_none())
    }

    /// What two profiles allow together: for each combination of arguments the more permissive action.
    ///
    /// # Errors
    /// If there are too many pieces.
    pub fn union(&self, other: &Self) -> Result<Self, TooMany> {
        let rest = self.rest.min(other.rest);
        let mut steps = Steps::new();
        let mut by_action: BTreeMap<Action, Vec<Cube>> = BTreeMap::new();
        for (cube, _) in self.rules.iter().chain(&other.rules) {
            for (piece, action) in self.pieces(cube, &mut steps)? {
                for (piece, theirs) in other.pieces(&piece, &mut steps)? {
                    let action = action.min(theirs);
                    // What the rest says need not be said.
                    if action != rest {
                        by_action.entry(action).or_default().push(piece);
                    }
                }
            }
        }
        // Each piece has one action, from whichever rule it was cut, so that their order says nothing.
        let mut union = Self::always(rest);
        for (action, cubes) in by_action {
            let region = Region::of(cubes);
            let rule = |cube: &Cube| Rule { conditions: cube.conditions(), action };
            union.said.extend(region.clone().joined().cubes().iter().map(rule));
            union.rules.extend(region.cubes().iter().map(|cube| (*cube, action)));
        }
        Ok(union)
    }

    /// The same by rules whose order does not matter: cubes with different actions have nothing in common, and none has the rest's action.
    ///
    /// # Errors
    /// If there are too many pieces.
    pub fn unordered(&self) -> Result<Self, TooMany> {
        let apart = |(at, (cube, action)): (usize, &(Cube, Action))| {
            let before = &self.rules[..at];
            before.iter().all(|(other, theirs)| theirs == action || other.meet(cube).is_none())
        };
        if self.rules.iter().all(|(_, action)| *action != self.rest) && self.rules.iter().enumerate().all(apart) {
            return Ok(self.clone());
        }
        self.union(self)
    }

    fn cubes(&self) -> Region {
        Region::of(self.rules.iter().map(|(cube, _)| *cube).collect())
    }
}

/// `rules` are those that the cube meets, or more.
fn cut(
    cube: &Cube,
    rules: &[(Cube, Action)],
    rest: Action,
    pieces: &mut Vec<(Cube, Action)>,
    steps: &mut Steps,
) -> Result<(), TooMany> {
    steps.take(rules.len())?;
    let met: Vec<_> = rules.iter().filter(|(other, _)| other.meet(cube).is_some()).copied().collect();
    // What all of them say need not be told apart.
    let Some((&(other, action), behind)) = met.split_first().filter(|_| met.iter().any(|(_, action)| *action != rest))
    else {
        pieces.push((*cube, rest));
        return Ok(());
    };
    pieces.extend(other.meet(cube).map(|inside| (inside, action)));
    cube.without(&other).iter().try_for_each(|piece| cut(piece, behind, rest, pieces, steps))
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rules = &self.said[..];
        if let Some(last) = rules.iter().position(|rule| rule.conditions.is_empty()) {
            rules = &rules[..last];
        }
        // What says the rest at the end says nothing.
        while let Some((_, before)) = rules.split_last().filter(|(last, _)| last.action == self.rest) {
            rules = before;
        }
        let mut action = None;
        for rule in rules {
            if action == Some(rule.action) {
                f.write_str(" or ")?;
            } else {
                write!(f, "{}{} if ", if action.is_some() { ", " } else { "" }, rule.action)?;
                action = Some(rule.action);
            }
            for (at, condition) in rule.conditions.iter().enumerate() {
                write!(f, "{}{}", if at > 0 { " and " } else { "" }, Plain(condition))?;
            }
        }
        write!(f, "{}{}", if action.is_some() { ", else " } else { "" }, self.rest)
    }
}
