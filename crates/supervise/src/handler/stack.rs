//! Handlers in their order.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tipstaff_abi::{Arch, SyscallSet, Sysno, errno};

use super::{Action, Deferred, Denied, Entry, Handler, Process, Return, Rewriter};

/// The handlers of one box, in the order in which they are asked.
#[derive(Default)]
pub struct Handlers {
    seats: Vec<Seat>,
}

struct Seat {
    /// Is asked although one before it has allowed the call.
    last_word: bool,
    who: Who,
    wants: SyscallSet,
    returns: SyscallSet,
}

enum Who {
    Handler(Box<dyn Handler>),
    Rewriter(Box<dyn Rewriter>),
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.seats.iter().map(Seat::name)).finish()
    }
}

/// A handler wants calls of another architecture than its box runs on: their numbers mean other calls there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongArch {
    /// The handler's name.
    pub handler: String,
    /// Whose calls it wants.
    pub wants: Arch,
    /// What the box runs on.
    pub runs: Arch,
}

impl std::fmt::Display for WrongArch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (wants, runs) = (self.wants.name(), self.runs.name());
        write!(f, "handler {} wants system calls of {wants}, and the box runs on {runs}", self.handler)
    }
}

impl std::error::Error for WrongArch {}

/// What came of asking.
pub(crate) struct Asked {
    pub verdict: Verdict,
    /// The seat of whoever decided; None if all passed.
    pub by: Option<usize>,
    /// What a panic said.
    pub fault: Option<String>,
}

/// What is to be done.
pub(crate) enum Verdict {
    Make,
    Errno(u16),
    Return(i64),
    Kill,
    Deny(Box<Denied>),
    Defer(Deferred),
}

impl Seat {
    fn name(&self) -> &str {
        match &self.who {
            Who::Handler(handler) => handler.name(),
            Who::Rewriter(rewriter) => rewriter.name(),
        }
    }
}

impl Handlers {
    /// Adds one that decides, to a box of this architecture.
    pub fn push(&mut self, handler: Box<dyn Handler>, arch: Arch) -> Result<(), WrongArch> {
        let wants = handler.wants(arch);
        self.seat(Seat { last_word: false, wants, returns: SyscallSet::new(arch), who: Who::Handler(handler) }, arch)
    }

    /// Adds one that changes calls too.
    pub fn push_rewriter(&mut self, rewriter: Box<dyn Rewriter>, arch: Arch) -> Result<(), WrongArch> {
        let (wants, returns) = (rewriter.wants(arch), rewriter.returns(arch));
        self.seat(Seat { last_word: false, wants, returns, who: Who::Rewriter(rewriter) }, arch)
    }

    /// Adds one that is asked about every call that the others let pass, by [`Action::Pass`] or by [`Action::Allow`]: a rule of the profile,
    /// which no handler can open.
    pub fn push_rule(&mut self, handler: Box<dyn Handler>, arch: Arch) -> Result<(), WrongArch> {
        let wants = handler.wants(arch);
        let who = Who::Handler(handler);
        self.seat(Seat { last_word: true, wants, returns: SyscallSet::new(arch), who }, arch)
    }

    fn seat(&mut self, seat: Seat, arch: Arch) -> Result<(), WrongArch> {
        let foreign = [seat.wants.arch(), seat.returns.arch()].into_iter().find(|wants| *wants != arch);
        if let Some(wants) = foreign {
            return Err(WrongArch { handler: seat.name().to_owned(), wants, runs: arch });
        }
        let at = if seat.last_word { self.seats.len() } else { self.first_rule() };
        self.seats.insert(at, seat);
        Ok(())
    }

    /// The seat of the first rule of the profile, behind all handlers.
    pub(crate) fn first_rule(&self) -> usize {
        self.seats.iter().position(|seat| seat.last_word).unwrap_or(self.seats.len())
    }

    /// What all of them want to see.
    #[must_use]
    pub fn wants(&self, arch: Arch) -> SyscallSet {
        self.seats.iter().fold(SyscallSet::new(arch), |all, seat| all.union(&seat.wants))
    }

    /// Asks from seat `from` on. The seats that want to see the return are added to `returns`.
    pub(crate) fn ask(&mut self, entry: &mut Entry<'_>, from: usize, returns: &mut Vec<usize>) -> Asked {
        let mut allowed = None;
        for (at, seat) in self.seats.iter_mut().enumerate().skip(from) {
            if allowed.is_some() && !seat.last_word {
                continue;
            }
            // A handler before this one may have changed the number.
            let number = Sysno(entry.trap.number);
            if seat.wants.arch() != entry.trap.arch || !seat.wants.contains(number) {
                continue;
            }
            if seat.returns.contains(number) {
                returns.push(at);
            }
            let answer = caught(|| match &mut seat.who {
                Who::Handler(handler) => handler.on_syscall(&mut entry.trap),
                Who::Rewriter(rewriter) => rewriter.on_entry(entry),
            });
            match answer {
                Ok(Action::Pass) => {}
                Ok(Action::Allow) => allowed = allowed.or(Some(at)),
                Ok(action) => return Asked { verdict: Verdict::of(action), by: Some(at), fault: None },
                Err(words) => {
                    let fault = Some(format!("handler {}: {words}", seat.name()));
                    return Asked { verdict: Verdict::Errno(errno::EPERM), by: Some(at), fault };
                }
            }
        }
        Asked { verdict: Verdict::Make, by: allowed, fault: None }
    }

