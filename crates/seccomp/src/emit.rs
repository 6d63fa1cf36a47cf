//! From the graph to instructions.
//!
//! The program is written from its end to its beginning: jumps only go forward, so the place of every target is
//! known when the jump is written. A conditional jump reaches 255 instructions; where a target is further, a long
//! jump (or a copy of a return) is put right behind the comparison. No offset is ever cut to fit.

use std::collections::HashMap;

use tipstaff_abi::bpf::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W,
    Insn, MAX_INSNS,
};

use crate::{
    Error, Program,
    graph::{Graph, Reached, Test, To},
};

pub(crate) fn program(graph: &Graph, entry: To) -> Result<Program, Error> {
    let mut writer = Writer::default();
    let reached = graph.loads(entry);
    for (at, step) in graph.steps().iter().enumerate() {
        if reached[at] == Reached::Never {
            continue;
        }
        let (code, k) = match step.test {
            Test::Eq(value) | Test::Masked(_, value) => (BPF_JEQ, value),
            Test::Gt(value) => (BPF_JGT, value),
            Test::Ge(value) => (BPF_JGE, value),
            Test::Any(bits) => (BPF_JSET, bits),
        };
        writer.branch(BPF_JMP | code | BPF_K, k, step.yes, step.no);
        if let Test::Masked(mask, _) = step.test {
            writer.push(Insn::new(BPF_ALU | BPF_AND | BPF_K, mask));
        }
        if reached[at] == Reached::Loading {
            writer.push(Insn::new(BPF_LD | BPF_W | BPF_ABS, step.word));
        }
        writer.place(To::Step(at));
        // Far over the limit there is nothing to learn but the length, which costs time and memory to find out.
        if writer.backward.len() > 16 * MAX_INSNS {
            return Err(Error::TooLarge { len: writer.backward.len() });
        }
    }
    writer.begin(entry);
    let mut insns = writer.backward;
    insns.reverse();
    if insns.len() > MAX_INSNS {
        return Err(Error::TooLarge { len: insns.len() });
    }
    Ok(Program::new(insns))
}

/// The program so far, last instruction first.
#[derive(Default)]
struct Writer {
    backward: Vec<Insn>,
    /// Where the code of a target begins, as an index into `backward`: itself, or the last jump to it. The last
    /// one is always the nearest.
    places: HashMap<To, Vec<usize>>,
}

impl Writer {
    fn push(&mut self, insn: Insn) {
        self.backward.push(insn);
    }

    /// The last instruction written is where this target begins.
    fn place(&mut self, target: To) {
        self.places.entry(target).or_default().push(self.backward.len() - 1);
    }

    /// How many instructions a jump written next skips to get there.
    fn distance(&self, place: usize) -> usize {
        self.backward.len() - place - 1
    }

    /// The best place of a target that a conditional jump written next can reach: the oldest, as it is the target itself.
    fn reach(&self, target: To) -> Option<u8> {
        let places = self.places.get(&target)?;
        places.iter().find_map(|&place| u8::try_from(self.distance(place)).ok())
    }

    /// Writes a conditional jump.
    fn branch(&mut self, code: u16, k: u32, yes: To, no: To) {
        loop {
            // Bringing one target near moves the other away by one, so look at both again.
            match (self.reach(yes), self.reach(no)) {
                (Some(jt), Some(jf)) => return self.push(Insn::jump(code, k, jt, jf)),
                (None, _) => self.bring(yes),
                (_, None) => self.bring(no),
            }
        }
    }

    /// Writes a way to a target right here.
    fn bring(&mut self, target: To) {
        let insn = match target {
            To::Return(result) => Insn::new(BPF_RET | BPF_K, result),
            To::Step(_) => {
                let first = self.places.get(&target).and_then(|places| places.first());
                let place = *first.expect("a step leads only to steps written before it");
                let far = u32::try_from(self.distance(place)).expect("a program is far shorter");
                Insn::new(BPF_JMP | BPF_JA, far)
            }
        };
        self.push(insn);
        self.place(target);
    }

    /// Makes the program begin with a target.
    fn begin(&mut self, entry: To) {
        let begins = self.backward.len().checked_sub(1);
        let first = self.places.get(&entry).and_then(|places| places.last().copied());
        if first.is_none() || first != begins {
            self.bring(entry);
        }
    }
}
