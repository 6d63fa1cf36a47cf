//! `--inject=`: calls that are answered by us, delayed, or followed by a signal.

use std::collections::HashMap;
use std::time::Duration;

use tipstaff::handler::provided::When;
use tipstaff_abi::{Arch, errno, nearest, signal};

use super::calls::Calls;

/// What is done to some calls.
#[derive(Clone, Debug)]
pub struct Injection {
    /// Which calls.
    pub calls: Calls,
    /// The call is not made; this is what it returns, an errno negated.
    pub result: Option<i64>,
    /// A signal for the thread, at the entry.
    pub signal: Option<i32>,
    /// How long the thread stands before the call.
    pub delay_enter: Option<Duration>,
    /// How long it stands after it.
    pub delay_exit: Option<Duration>,
    when: When,
}

impl Injection {
    /// `SET:ACTION[:ACTION]…[:when=…]`. With `fault`, ENOSYS if no action says otherwise. `option` is what errors begin with.
    pub fn parse(option: &str, text: &str, fault: bool) -> Result<(Self, Vec<String>), String> {
        let mut parts = text.split(':');
        let (calls, notes) = Calls::parse(option, parts.next().unwrap_or_default())?;
        let mut injection =
            Self { calls, result: None, signal: None, delay_enter: None, delay_exit: None, when: When::default() };
        for part in parts {
            injection.action(part).map_err(|e| format!("{option}{text}: {e}"))?;
        }
        let idle = injection.result.is_none() && injection.signal.is_none();
        if idle && fault {
            injection.result = Some(-38);
        } else if idle && injection.delay_enter.is_none() && injection.delay_exit.is_none() {
            return Err(format!(
                "{option}{text}: nothing to do; add error=E, retval=V, signal=S, delay_enter=US or delay_exit=US"
            ));
        }
        Ok((injection, notes))
    }

    fn action(&mut self, part: &str) -> Result<(), String> {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let wrong = |cure: &str| format!("{part}: {cure}");
        match key {
            "error" | "retval" if self.result.is_some() => {
                return Err("error= and retval= exclude each other, and stand once".to_owned());
            }
            "error" => self.result = Some(-i64::from(parse_errno(value)?)),
            "retval" => {
                let hex = value.strip_prefix("0x").and_then(|digits| i64::from_str_radix(digits, 16).ok());
                let number = hex.or_else(|| value.parse().ok()).ok_or_else(|| wrong("write a number"))?;
                if number < 0 {
                    return Err(wrong("a result is not negative; error=E makes the call fail"));
                }
                self.result = Some(number);
            }
            "signal" => self.signal = Some(parse_signal(value)?),
            "delay_enter" => self.delay_enter = Some(delay(value).ok_or_else(|| wrong(DELAY))?),
            "delay_exit" => self.delay_exit = Some(delay(value).ok_or_else(|| wrong(DELAY))?),
            "when" => {
                self.when =
                    When::parse(value).ok_or_else(|| wrong("write when=FIRST[..LAST][+STEP], numbers from 1"))?;
            }
            _ => {
                const KEYS: [&str; 6] = ["error", "retval", "signal", "delay_enter", "delay_exit", "when"];
                let near = nearest(key, KEYS).map_or_else(|| KEYS.join("=, ") + "=", |near| format!("{near}="));
                return Err(wrong(&format!("known are {near}")));
            }
        }
        Ok(())
    }
}

const DELAY: &str = "write microseconds, or a number with s, ms, us or ns";

fn delay(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().ok()?;
    match &text[split..] {
        "" | "us" => Some(Duration::from_micros(number)),
        "ns" => Some(Duration::from_nanos(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        _ => None,
    }
}

fn parse_errno(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=4095).contains(&number) { Ok(number) } else { Err(format!("error={text}: 1 to 4095")) };
    }
    errno::by_name(text).ok_or_else(|| {
        let near = nearest(text, errno::all().map(|(_, name, _)| name));
        let near = near.map_or_else(|| "errno(3) lists them".to_owned(), |near| format!("did you mean {near}?"));
        format!("error={text}: no such errno; {near}")
    })
}

