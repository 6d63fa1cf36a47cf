//! Refused calls: told by the listener, explained by the filter's specification, counted by kind.

use std::collections::BTreeMap;

use tipstaff_notify::Notification;
use tipstaff_policy::lower::{DeniedCall, FilterPlan};
use tipstaff_report::Denial;

use crate::engine::Answered;

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

impl Denials {
    /// Answers a call that a rule of the filter has refused.
    pub fn refuse(&mut self, call: Notification, filter: &FilterPlan) -> Answered {
        let denied = filter.explain(call.data());
        let (kill, errno) = (denied.kill, denied.errno);
        self.count(denied, call.data().args, call.pid(), 1);
        if kill {
            call.leave_to_die();
            return Answered::Kill;
        }
        let _ = call.refuse(errno);
        Answered::Done
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
