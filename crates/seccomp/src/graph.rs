//! The filter as one graph of word comparisons.
//!
//! Dispatch by architecture, the search by number and the rules of a call are all the same thing: load a word,
//! compare it, go one of two ways. Equal steps are made once, so calls with equal rules share them, and so do
//! rules with equal tails. A step only leads to steps made before it: there are no cycles.

use std::collections::HashMap;

use tipstaff_abi::bpf::SeccompData;

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum To {
    /// On to the step with this index.
    Step(usize),
    /// Done, with this result.
    Return(u32),
}

/// How a word is compared: as BPF can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Test {
    Eq(u32),
    Gt(u32),
    Ge(u32),
    /// Any of these bits is set.
    Any(u32),
    /// Equal in the bits of the mask (mask, value): costs the accumulator.
    Masked(u32, u32),
}

/// One comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Step {
    /// Offset of the word in `seccomp_data`.
    pub word: u32,
    pub test: Test,
    pub yes: To,
    pub no: To,
}

#[derive(Debug, Default)]
pub(crate) struct Graph {
    steps: Vec<Step>,
    known: HashMap<Step, usize>,
}

impl Graph {
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Adds a step, unless it is there or says nothing.
    pub fn step(&mut self, word: u32, test: Test, yes: To, no: To) -> To {
        if yes == no {
            return yes;
        }
        let step = self.merge_bits(Step { word, test, yes, no });
        let next = self.steps.len();
        let at = *self.known.entry(step).or_insert(next);
        if at == next {
            self.steps.push(step);
        }
        To::Step(at)
    }

    /// "Bit a, or else bit b, of the same word" is one test of both bits.
    fn merge_bits(&self, step: Step) -> Step {
        let (Test::Any(bits), To::Step(next)) = (step.test, step.no) else { return step };
        let next = self.steps[next];
        match next.test {
            Test::Any(more) if (next.word, next.yes) == (step.word, step.yes) => {
                Step { test: Test::Any(bits | more), no: next.no, ..step }
            }
            _ => step,
        }
    }

    /// Which steps can be reached, and whether each must load its word, or finds it in the accumulator whichever way
    /// it was reached.
    pub fn loads(&self, entry: To) -> Vec<Reached> {
        let mut reached = vec![Reached::Never; self.steps.len()];
        if let To::Step(first) = entry {
            reached[first] = Reached::Loading;
        }
        // Whoever leads to a step was made after it.
        for (at, step) in self.steps.iter().enumerate().rev() {
            if reached[at] == Reached::Never {
                continue;
            }
            let kept = !matches!(step.test, Test::Masked(..));
            for to in [step.yes, step.no] {
                let To::Step(next) = to else { continue };
                let found = kept && self.steps[next].word == step.word;
                reached[next] = match reached[next] {
                    Reached::Loading => Reached::Loading,
                    _ if found => Reached::Loaded,
                    _ => Reached::Loading,
                };
            }
        }
        reached
    }
}

/// How a step is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    Never,
    /// Its word is always in the accumulator.
    Loaded,
    /// It must load its word.
    Loading,
}

/// The two words of an argument: low, high.
pub(crate) const fn words(arg: u8) -> (u32, u32) {
    let low = SeccompData::ARGS + 8 * arg as u32;
    (low, low + 4)
}
