//! Refused calls: told by the listener, explained by the filter's specification, counted by kind.

use std::collections::BTreeMap;

use tipstaff_notify::{Listener, Next};
use tipstaff_policy::lower::{DeniedCall, FilterPlan};
use tipstaff_report::Denial;

/// How many different refusals are kept; more are counted under the last.
const KINDS: usize = 1000;

#[derive(Debug)]
struct Seen {
    args: [u64; 6],
    pid: Option<u32>,
    count: u64,
}

/// The refused calls of one box.
#[derive(Debug, Default)]
pub(crate) struct Denials {
    seen: BTreeMap<DeniedCall, Seen>,
    /// Past [`KINDS`].
    pub dropped: u64,
}

/// What the listener said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// All answered.
    Answered,
    /// A call whose rule kills: the box must die, and the caller stays where it is.
    Kill,
    /// No task is left under the filter.
    Ended,
}

impl Denials {
    /// Answers what waits, at most `budget` calls, so that one box cannot hold the loop.
    pub fn serve(&mut self, listener: &Listener, filter: &FilterPlan, budget: usize) -> Told {
        for _ in 0..budget {
            match listener.next() {
                Ok(Next::Call(call)) => {
                    let denied = filter.explain(call.data());
                    let (kill, errno) = (denied.kill, denied.errno);
                    self.count(denied, call.data().args, call.pid(), 1);
                    if kill {
                        call.leave_to_die();
                        return Told::Kill;
                    }
                    let _ = call.refuse(errno);
                }
                Ok(Next::Nothing) | Err(_) => return Told::Answered,
                Ok(Next::Ended) => return Told::Ended,
            }
        }
        Told::Answered
    }

    pub fn count(&mut self, denied: DeniedCall, args: [u64; 6], pid: Option<u32>, times: u64) {
        if let Some(seen) = self.seen.get_mut(&denied) {
            seen.count += times;
        } else if self.seen.len() < KINDS {
            self.seen.insert(denied, Seen { args, pid, count: times });
        } else {
            self.dropped += times;
        }
    }

    /// As the report wants them.
    pub fn into_report(self) -> Vec<Denial> {
        let one = |(call, seen): (DeniedCall, Seen)| Denial {
            syscall: call.syscall,
            arch: call.arch,
            args: seen.args.to_vec(),
            pid: seen.pid,
            rule: call.rule.into(),
            action: if call.kill { "kill".into() } else { "errno".into() },
            errno: if call.kill { None } else { tipstaff_abi::errno::name(call.errno).map(str::to_owned) },
            count: seen.count,
            allow_with: call.allow_with.map(Into::into),
        };
        self.seen.into_iter().map(one).collect()
    }
}
