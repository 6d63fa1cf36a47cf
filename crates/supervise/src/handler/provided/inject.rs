//! Faults on purpose: calls that fail, lie, wait, or are followed by a signal.

use std::collections::HashMap;
use std::time::Duration;

use tipstaff_abi::{Arch, SyscallSet, errno, family, signal};

use crate::handler::{Action, Handler, Trap};

/// Injects faults into calls of a set. Calls are counted by thread, from 1, each thread's calls of the whole set together.
///
/// What is injected can be combined: the call waits, then fails or returns something, or is made; the signal arrives when it is over. The
/// report names calls that were made to fail under `denials`, with this handler as the rule.
#[derive(Clone, Debug)]
pub struct Inject {
    set: SyscallSet,
    fault: Fault,
    delay: Duration,
    signal: Option<i32>,
    when: When,
    seen: HashMap<i32, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The call is made, if the handlers behind this one pass too.
    None,
    Errno(u16),
    Value(i64),
}

/// Which of a thread's calls: from the `first`, every `step`-th, up to the `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// Number of the first one; 1 is the first of all.
    pub first: u64,
    /// Number of the last one; None: no end.
    pub last: Option<u64>,
    /// 1: each.
    pub step: u64,
}

impl Default for When {
    fn default() -> Self {
        Self { first: 1, last: None, step: 1 }
    }
}

impl When {
    /// The `n`-th call alone.
    #[must_use]
    pub fn only(n: u64) -> Self {
        Self { first: n, last: Some(n), step: 1 }
    }

    /// `FIRST`, `FIRST+`, `FIRST+STEP`, `FIRST..LAST` or `FIRST..LAST+STEP`, as strace(1) has it; None for anything else, and for zeros.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse().ok().filter(|n| *n > 0);
        let (range, step) = match text.split_once('+') {
            None => (text, None),
            Some((range, "")) => (range, Some(1)),
            Some((range, step)) => (range, Some(number(step)?)),
        };
        let (first, last) = match range.split_once("..") {
            Some((first, last)) => (number(first)?, Some(number(last)?)),
            None => (number(range)?, None),
        };
        if last.is_some_and(|last| last < first) {
            return None;
        }
        // A number alone is one call; a step alone has no end.
        let last = last.or(if step.is_none() { Some(first) } else { None });
        Some(Self { first, last, step: step.unwrap_or(1) })
    }

    /// Whether the `n`-th call, from 1, is one of them.
    #[must_use]
    pub fn holds(self, n: u64) -> bool {
        n >= self.first && self.last.is_none_or(|last| n <= last) && (n - self.first).is_multiple_of(self.step.max(1))
    }
}

impl Inject {
    /// Injects nothing yet into every call of the set.
    #[must_use]
    pub fn new(set: SyscallSet) -> Self {
        let when = When::default();
        Self { set, fault: Fault::None, delay: Duration::ZERO, signal: None, when, seen: HashMap::new() }
    }

    /// The calls are not made and fail with this errno (1 to 4095).
    #[must_use]
    pub fn errno(mut self, errno: u16) -> Self {
        self.fault = Fault::Errno(errno);
        self
    }

    /// The calls are not made and return this value.
    #[must_use]
    pub fn value(mut self, value: i64) -> Self {
        self.fault = Fault::Value(value);
        self
    }

    /// The caller waits this long first; everybody else goes on. Without a fault the handlers behind this one are asked then.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The calling thread gets this signal (1 to 64).
    #[must_use]
    pub fn signal(mut self, signal: i32) -> Self {
        self.signal = Some(signal);
        self
    }

    /// Which calls; each one unless said otherwise.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// `CALLS[:error=ERRNO|:retval=VALUE][:signal=SIGNAL][:delay_enter=TIME][:when=WHEN]`, the spelling of strace(1). CALLS are names and
    /// `%FAMILY` words of profiles, separated by commas; TIME is in microseconds unless it ends in s, ms, us or ns. Errors are words.
    pub fn parse(text: &str, arch: Arch) -> Result<Self, String> {
        let mut parts = text.split(':');
        let mut inject = Self::new(calls(parts.next().unwrap_or_default(), arch)?);
        let mut anything = false;
        for part in parts {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("inject: {part:?} has no value"))?;
            let wrong = |what: &str| format!("inject: {key}={value}: not {what}");
            match key {
                "error" => {
                    let by_number = || value.parse().ok().filter(|n| (1..=4095).contains(n));
                    let errno = errno::by_name(value).or_else(by_number).ok_or_else(|| wrong("an errno"))?;
                    inject.fault = Fault::Errno(errno as u16);
                }
                "retval" => inject.fault = Fault::Value(value.parse().map_err(|_| wrong("a number"))?),
                "signal" => {
                    let by_number = || value.parse().ok().filter(|n| (1..=signal::MAX).contains(n));
                    let number = signal::by_name(value).or_else(by_number).ok_or_else(|| wrong("a signal"))?;
                    inject.signal = Some(number);
                }
                "delay_enter" => inject.delay = time(value).ok_or_else(|| wrong("a time"))?,
                "when" => {
                    let form = "FIRST[..LAST][+[STEP]] with numbers from 1";
                    inject.when = When::parse(value).ok_or_else(|| wrong(form))?;
                    continue;
                }
                _ => {
                    let known = "error, retval, signal, delay_enter, when";
                    return Err(format!("inject: unknown key {key:?}; known: {known}"));
                }
            }
            anything = true;
        }
        if anything { Ok(inject) } else { Err(format!("inject: {text:?} injects nothing; add `:error=ENOENT`")) }
    }
}