    /// Shows a return to those seats; in the reverse order, so that whoever changed the arguments last sees the result first. What panics
    /// said.
    pub(crate) fn show(&mut self, returned: &mut Return<'_>, seats: &[usize]) -> Option<String> {
        let mut fault = None;
        for &seat in seats.iter().rev() {
            let Some(Who::Rewriter(rewriter)) = self.seats.get_mut(seat).map(|seat| &mut seat.who) else { continue };
            if let Err(words) = caught(|| rewriter.on_return(returned)) {
                fault = Some(format!("handler {}: {words}", rewriter.name()));
                // What it would have hidden or changed is not shown as it is.
                returned.set_value(-i64::from(errno::EPERM));
            }
        }
        fault
    }

    /// The box has started. What a panic said.
    pub(crate) fn start(&mut self, ancestor: i32) -> Option<String> {
        let mut fault = None;
        for seat in &mut self.seats {
            let Who::Handler(handler) = &mut seat.who else { continue };
            if let Err(words) = caught(|| handler.on_start(ancestor)) {
                fault = Some(format!("handler {}: {words}", handler.name()));
            }
        }
        fault
    }

    /// Somebody wants to be told of threads that are gone.
    pub(crate) fn keeps_threads(&self) -> bool {
        self.seats.iter().any(|seat| match &seat.who {
            Who::Handler(handler) => handler.keeps_threads(),
            Who::Rewriter(_) => true,
        })
    }

    /// Somebody wants to know every process before it runs.
    #[must_use]
    pub fn knows_processes(&self) -> bool {
        self.seats.iter().any(|seat| matches!(&seat.who, Who::Handler(handler) if handler.knows_processes()))
    }

    /// A process has been made. What a panic said.
    pub(crate) fn born(&mut self, process: &Process) -> Option<String> {
        let mut fault = None;
        for seat in &mut self.seats {
            let Who::Handler(handler) = &mut seat.who else { continue };
            if handler.knows_processes()
                && let Err(words) = caught(|| handler.on_process(process))
            {
                fault = Some(format!("handler {}: {words}", handler.name()));
            }
        }
        fault
    }

    /// Somebody changes calls: only a tracer can serve them.
    #[must_use]
    pub fn rewrites(&self) -> bool {
        self.seats.iter().any(|seat| matches!(seat.who, Who::Rewriter(_)))
    }

    /// A thread is gone. What a panic said.
    pub(crate) fn gone(&mut self, tid: i32) -> Option<String> {
        let mut fault = None;
        for seat in &mut self.seats {
            let told = caught(|| match &mut seat.who {
                Who::Handler(handler) => handler.on_gone(tid),
                Who::Rewriter(rewriter) => rewriter.on_gone(tid),
            });
            if let Err(words) = told {
                fault = Some(format!("handler {}: {words}", seat.name()));
            }
        }
        fault
    }

    pub(crate) fn name(&self, seat: Option<usize>) -> &str {
        seat.and_then(|seat| self.seats.get(seat)).map_or("none", Seat::name)
    }
}

impl Verdict {
    pub fn of(action: Action) -> Self {
        match action {
            Action::Allow | Action::Pass => Self::Make,
            Action::Errno(errno) => Self::Errno(errno.clamp(1, 4095)),
            Action::Return(value) => Self::Return(value),
            Action::Kill => Self::Kill,
            Action::Deny(denied) => Self::Deny(Box::new(Denied { errno: denied.errno.clamp(1, 4095), ..*denied })),
            Action::Defer(deferred) => Self::Defer(deferred),
        }
    }
}

