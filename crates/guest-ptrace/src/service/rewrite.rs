//! A guest's filter as it is installed: what would be notified stops.

use tipstaff_abi::bpf::{
    BPF_A, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JMP, BPF_K, BPF_MISC, BPF_RET, BPF_TAX, BPF_TXA, Insn, MAX_INSNS,
    SECCOMP_RET_ACTION_FULL, SECCOMP_RET_TRACE, SECCOMP_RET_USER_NOTIF,
};

/// The data of the RET_TRACE that stands for a notification. It only has to be another one than ours: who is asked is decided by the filter itself, as the guest
/// wrote it.
pub(crate) const MARK: u16 = 0x4e4c;

const STOPS: u32 = SECCOMP_RET_TRACE | MARK as u32;
const RETURN: u16 = BPF_RET | BPF_K;
const RETURN_A: u16 = BPF_RET | BPF_A;

/// Whether a filter's result is a notification.
pub(crate) fn notifies(result: u32) -> bool {
    result & SECCOMP_RET_ACTION_FULL == SECCOMP_RET_USER_NOTIF
}

/// What becomes of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rewritten {
    /// These instructions are others.
    InPlace(Vec<(usize, Insn)>),
    /// Results that it computes have to be looked at, by code that is appended.
    Longer(Vec<Insn>),
}

/// A program that the kernel takes (`tipstaff_seccomp::check`). None: there is no room for what has to be appended.
pub(crate) fn rewrite(program: &[Insn]) -> Option<Rewritten> {
    let constant = |insn: &Insn| insn.code == RETURN && notifies(insn.k);
    let changed: Vec<(usize, Insn)> = (0..)
        .zip(program)
        .filter(|(_, insn)| constant(insn))
        .map(|(at, insn)| (at, Insn { k: STOPS, ..*insn }))
        .collect();
    if !program.iter().any(|insn| insn.code == RETURN_A) {
        return Some(Rewritten::InPlace(changed));
    }
    let mut longer = program.to_vec();
    for (at, insn) in changed {
        longer[at] = insn;
    }
    for (at, insn) in (0..).zip(&mut longer) {
        if insn.code == RETURN_A {
            *insn = Insn::new(BPF_JMP | BPF_JA, u32::try_from(program.len() - at - 1).ok()?);
        }
    }
    longer.extend([
        Insn::new(BPF_MISC | BPF_TAX, 0),
        Insn::new(BPF_ALU | BPF_AND | BPF_K, SECCOMP_RET_ACTION_FULL),
        Insn::jump(BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_RET_USER_NOTIF, 0, 1),
        Insn::new(RETURN, STOPS),
        Insn::new(BPF_MISC | BPF_TXA, 0),
        Insn::new(RETURN_A, 0),
    ]);
    (longer.len() <= MAX_INSNS).then_some(Rewritten::Longer(longer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tipstaff_abi::bpf::{BPF_ABS, BPF_LD, BPF_W, SECCOMP_RET_ALLOW, SeccompData};
    use tipstaff_seccomp::{check, run};

    fn whole(program: &[Insn]) -> Vec<Insn> {
        match rewrite(program).expect("room") {
            Rewritten::Longer(longer) => longer,
            Rewritten::InPlace(changed) => {
                let mut whole = program.to_vec();
                changed.into_iter().for_each(|(at, insn)| whole[at] = insn);
                whole
            }
        }
    }

    /// The same for every call, but for what is notified.
    fn same(program: &[Insn]) {
        let rewritten = whole(program);
        assert_eq!((check(program), check(&rewritten)), (Ok(()), Ok(())));
        for nr in (0..64).chain([0x7fc0_0000, 0x7fc0_1234, 0x7fff_0000, 0x7ff0_0001, 0x0005_0001, -1]) {
            let data = SeccompData { nr, ..SeccompData::default() };
            let (was, is) = (run(program, &data).expect("runs"), run(&rewritten, &data).expect("runs"));
            assert_eq!(is, if notifies(was) { STOPS } else { was }, "{nr:#x}");
        }
    }

    #[test]
    fn only_notifications_become_stops() {
        let load = Insn::new(BPF_LD | BPF_W | BPF_ABS, 0);
        let is = |k, jt, jf| Insn::jump(BPF_JMP | BPF_JEQ, k, jt, jf);
        let ret = |k| Insn::new(RETURN, k);
        same(&[load, is(39, 0, 1), ret(SECCOMP_RET_USER_NOTIF), ret(SECCOMP_RET_ALLOW)]);
        same(&[load, is(7, 0, 1), ret(SECCOMP_RET_USER_NOTIF | 77), is(8, 0, 1), ret(0x0005_0001), ret(STOPS)]);
        // What is computed: the call's own number is the result.
        same(&[load, Insn::new(RETURN_A, 0)]);
        same(&[
            load,
            is(7, 0, 1),
            Insn::new(RETURN_A, 0),
            is(9, 1, 0),
            ret(SECCOMP_RET_USER_NOTIF),
            Insn::new(RETURN_A, 0),
        ]);
    }

    #[test]
    fn what_has_no_room_is_refused() {
        let mut program = vec![Insn::new(BPF_LD | BPF_W | BPF_ABS, 0); MAX_INSNS - 6];
        program.push(Insn::new(RETURN_A, 0));
        assert_eq!(check(&program), Ok(()));
        assert_eq!(rewrite(&program), None);
    }
}
