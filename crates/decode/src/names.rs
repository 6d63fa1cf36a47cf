//! Numbers to names.

use crate::{Value, kind::Names};

/// A set of bits, some of which may be a number (`MAP_TYPE`, the signal of clone(2)).
pub(crate) struct Bits {
    /// Parts that are an enumerated constant: their mask, and the names. A part without a name counts as unknown bits.
    pub(crate) fields: &'static [(u64, Names)],
    /// The bits. Names for several bits stand before those for one of them; a name for zero stands for the empty set.
    pub(crate) bits: Names,
}

/// Just bits.
pub(crate) const fn bits(bits: Names) -> Bits {
    Bits { fields: &[], bits }
}

/// The name of a number.
pub(crate) fn name(names: Names, value: u64) -> Option<&'static str> {
    names.binary_search_by_key(&value, |&(known, _)| known).ok().map(|at| names[at].1)
}

/// The name of a number, else the number in hexadecimal.
pub(crate) fn named(names: Names, value: u64) -> Value {
    name(names, value).map_or(Value::Hex(value), Value::Name)
}

impl Bits {
    /// The names of the bits in a word.
    pub(crate) fn of(&self, value: u64) -> Value {
        let mut names = Vec::with_capacity(4);
        let mut rest = value;
        for &(mask, table) in self.fields {
            if let Some(name) = name(table, value & mask) {
                names.push(name);
                rest &= !mask;
            }
        }
        for &(bits, name) in self.bits {
            if bits != 0 && rest & bits == bits {
                names.push(name);
                rest &= !bits;
            }
        }
        if value == 0
            && names.is_empty()
            && let Some(&(_, name)) = self.bits.iter().find(|&&(bits, _)| bits == 0)
        {
            names.push(name);
        }
        Value::Flags { names, rest }
    }
}

const SIGNALS: [&str; 65] = [
    "0",
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
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+16",
    "SIGRTMIN+17",
    "SIGRTMIN+18",
    "SIGRTMIN+19",
    "SIGRTMIN+20",
    "SIGRTMIN+21",
    "SIGRTMIN+22",
    "SIGRTMIN+23",
    "SIGRTMIN+24",
    "SIGRTMIN+25",
    "SIGRTMIN+26",
    "SIGRTMIN+27",
    "SIGRTMIN+28",
    "SIGRTMIN+29",
    "SIGRTMIN+30",
    "SIGRTMIN+31",
    "SIGRTMIN+32",
];

/// A signal's name as [`tipstaff_abi::signal::name`] spells it, without an allocation; `None` for 0 and what is no signal.
pub(crate) fn signal_name(number: i64) -> Option<&'static str> {
    usize::try_from(number).ok().filter(|&n| n != 0).and_then(|n| SIGNALS.get(n).copied())
}

/// A signal's name, else its number.
pub(crate) fn signal(number: i64) -> Value {
    signal_name(number).map_or(Value::Int(number), Value::Name)
}

/// `ERESTARTSYS` and its kin (include/linux/errno.h): a tracer sees them where the program sees EINTR or a restarted call.
pub(crate) fn errno(number: i64) -> Option<&'static str> {
    match number {
        512 => Some("ERESTARTSYS"),
        513 => Some("ERESTARTNOINTR"),
        514 => Some("ERESTARTNOHAND"),
        515 => Some("ENOIOCTLCMD"),
        516 => Some("ERESTART_RESTARTBLOCK"),
        517 => Some("EPROBE_DEFER"),
        518 => Some("EOPENSTALE"),
        519 => Some("ENOPARAM"),
        _ => tipstaff_abi::errno::name(i32::try_from(number).ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_spelt_as_everywhere_else() {
        for number in 0..70 {
            assert_eq!(signal_name(number.into()).map(str::to_owned), tipstaff_abi::signal::name(number), "{number}");
        }
        assert_eq!(signal(-1), Value::Int(-1));
    }

    #[test]
    fn several_bits_go_before_one_and_unknown_bits_are_left() {
        static SET: Bits =
            Bits { fields: &[(3, &[(0, "RD"), (1, "WR")])], bits: &[(0x30, "BOTH"), (0x10, "ONE"), (0x40, "OTHER")] };
        assert_eq!(SET.of(0x31), Value::Flags { names: vec!["WR", "BOTH"], rest: 0 });
        assert_eq!(SET.of(0x93), Value::Flags { names: vec!["ONE"], rest: 0x83 });
        assert_eq!(SET.of(0), Value::Flags { names: vec!["RD"], rest: 0 });
        static PROT: Bits = bits(&[(0, "NONE"), (1, "READ")]);
        assert_eq!(PROT.of(0), Value::Flags { names: vec!["NONE"], rest: 0 });
        assert_eq!(PROT.of(1), Value::Flags { names: vec!["READ"], rest: 0 });
    }
}