/// Runs a handler's code; a panic in words.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc as Shared, Mutex};

    use super::super::fake::Fake;
    use super::*;

    const ARCH: Arch = Arch::X86_64;
    type Log = Shared<Mutex<Vec<&'static str>>>;
    type Answer = (&'static str, fn() -> Action);

    struct Says(&'static str, fn() -> Action, Log);

    impl Handler for Says {
        fn wants(&self, arch: Arch) -> SyscallSet {
            SyscallSet::from_names(arch, ["getpid", "getuid"])
        }

        fn on_syscall(&mut self, _: &mut super::super::Trap<'_>) -> Action {
            self.2.lock().expect("log").push(self.0);
            self.1()
        }

        fn name(&self) -> &str {
            self.0
        }
    }

    fn ask(answers: &[Answer], call: &str, from: usize) -> (Asked, Handlers, Vec<&'static str>) {
        let (log, mut handlers) = (Log::default(), Handlers::default());
        for (name, answer) in answers {
            handlers.push(Box::new(Says(name, *answer, Log::clone(&log))), ARCH).expect("its own");
        }
        let guest = Fake::default();
        let asked = handlers.ask(&mut Entry::new(guest.call(ARCH, call, &[])), from, &mut Vec::new());
        let order = log.lock().expect("log").clone();
        (asked, handlers, order)
    }

    #[test]
    fn the_first_that_does_not_pass_decides() {
        let answers: [(_, fn() -> Action); 4] =
            [("a", || Action::Pass), ("b", || Action::Errno(13)), ("c", || Action::Allow), ("d", || Action::Kill)];
        let (asked, handlers, order) = ask(&answers, "getpid", 0);
        assert!(matches!(asked.verdict, Verdict::Errno(13)));
        assert_eq!((handlers.name(asked.by), order), ("b", vec!["a", "b"]));
        let (asked, _, order) = ask(&answers, "getpid", 2);
        assert!(matches!(asked.verdict, Verdict::Make), "after a deferral the ones behind are asked");
        assert_eq!(order, ["c"]);
        let (asked, _, order) = ask(&answers, "getgid", 0);
        assert!(matches!(asked.verdict, Verdict::Make) && asked.by.is_none());
        assert_eq!(order, [""; 0], "nobody wants it");
    }

    #[test]
    fn a_panic_refuses_and_is_told() {
        let (asked, handlers, order) = ask(&[("a", || panic!("at {}", "noon")), ("b", || Action::Allow)], "getpid", 0);
        assert!(matches!(asked.verdict, Verdict::Errno(errno::EPERM)));
        assert_eq!(asked.fault.as_deref(), Some("handler a: at noon"));
        assert_eq!((handlers.name(asked.by), order), ("a", vec!["a"]));
    }

    #[test]
    fn an_errno_is_one() {
        for (given, got) in [(0, 1), (1, 1), (4095, 4095), (u16::MAX, 4095)] {
            assert!(matches!(Verdict::of(Action::Errno(given)), Verdict::Errno(errno) if errno == got));
        }
    }

    /// Turns getpid into getppid, and adds to results.
    struct Turns(i64);

    impl Rewriter for Turns {
        fn wants(&self, arch: Arch) -> SyscallSet {
            SyscallSet::from_names(arch, ["getpid"])
        }

        fn on_entry(&mut self, entry: &mut Entry<'_>) -> Action {
            entry.set_number(Sysno::by_name(ARCH, "getuid").expect("a call"));
            Action::Pass
        }

        fn returns(&self, arch: Arch) -> SyscallSet {
            self.wants(arch)
        }

        fn on_return(&mut self, returned: &mut Return<'_>) {
            assert!(self.0 != 99, "no");
            returned.set_value(returned.value() * 10 + self.0);
        }
    }

    #[test]
    fn a_changed_call_is_what_the_next_one_sees_and_results_go_back_up() {
        let (log, mut handlers) = (Log::default(), Handlers::default());
        handlers.push_rewriter(Box::new(Turns(1)), ARCH).expect("its own");
        handlers.push_rewriter(Box::new(Turns(2)), ARCH).expect("its own");
        handlers.push(Box::new(Says("b", || Action::Pass, Log::clone(&log))), ARCH).expect("its own");
        let guest = Fake::default();
        let mut entry = Entry::new(guest.call(ARCH, "getpid", &[]));
        let mut returns = Vec::new();
        let asked = handlers.ask(&mut entry, 0, &mut returns);
        assert!(matches!(asked.verdict, Verdict::Make) && entry.changed);
        assert_eq!(entry.name(), Some("getuid"));
        assert_eq!(returns, [0], "the second does not want what it has become");
        assert_eq!(*log.lock().expect("log"), ["b"]);
        let mut returned = Return { trap: guest.call(ARCH, "getuid", &[]), value: 5, changed: false };
        assert_eq!(handlers.show(&mut returned, &[0, 1]), None);
        assert_eq!(returned.value, 521, "the last one first");
    }

    #[test]
    fn a_panic_on_the_way_out_hides_the_result() {
        let mut handlers = Handlers::default();
        handlers.push_rewriter(Box::new(Turns(99)), ARCH).expect("its own");
        let guest = Fake::default();
        let mut returned = Return { trap: guest.call(ARCH, "getpid", &[]), value: 5, changed: false };
        assert_eq!(handlers.show(&mut returned, &[0]).as_deref(), Some("handler Turns: no"));
        assert_eq!((returned.value, returned.changed), (-1, true));
    }

    #[test]
    fn scratch_lies_below_the_red_zone_and_pieces_do_not_overlap() {
        let guest = Fake::default();
        guest.stack.set(0x10_0008);
        let mut entry = Entry::new(guest.call(ARCH, "open", &[]));
        let (first, second) = (entry.scratch(b"/first\0").expect("room"), entry.scratch(b"/second\0").expect("room"));
        assert!(first + 7 <= 0x10_0008 - 128 && second + 8 <= first, "{first:#x} {second:#x}");
        assert_eq!(entry.string(first, 100), Ok(b"/first".to_vec()));
        assert_eq!(entry.scratch(&[0; 9000]), None);
    }
}
