//! Sets of argument values: what rules allow, as something that can be intersected, subtracted and compared.
//!
//! A [`Cube`] fixes some bits of each argument and leaves the others free; a [`Region`] is a union of cubes. Every condition of a rule is a
//! union of cubes (a range is at most 126 of them), and what is left of a cube without another is cubes again, so that a question such as "does
//! this profile allow all that the other one allows" has an exact answer, and no sample of values is needed. Cubes are cut up only inside other cubes,
//! never the whole space: the bits that rules fix keep the pieces few.

use std::fmt;

use tipstaff_seccomp::{Condition, Op, Width};

/// More cubes than this are given up on: conditions that people write need a handful.
pub(crate) const MOST: usize = 2048;
/// More comparisons of two cubes than this are given up on, in one question: the work is bounded, not only the answer.
const MOST_STEPS: usize = 8 << 20;

/// Bits of one argument: those in the mask have this value, the others are free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bits {
    /// Which bits are fixed.
    pub mask: u64,
    /// To what; nothing outside the mask.
    pub value: u64,
}

/// Arguments that agree with six patterns of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cube(pub [Bits; 6]);

/// A union of cubes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region(Vec<Cube>);

/// A set needs too many cubes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its argument rules are too many to be compared: write fewer of them")]
pub struct TooMany;

impl Bits {
    fn meet(self, other: Self) -> Option<Self> {
        let both = self.mask & other.mask;
        let agree = self.value & both == other.value & both;
        agree.then_some(Self { mask: self.mask | other.mask, value: self.value | other.value })
    }

    fn contains(self, other: Self) -> bool {
        other.mask & self.mask == self.mask && other.value & self.mask == self.value
    }
}

impl Cube {
    /// Every argument.
    pub const ALL: Self = Self([Bits { mask: 0, value: 0 }; 6]);

    /// Whether these arguments are in it.
    #[must_use]
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        self.0.iter().zip(args).all(|(bits, arg)| arg & bits.mask == bits.value)
    }

    /// Its member whose free bits are all zero: what a program that cares for none of them passes.
    #[must_use]
    pub fn lowest(&self) -> [u64; 6] {
        self.0.map(|bits| bits.value)
    }

    /// The members that programs pass: where the low half is fixed, the rest is zero, or all ones behind a negative `int` that was widened.
    #[must_use]
    pub fn usual(&self) -> Vec<[u64; 6]> {
        const LOW: u64 = u32::MAX as u64;
        let negative = |bits: &&mut Bits| bits.mask == LOW && bits.value & 1 << 31 != 0;
        let mut widened = *self;
        let some = widened.0.iter_mut().filter(|bits| negative(bits)).map(|bits| bits.value |= !LOW).count() > 0;
        std::iter::once(self.lowest()).chain(some.then(|| widened.lowest())).collect()
    }

    /// The same as conditions, one for each argument that it says something of.
    #[must_use]
    pub fn conditions(&self) -> Vec<Condition> {
        let said = self.0.iter().zip(0..).filter(|(bits, _)| bits.mask != 0);
        said.map(|(bits, arg)| match bits.mask {
            u64::MAX => Condition::w64(arg, Op::Eq, bits.value),
            mask => Condition::w64(arg, Op::MaskedEq(mask), bits.value),
        })
        .collect()
    }

    pub(crate) fn meet(&self, other: &Self) -> Option<Self> {
        let mut met = *self;
        for arg in 0..6 {
            met.0[arg] = met.0[arg].meet(other.0[arg])?;
        }
        Some(met)
    }

    pub(crate) fn contains(&self, other: &Self) -> bool {
        (0..6).all(|arg| self.0[arg].contains(other.0[arg]))
    }

    /// What is left of this one without the other: pieces that have nothing in common, one for each bit that the other fixes and this does not.
    /// The two must meet.
    pub(crate) fn without(&self, other: &Self) -> Vec<Self> {
        let mut left = Vec::new();
        let mut inside = *self;
        for arg in 0..6 {
            let wanted = other.0[arg];
            let mut open = wanted.mask & !inside.0[arg].mask;
            while open != 0 {
                let bit = 1 << (63 - open.leading_zeros());
                open &= !bit;
                let mut piece = inside;
                piece.0[arg].mask |= bit;
                piece.0[arg].value |= !wanted.value & bit;
                left.push(piece);
                inside.0[arg].mask |= bit;
                inside.0[arg].value |= wanted.value & bit;
            }
        }
        left
    }
}

