//! What can be wrong with a profile: where, what, and the cure.

use std::fmt;

use crate::value::{Shown, ValueError};

/// What is wrong with a profile. Shown as one line: `NAME:LINE:COLUMN: what; the cure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Where.
    pub place: Place,
    /// What. In a box, so that a result with an error in it stays small.
    pub problem: Box<Problem>,
}

impl Error {
    pub(super) fn new(place: Place, problem: Problem) -> Self {
        Self { place, problem: Box::new(problem) }
    }
}

/// A place in a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name or path of the profile.
    pub name: String,
    /// Line and column, both from 1, where there is a text.
    pub position: Option<(usize, usize)>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No TOML.
    Syntax {
        /// In the words of the TOML parser.
        message: String,
    },
    /// No text: a byte that is not UTF-8.
    NotUtf8,
    /// A key that no profile has.
    UnknownKey {
        /// With its section: `limits.memroy`.
        key: String,
        /// The nearest key, if one is near.
        nearest: Option<String>,
        /// All keys of the section.
        choices: Vec<&'static str>,
    },
    /// A value of another type.
    WrongType {
        /// With its section.
        key: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A value that does not mean anything.
    BadValue {
        /// With its section.
        key: String,
        /// Why not.
        error: ValueError,
    },
    /// A key that must be there.
    Missing {
        /// With its section.
        key: String,
    },
    /// An empty text or list where none can be.
    Empty {
        /// With its section.
        key: String,
    },
    /// A NUL byte, which no argument, variable or path can hold.
    Nul {
        /// With its section.
        key: String,
    },
    /// A number outside its range.
    OutOfRange {
        /// With its section.
        key: String,
        /// The number.
        found: String,
        /// The smallest and the largest.
        range: &'static str,
    },
    /// `~` and no home directory to put in its place.
    NoHome {
        /// The path.
        path: String,
    },
    /// `~name`, the home directory of somebody else.
    OtherHome {
        /// The path.
        path: String,
    },
    /// A relative path where it would have no meaning.
    RelativePath {
        /// With its section.
        key: String,
        /// The path.
        path: String,
    },
    /// An `=` or nothing in the name of a variable.
    BadVariable {
        /// The name.
        name: String,
    },
    /// `none` or `host` beside other network rules.
    NotAlone {
        /// The word.
        word: String,
    },
    /// A system call that no architecture has, or a family that is none.
    UnknownSyscall {
        /// Its name.
        name: String,
        /// The nearest name, if one is near.
        nearest: Option<String>,
    },
    /// An errno that is none.
    UnknownErrno {
        /// Its name.
        name: String,
        /// The nearest name, if one is near.
        nearest: Option<String>,
    },
    /// One call in two lists.
    Contradiction {
        /// The call.
        name: String,
        /// The list before.
        first: String,
        /// The list here.
        second: String,
    },
    /// `mask` where nothing is masked, or no `mask` where something is.
    Mask,
    /// No profile of this name.
    NotFound {
        /// The name.
        name: String,
        /// The nearest name, if one is near.
        nearest: Option<String>,
        /// All names.
        choices: Vec<String>,
    },
    /// A file that cannot be read.
    Unreadable {
        /// Why, in the words of the system.
        why: String,
    },
    /// A file too large to be a profile.
    TooLarge,
    /// A profile that extends itself in the end.
    Cycle {
        /// The names on the way round.
        chain: Vec<String>,
    },
    /// More than TOML can say: text that is not UTF-8.
    NotToml {
        /// The text, as far as it can be shown.
        text: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{}:{line}:{column}", Shown(&self.name)),
            None => write!(f, "{}", Shown(&self.name)),
        }
    }
}

impl Error {
    /// The profile was not found or could not be read at all, so nothing can be said of its text.
    pub fn is_unread(&self) -> bool {
        matches!(*self.problem, Problem::NotFound { .. } | Problem::Unreadable { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { message } => write!(f, "{}; write it as TOML", Shown(message)),
            Self::NotUtf8 => f.write_str("a byte here is not UTF-8; save the file as UTF-8"),
            Self::UnknownKey { key, nearest: Some(nearest), .. } => {
                write!(f, "unknown key `{}`; did you mean `{nearest}`?", Shown(key))
            }
            Self::UnknownKey { key, nearest: None, choices } => {
                write!(f, "unknown key `{}`; known here: {}", Shown(key), choices.join(", "))
            }
            Self::WrongType { key, expected, found } => write!(f, "`{key}` is {found}; write {expected}"),
            Self::BadValue { key, error } => write!(f, "{key}: {error}"),
            Self::Missing { key } => write!(f, "`{key}` is missing; add it"),
            Self::Empty { key } => write!(f, "`{key}` is empty; fill it in or leave the key away"),
            Self::Nul { key } => write!(f, "`{key}` holds a NUL byte, which the kernel cannot be told; remove it"),
            Self::OutOfRange { key, found, range } => {
                write!(f, "`{key}` is {}; write a whole number from {range}", Shown(found))
            }
            Self::NoHome { path } => {
                write!(f, "`{}` needs a home directory; set HOME to an absolute path", Shown(path))
            }
            Self::OtherHome { path } => {
                write!(
                    f,
                    "`{}` is somebody else's home; write the full path, or ./~ for a file of that name",
                    Shown(path)
                )
            }
            Self::RelativePath { key, path } => {
                write!(f, "`{key}` is the relative path `{}`; write an absolute one", Shown(path))
            }
            Self::BadVariable { name } => {
                write!(f, "`{}` cannot name a variable; write a name without `=`", Shown(name))
            }
            Self::NotAlone { word } => write!(f, "`{word}` stands beside other rules; write it alone or remove it"),
            Self::UnknownSyscall { name, nearest } => unknown(f, "system call", name, nearest.as_deref()),
            Self::UnknownErrno { name, nearest } => unknown(f, "errno", name, nearest.as_deref()),
            Self::Contradiction { name, first, second } => {
                write!(f, "`{name}` stands in `{first}` and in `{second}`; keep one of the two")
            }
            Self::Mask => {
                f.write_str("`mask` belongs to the operator \"&\" and to no other; add the one or remove the other")
            }
            Self::NotFound { name, nearest: Some(nearest), .. } => {
                write!(f, "there is no profile `{}`; did you mean `{nearest}`?", Shown(name))
            }
            Self::NotFound { name, nearest: None, choices } => {
                let choices = choices.join(", ");
                write!(f, "there is no profile `{}`; known: {choices}; write ./NAME for a file", Shown(name))
            }
            Self::Unreadable { why } => write!(f, "{}; give the path of a file that can be read", Shown(why)),
            Self::TooLarge => f.write_str("larger than 1 MiB; give the path of a profile"),
            Self::Cycle { chain } => {
                write!(f, "extends itself: {}; remove one `extends`", chain.join(" -> "))
            }
            Self::NotToml { text } => write!(f, "`{}` is not UTF-8, which TOML cannot say; rename it", Shown(text)),
        }
    }
}

fn unknown(f: &mut fmt::Formatter<'_>, what: &str, name: &str, nearest: Option<&str>) -> fmt::Result {
    write!(f, "there is no {what} `{}`; ", Shown(name))?;
    match nearest {
        Some(nearest) => write!(f, "did you mean `{nearest}`?"),
        None => f.write_str("remove it"),
    }
}