/// A signal by name, with or without SIG, or by number.
pub fn parse_signal(text: &str) -> Result<i32, String> {
    let number = text.parse().ok().filter(|&number| signal::name(number).is_some());
    number.or_else(|| signal::by_name(text)).ok_or_else(|| {
        let names: Vec<String> = (1..=64).filter_map(signal::name).collect();
        let near = nearest(text, names.iter().map(String::as_str));
        let near = near.map_or_else(|| "signal(7) lists them".to_owned(), |near| format!("did you mean {near}?"));
        format!("no signal {text}; {near}")
    })
}

/// What applies to one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// As [`Injection::result`], and so on.
    pub result: Option<i64>,
    /// A signal.
    pub signal: Option<i32>,
    /// Before the call.
    pub delay_enter: Option<Duration>,
    /// After the call.
    pub delay_exit: Option<Duration>,
}

/// All injections, and how often each thread has made each call.
#[derive(Debug, Default)]
pub struct Injections {
    list: Vec<Injection>,
    made: HashMap<(i32, Arch, u32), u64>,
}

impl Injections {
    /// Nothing has been called yet.
    pub fn new(list: Vec<Injection>) -> Self {
        Self { list, made: HashMap::new() }
    }

    /// Every call that is changed.
    pub fn calls(&self) -> Calls {
        self.list.iter().fold(Calls::none(), |all, one| all.union(&one.calls))
    }

    /// What to do to this call of this thread, which is counted. Of several injections for a call, the last counts, as with strace.
    pub fn entered(&mut self, tid: i32, arch: Arch, number: u32) -> Option<Applied> {
        let one = self.list.iter().rev().find(|one| one.calls.contains(arch, number))?;
        let nth = self.made.entry((tid, arch, number)).or_default();
        *nth += 1;
        one.when.holds(*nth).then_some(Applied {
            result: one.result,
            signal: one.signal,
            delay_enter: one.delay_enter,
            delay_exit: one.delay_exit,
        })
    }
}

#[cfg(test)]
mod tests {
    use tipstaff_abi::Sysno;

    use super::*;

    fn parse(text: &str) -> Injection {
        Injection::parse("--inject=", text, false).expect(text).0
    }

    #[test]
    fn when_is_stracess() {
        let takes = |text: &str| {
            let when = When::parse(text).expect(text);
            (1..=10).filter(|&nth| when.holds(nth)).collect::<Vec<u64>>()
        };
        assert_eq!(takes("3"), [3]);
        assert_eq!(takes("8+"), [8, 9, 10]);
        assert_eq!(takes("2+3"), [2, 5, 8]);
        assert_eq!(takes("2..4"), [2, 3, 4]);
        assert_eq!(takes("1..8+4"), [1, 5]);
        for wrong in ["", "0", "x", "4..2", "1..", "1+0", "+2", "1+x"] {
            assert_eq!(When::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn actions_and_counting() {
        let all = parse("openat:error=ENOENT:signal=USR1:delay_enter=5:delay_exit=2ms:when=2");
        assert_eq!((all.result, all.signal), (Some(-2), Some(10)));
        assert_eq!(all.delay_enter, Some(Duration::from_micros(5)));
        assert_eq!(all.delay_exit, Some(Duration::from_millis(2)));
        let openat = Sysno::by_name(Arch::X86_64, "openat").expect("a call").0;
        let mut injections = Injections::new(vec![all]);
        let mut hit = |tid| injections.entered(tid, Arch::X86_64, openat).is_some();
        assert_eq!([hit(1), hit(2), hit(1), hit(1), hit(2)], [false, false, true, false, true]);
        assert_eq!(injections.entered(1, Arch::X86_64, openat + 1), None);
        assert_eq!(parse("read:retval=0x10").result, Some(16));
        assert_eq!(Injection::parse("--fault=", "read", true).expect("fault").0.result, Some(-38));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_cure() {
        for (text, word) in [
            ("openat", "error=E"),
            ("openat:error=ENOENTT", "did you mean ENOENT"),
            ("openat:error=0", "4095"),
            ("openat:retval=-1", "error="),
            ("openat:retval=1:error=EIO", "exclude"),
            ("openat:signal=SIGUSR3", "did you mean SIGUSR"),
            ("openat:delay_enter=1h", "ms"),
            ("openat:whan=1", "when="),
            ("openat:error=EIO:when=0", "FIRST"),
            ("opnat:error=EIO", "did you mean openat"),
        ] {
            let message = Injection::parse("--inject=", text, false).expect_err(text);
            assert!(message.contains(word), "{message}");
        }
    }
}