impl Region {
    /// Nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![Cube::ALL])
    }

    /// These cubes.
    #[must_use]
    pub fn of(cubes: Vec<Cube>) -> Self {
        Self(cubes).absorbed()
    }

    /// Where all of these conditions hold.
    ///
    /// # Errors
    /// If that takes too many cubes.
    pub fn of_conditions(conditions: &[Condition]) -> Result<Self, TooMany> {
        let mut cubes = vec![Cube::ALL];
        for condition in conditions {
            let other = of_condition(condition);
            let met = cubes.iter().flat_map(|one| other.iter().filter_map(|two| one.meet(two)));
            cubes = met.take(MOST + 1).collect();
            if cubes.len() > MOST {
                return Err(TooMany);
            }
        }
        // The cubes of a condition have nothing in common, so these have not either: none lies in another.
        cubes.sort_unstable();
        Ok(Self(cubes))
    }

    /// Its cubes. They may overlap.
    #[must_use]
    pub fn cubes(&self) -> &[Cube] {
        &self.0
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it says "any arguments" in so many words.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.contains(&Cube::ALL)
    }

    /// Whether these arguments are in it.
    #[must_use]
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        self.0.iter().any(|cube| cube.holds(args))
    }

    /// What is in either.
    ///
    /// # Errors
    /// If that takes too many cubes.
    pub fn join(&self, other: &Self) -> Result<Self, TooMany> {
        bounded(self.0.iter().chain(&other.0).copied().collect())
    }

    /// What is in both.
    ///
    /// # Errors
    /// If that takes too many cubes.
    pub fn meet(&self, other: &Self) -> Result<Self, TooMany> {
        let met = self.0.iter().flat_map(|one| other.0.iter().filter_map(|two| one.meet(two)));
        bounded(met.take(MOST + 1).collect())
    }

    /// Adds what is in the other one: cheaper than [`Region::join`] where it is little.
    pub(crate) fn add(&mut self, other: &Self) -> Result<(), TooMany> {
        for cube in &other.0 {
            if !self.0.iter().any(|one| one.contains(cube)) {
                self.0.retain(|one| !cube.contains(one));
                self.0.push(*cube);
            }
        }
        if self.0.len() > MOST { Err(TooMany) } else { Ok(()) }
    }

    /// A part of a cube that is outside, if there is one.
    ///
    /// # Errors
    /// If that takes too many cubes.
    pub fn outside(&self, cube: &Cube) -> Result<Option<Cube>, TooMany> {
        outside(cube, &self.0, &mut Steps::new())
    }

    /// Whether the other one has all that is in this.
    ///
    /// # Errors
    /// If that takes too many cubes.
    pub fn is_within(&self, other: &Self) -> Result<bool, TooMany> {
        self.within(other, &mut Steps::new())
    }

    /// The same, as one of several questions.
    pub(crate) fn within(&self, other: &Self, steps: &mut Steps) -> Result<bool, TooMany> {
        for cube in &self.0 {
            if outside(cube, &other.0, steps)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same with as few cubes as joining neighbours gives: two that differ in one bit are one without it.
    #[must_use]
    pub fn joined(mut self) -> Self {
        loop {
            let pair = self.0.iter().enumerate().find_map(|(at, one)| {
                let rest = self.0.iter().enumerate().skip(at + 1);
                rest.into_iter().find_map(|(other, two)| Some((at, other, neighbours(one, two)?)))
            });
            let Some((one, two, cube)) = pair else { break };
            self.0.swap_remove(two);
            self.0[one] = cube;
            self = self.absorbed();
        }
        self
    }

    /// Sorted, without cubes that lie in others.
    fn absorbed(mut self) -> Self {
        self.0.sort_unstable();
        self.0.dedup();
        if self.is_all() {
            return Self::all();
        }
        let lies_in_another = |cube: &Cube| self.0.iter().any(|other| other != cube && other.contains(cube));
        let left = self.0.iter().copied().filter(|cube| !lies_in_another(cube)).collect();
        Self(left)
    }
}

/// How many comparisons may still be made.
pub(crate) struct Steps(usize);

impl Steps {
    pub(crate) const fn new() -> Self {
        Self(MOST_STEPS)
    }

    /// One piece will be compared with so many cubes.
    pub(crate) fn take(&mut self, comparisons: usize) -> Result<(), TooMany> {
        self.0 = self.0.checked_sub(comparisons + 1).ok_or(TooMany)?;
        Ok(())
    }
}

/// A part of the cube that is in none of the others. Depth first: where there is one it is found soon.
fn outside(cube: &Cube, others: &[Cube], steps: &mut Steps) -> Result<Option<Cube>, TooMany> {
    steps.take(others.len())?;
    let met: Vec<Cube> = others.iter().filter(|other| other.meet(cube).is_some()).copied().collect();
    let Some((first, behind)) = met.split_first() else { return Ok(Some(*cube)) };
    for piece in cube.without(first) {
        if let Some(found) = outside(&piece, behind, steps)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// `cubes` may have been cut off behind the first that is too many.
fn bounded(cubes: Vec<Cube>) -> Result<Region, TooMany> {
    if cubes.len() > MOST {
        return Err(TooMany);
    }
    Ok(Region(cubes).absorbed())
}

fn neighbours(one: &Cube, two: &Cube) -> Option<Cube> {
    let mut differing = (0..6).filter(|&arg| one.0[arg] != two.0[arg]);
    let arg = differing.next()?;
    if differing.next().is_some() || one.0[arg].mask != two.0[arg].mask {
        return None;
    }
    let bit = one.0[arg].value ^ two.0[arg].value;
    if bit.count_ones() != 1 {
        return None;
    }
    let mut cube = *one;
    cube.0[arg].mask &= !bit;
    cube.0[arg].value &= !bit;
    Some(cube)
}

fn of_condition(condition: &Condition) -> Vec<Cube> {
    let limit = match condition.width {
        Width::W32 => u64::from(u32::MAX),
        Width::W64 => u64::MAX,
    };
    let value = condition.value;
    let patterns = match condition.op {
        // A value with bits outside the mask never matches.
        Op::MaskedEq(mask) if value & !mask != 0 => Vec::new(),
        Op::MaskedEq(mask) => vec![Bits { mask, value }],
        Op::Eq => range(value, value, limit),
        Op::Ne => {
            let below = value.checked_sub(1).map(|last| range(0, last, limit));
            let above = (value < limit).then(|| range(value + 1, limit, limit));
            below.into_iter().chain(above).flatten().collect()
        }
        Op::Lt => value.checked_sub(1).map_or_else(Vec::new, |last| range(0, last, limit)),
        Op::Le => range(0, value, limit),
        Op::Gt if value >= limit => Vec::new(),
        Op::Gt => range(value + 1, limit, limit),
        Op::Ge => range(value, limit, limit),
    };
    let cube = |bits| {
        let mut cube = Cube::ALL;
        *cube.0.get_mut(usize::from(condition.arg))? = bits;
        Some(cube)
    };
    patterns.into_iter().filter_map(cube).collect()
}

/// A range as blocks whose size is a power of two, as networks are written.
fn range(first: u64, last: u64, limit: u64) -> Vec<Bits> {
    let mut blocks = Vec::new();
    let mut at = first;
    while at <= last && at <= limit {
        // The largest block that begins here and does not end behind the last.
        let aligned = if at == 0 { limit } else { (at & at.wrapping_neg()) - 1 };
        let mut free = aligned & limit;
        while at.checked_add(free).is_none_or(|end| end > last) {
            free >>= 1;
        }
        blocks.push(Bits { mask: limit & !free, value: at });
        match at.checked_add(free).and_then(|end| end.checked_add(1)) {
            Some(next) => at = next,
            None => break,
        }
    }
    blocks
}

impl fmt::Display for Cube {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions = self.conditions();
        if conditions.is_empty() {
            return f.write_str("any arguments");
        }
        for (at, condition) in conditions.iter().enumerate() {
            if at > 0 {
                f.write_str(" and ")?;
            }
            write!(f, "{}", Plain(condition))?;
        }
        Ok(())
    }
}

/// A condition in the words of people: an argument whose low half is compared says so.
pub(crate) struct Plain<'a>(pub &'a Condition);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Condition { arg, op, value, .. } = self.0;
        match op {
            Op::MaskedEq(mask) if *mask == u64::from(u32::MAX) => write!(f, "arg{arg} = {value:#x}"),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        if self.0.is_empty() {
            return f.write_str("no arguments");
        }
        for (at, cube) in self.0.iter().take(SHOWN).enumerate() {
            let or = if at > 0 { " or " } else { "" };
            write!(f, "{or}{cube}")?;
        }
        match self.0.len().checked_sub(SHOWN) {
            Some(more) if more > 0 => write!(f, " or {more} more"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(conditions: &[Condition]) -> Region {
        Region::of_conditions(conditions).expect("few")
    }

    #[test]
    fn a_condition_is_its_cubes() {
        let values = [0, 1, 2, 39, 40, 41, u64::from(u32::MAX), 1 << 32, 1 << 32 | 40, 1 << 63, u64::MAX - 1, u64::MAX];
        let ops = [Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge, Op::MaskedEq(0xff), Op::MaskedEq(u64::MAX)];
        for op in ops {
            for value in values {
                for (width, limit) in [(Width::W32, u64::from(u32::MAX)), (Width::W64, u64::MAX)] {
                    let value = value & limit;
                    let op = if let Op::MaskedEq(mask) = op { Op::MaskedEq(mask & limit) } else { op };
                    let condition = Condition { arg: 2, width, op, value };
                    let found = region(&[condition]);
                    for arg in values.into_iter().flat_map(|v| [v, v ^ 1, v ^ 1 << 31, v ^ 1 << 40]) {
                        let args = [7, 7, arg, 7, 7, 7];
                        assert_eq!(found.holds(&args), condition.holds(&args), "{condition} {arg:#x}");
                    }
                }
            }
        }
    }

    #[test]
    fn differences_are_exact() {
        let int = |arg, value| Condition::w64(arg, Op::MaskedEq(0xffff_ffff), value);
        let below = region(&[Condition::w64(0, Op::Lt, 40)]);
        let two = region(&[int(0, 2)]);
        // The engines' rule compares 64 bits: with a high bit set it does not match any more.
        let both = two.meet(&below).expect("few");
        assert_eq!(both.to_string(), "arg0 == 0x2");
        assert!(!two.is_within(&below).expect("few") && both.is_within(&below).expect("few"));
        let left = below.outside(&two.cubes()[0]).expect("few").expect("some");
        assert!(left.holds(&[left.lowest()[0], 0, 0, 0, 0, 0]) && left.lowest()[0] > u64::from(u32::MAX));
        assert_eq!(Region::all().outside(&Cube::ALL), Ok(None));
        let halves = region(&[Condition::w64(1, Op::Lt, 1 << 63)]).join(&region(&[Condition::w64(1, Op::Ge, 1 << 63)]));
        assert!(halves.expect("few").joined().is_all());
    }
}
