//! Signal names.
//!
//! The numbers are those of x86 and ARM; alpha, mips, parisc and sparc number a few of them differently.

/// The first real-time signal as the kernel counts. A C library keeps the lowest for itself (glibc two, musl
/// three), so its own `SIGRTMIN` is higher; a kernel number does not depend on who asks.
pub const RTMIN: i32 = 32;

/// The last signal.
pub const MAX: i32 = 64;

const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

const ALIASES: [(&str, i32); 3] = [("SIGIOT", 6), ("SIGCLD", 17), ("SIGPOLL", 29)];

/// "SIGXCPU", "SIGRTMIN+2"; `None` for what is no signal.
#[must_use]
pub fn name(number: i32) -> Option<String> {
    match number {
        1..RTMIN => Some(NAMES[number as usize - 1].to_owned()),
        RTMIN => Some("SIGRTMIN".to_owned()),
        _ if number > RTMIN && number <= MAX => Some(format!("SIGRTMIN+{}", number - RTMIN)),
        _ => None,
    }
}

/// The number of a name, with or without "SIG" in front.
#[must_use]
pub fn by_name(name: &str) -> Option<i32> {
    let short = name.strip_prefix("SIG").unwrap_or(name);
    if let Some(up) = short.strip_prefix("RTMIN") {
        let up = if up.is_empty() { 0 } else { offset(up.strip_prefix('+')?)? };
        return Some(RTMIN + up);
    }
    if let Some(down) = short.strip_prefix("RTMAX") {
        let down = if down.is_empty() { 0 } else { offset(down.strip_prefix('-')?)? };
        return Some(MAX - down);
    }
    let named = NAMES.iter().zip(1..).map(|(&known, number)| (known, number)).chain(ALIASES);
    named.into_iter().find(|(known, _)| known[3..] == *short).map(|(_, number)| number)
}

fn offset(digits: &str) -> Option<i32> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|n| plain && (0..=MAX - RTMIN).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for number in 1..=MAX {
            let name = name(number).expect("a signal");
            assert_eq!(by_name(&name), Some(number), "{name}");
            assert_eq!(by_name(&name[3..]), Some(number), "{name}");
        }
        assert_eq!((name(0), name(65), name(-1)), (None, None, None));
        assert_eq!(name(24).as_deref(), Some("SIGXCPU"));
        assert_eq!((by_name("SIGRTMAX"), by_name("SIGRTMAX-1"), by_name("SIGRTMIN+33")), (Some(64), Some(63), None));
        assert_eq!(
            (by_name("SIGPOLL"), by_name("SIGRTMIN+"), by_name("SIGRTMIN++1"), by_name("SIG")),
            (Some(29), None, None, None)
        );
    }
}
