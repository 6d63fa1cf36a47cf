//! What can be wrong with one value.

use std::fmt;

/// What is wrong with a value. Shown as one line: what is wrong; the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueError {
    /// `64M`: decimal to some programs, binary to others.
    AmbiguousSize {
        /// What was written.
        text: String,
        /// The binary spelling, `64MiB`.
        binary: String,
        /// The decimal spelling, `64MB`.
        decimal: String,
    },
    /// No size at all.
    BadSize {
        /// What was written.
        text: String,
    },
    /// A duration without a unit.
    BareDuration {
        /// What was written.
        text: String,
    },
    /// No duration at all.
    BadDuration {
        /// What was written.
        text: String,
    },
    /// No count: not a whole number.
    BadCount {
        /// What was written.
        text: String,
    },
    /// Larger than any machine can count.
    TooLarge {
        /// What was written.
        text: String,
    },
    /// A limit of zero.
    Zero,
    /// A word that is none of the known ones.
    UnknownWord {
        /// What was written.
        text: String,
        /// The nearest known word, if one is near.
        nearest: Option<String>,
        /// All known words.
        choices: Vec<String>,
    },
    /// A network rule that does not say what it allows.
    BadNet {
        /// What was written.
        text: String,
        /// What is wrong with it, and the cure.
        why: NetFault,
    },
}

/// What is wrong with a network rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetFault {
    /// Nothing before the ports.
    NoHost,
    /// A protocol other than tcp and udp.
    Protocol,
    /// An IPv6 address without brackets.
    Brackets,
    /// A bracket that is not closed, or holds no IPv6 address.
    BadBrackets,
    /// Neither a name nor an address.
    BadHost,
    /// `0x7f.1`, `127.1`: numbers that old resolvers take for an address.
    OddAddress,
    /// `*` inside a name.
    Wildcard,
    /// A prefix longer than the address, or no number.
    BadPrefix,
    /// Bits set behind the prefix; the rule that was meant, probably.
    HostBits(String),
    /// A URL; the rule that was meant.
    Url(String),
    /// Several peers with commas between them.
    List,
    /// Not a port, a range or a list of them.
    BadPorts,
    /// The same, where ports to listen on are meant.
    BadBind,
    /// A protocol or an address before ports to listen on; the ports.
    BindAddress(String),
    /// `90-80`; the range the right way round.
    Reversed(String),
    /// Port zero, where a port of a peer is meant.
    PortZero,
    /// `none` or `host` where a rule is needed.
    NotARule,
}

impl fmt::Display for NetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHost => "names no host; write a name, an address, a CIDR or `*`",
            Self::Protocol => "has an unknown protocol; write tcp:// or udp://, or leave it away for both",
            Self::Brackets => {
                "is an IPv6 address without brackets; write it as [ADDRESS], [ADDRESS]/PREFIX or [ADDRESS]:PORTS"
            }
            Self::BadBrackets => {
                "has no IPv6 address in its brackets; write [ADDRESS], [ADDRESS]/PREFIX or [ADDRESS]:PORTS"
            }
            Self::BadHost => {
                "has a host that is neither a name nor an address; write a name, an address, a CIDR or `*`"
            }
            Self::OddAddress => "is an address in a form that programs read differently; write four decimal numbers",
            Self::Wildcard => "has a `*` inside a name; write the full name, or `*` alone for every host",
            Self::BadPrefix => "has a prefix that is too long or no number; write at most /32 for IPv4, /128 for IPv6",
            Self::HostBits(cure) => return write!(f, "has bits set behind its prefix; write {cure}"),
            Self::Url(cure) => return write!(f, "is a URL; write {cure}"),
            Self::List => "is a list; write one peer per `--net`, or in a profile one string for each",
            Self::BadPorts => "has a port that is none; ports are 1 to 65535: write 80, 80-90 or 80,443",
            Self::BadBind => {
                "is no port; ports are 1 to 65535, or 0 for one that the kernel chooses: write 80, 80-90 or 80,443"
            }
            Self::BindAddress(cure) => {
                return write!(
                    f,
                    "says more than ports, and binds cannot be limited by address or protocol; write {cure}"
                );
            }
            Self::Reversed(cure) => return write!(f, "has a reversed range of ports; write {cure}"),
            Self::PortZero => "names port 0, to which nothing can connect; write 1 to 65535",
            Self::NotARule => "says nothing here; write a host, a CIDR or `*`",
        })
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AmbiguousSize { text, binary, decimal } => {
                write!(f, "`{}` could mean {binary} or {decimal}; write one of the two", Shown(text))
            }
            Self::BadSize { text } => {
                let text = Shown(text);
                write!(
                    f,
                    "`{text}` is no size; write a whole number of bytes, or one with KiB, MiB, GiB, TiB, KB, MB, GB or TB"
                )
            }
            Self::BareDuration { text } => {
                let text = Shown(text);
                write!(f, "`{text}` has no unit; write {text}s for seconds or {text}ms for milliseconds")
            }
            Self::BadDuration { text } => {
                write!(f, "`{}` is no duration; write a number with us, ms, s, m or h, as in 1.5s", Shown(text))
            }
            Self::BadCount { text } => write!(f, "`{}` is no count; write a whole number", Shown(text)),
            Self::TooLarge { text } => {
                write!(f, "`{}` is too large to count; write \"unlimited\" for no limit", Shown(text))
            }
            Self::Zero => {
                f.write_str("a limit of zero permits nothing; write a larger one, or \"unlimited\" for no limit")
            }
            Self::UnknownWord { text, nearest: Some(nearest), .. } => {
                write!(f, "`{}` is unknown; did you mean `{nearest}`?", Shown(text))
            }
            Self::UnknownWord { text, nearest: None, choices } => {
                write!(f, "`{}` is unknown; write one of: {}", Shown(text), choices.join(", "))
            }
            Self::BadNet { text, why } => write!(f, "`{}` {why}", Shown(text)),
        }
    }
}

impl std::error::Error for ValueError {}

/// Text of somebody else's making, on one line and not too long of one.
pub(crate) struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 80;
        for c in self.0.chars().take(MOST) {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        if self.0.chars().nth(MOST).is_some() { f.write_str("…") } else { Ok(()) }
    }
}