fn calls(words: &str, arch: Arch) -> Result<SyscallSet, String> {
    let mut set = SyscallSet::new(arch);
    for word in words.split(',') {
        if let Some(name) = word.strip_prefix('%') {
            let family = family::by_name(name).ok_or_else(|| format!("inject: no family of calls %{name}"))?;
            set = set.union(&family.numbers(arch));
        } else {
            let number = tipstaff_abi::Sysno::by_name(arch, word);
            set.insert(number.ok_or_else(|| format!("inject: no system call {word:?} on {}", arch.name()))?);
        }
    }
    Ok(set)
}

fn time(text: &str) -> Option<Duration> {
    let units = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
    let unit = units.into_iter().find_map(|(unit, ns)| Some((text.strip_suffix(unit)?, ns)));
    let (number, ns) = unit.unwrap_or((text, 1_000));
    number.parse::<u64>().ok()?.checked_mul(ns).map(Duration::from_nanos)
}

impl Handler for Inject {
    fn wants(&self, _: Arch) -> SyscallSet {
        self.set.clone()
    }

    fn on_syscall(&mut self, trap: &mut Trap<'_>) -> Action {
        let seen = self.seen.entry(trap.tid()).or_default();
        *seen += 1;
        if !self.when.holds(*seen) {
            return Action::Pass;
        }
        if let Some(signal) = self.signal {
            // It stands in a stop of ours, so the number is its own. ESRCH: it has been killed.
            let _ = tipstaff_sys::signal::kill_thread(trap.pid(), trap.tid(), signal);
        }
        let action = match self.fault {
            Fault::None => Action::Pass,
            Fault::Errno(errno) => Action::Errno(errno),
            Fault::Value(value) => Action::Return(value),
        };
        if self.delay.is_zero() { action } else { Action::after(self.delay, action) }
    }

    fn keeps_threads(&self) -> bool {
        true
    }

    fn on_gone(&mut self, tid: i32) {
        self.seen.remove(&tid);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fake::Fake;
    use super::*;

    const ARCH: Arch = Arch::X86_64;

    #[test]
    fn when_reads_as_in_strace() {
        let hits = |text: &str| -> Option<Vec<u64>> {
            let when = When::parse(text)?;
            Some((1..=12).filter(|n| when.holds(*n)).collect())
        };
        assert_eq!(hits("3"), Some(vec![3]));
        assert_eq!(hits("10+"), Some(vec![10, 11, 12]));
        assert_eq!(hits("2+5"), Some(vec![2, 7, 12]));
        assert_eq!(hits("2..4"), Some(vec![2, 3, 4]));
        assert_eq!(hits("1..9+4"), Some(vec![1, 5, 9]));
        for wrong in ["", "0", "3+0", "4..2", "a", "1..", "..3", "1..2..3", "-1"] {
            assert_eq!(hits(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_thread_has_a_count_of_its_own() {
        let mut inject = Inject::parse("openat,open:error=ENOENT:when=2", ARCH).expect("fine");
        let guest = Fake::default();
        let mut ask = |tid, name| {
            let mut trap = guest.call(ARCH, name, &[]);
            trap.tid = tid;
            matches!(inject.on_syscall(&mut trap), Action::Errno(2))
        };
        assert_eq!([ask(1, "openat"), ask(2, "openat"), ask(1, "open"), ask(1, "open")], [false, false, true, false]);
        inject.on_gone(2);
        let mut trap = guest.call(ARCH, "open", &[]);
        trap.tid = 2;
        assert!(matches!(inject.on_syscall(&mut trap), Action::Pass), "a new thread of the same number");
    }

    #[test]
    fn faults_combine() {
        let guest = Fake::default();
        let ask = |text| Inject::parse(text, ARCH).expect(text).on_syscall(&mut guest.call(ARCH, "read", &[]));
        assert!(matches!(ask("read:retval=7"), Action::Return(7)));
        assert!(matches!(ask("read:error=5"), Action::Errno(5)));
        let delayed = |action, ms, check: fn(&Action) -> bool| match action {
            Action::Defer(deferred) => {
                assert!(
                    matches!(deferred.work, crate::handler::Later::Time)
                        && deferred.deadline == Duration::from_millis(ms)
                );
                assert!(check(&deferred.otherwise));
            }
            other => panic!("{other:?}"),
        };
        delayed(ask("read:delay_enter=2000"), 2, |a| matches!(a, Action::Pass));
        delayed(ask("read:delay_enter=3ms:error=EIO"), 3, |a| matches!(a, Action::Errno(5)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |text| Inject::parse(text, ARCH).expect_err(text);
        assert_eq!(wrong("opnat:error=EIO"), "inject: no system call \"opnat\" on x86_64");
        assert_eq!(wrong("%nothing:error=EIO"), "inject: no family of calls %nothing");
        assert_eq!(wrong("read:error=EWHAT"), "inject: error=EWHAT: not an errno");
        assert_eq!(wrong("read:error=4096"), "inject: error=4096: not an errno");
        assert_eq!(wrong("read:when=2"), "inject: \"read:when=2\" injects nothing; add `:error=ENOENT`");
        assert_eq!(wrong("read:error"), "inject: \"error\" has no value");
        assert_eq!(wrong("read:delay_enter=1h"), "inject: delay_enter=1h: not a time");
        assert_eq!(wrong("read:signal=65"), "inject: signal=65: not a signal");
        assert!(wrong("read:retvl=1").contains("unknown key"));
        assert!(Inject::parse("%open,read:signal=SIGUSR1", ARCH).is_ok());
    }
}
