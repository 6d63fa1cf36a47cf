//! The attack suite: every known way to break a box, tried against the command as a black box. One file per group of the catalogue.
//!
//! An item is a line of `attacks!`: its name, what is tried and what must come of it, and how that is known. `tried` names the engines and the
//! function; each becomes a test as root and as an ordinary user. `held` names tests elsewhere that try the same. `design` says why there is nothing
//! to try. `docs/security.md` shows how to print the table.
#![forbid(unsafe_code)]

mod case;
mod catalogue;
mod configuration;
mod files;
mod judging;
mod leaks;
mod notifications;
mod posture;
mod reach;
mod resources;
mod seccomp;
mod tasks;
mod tracing;

/// What is known of one item of the catalogue.
pub struct Item {
    /// Group letter and number.
    pub id: &'static str,
    /// The attack and what must come of it, in a few words.
    pub title: &'static str,
    /// The engines under which it is tried here; each as root and as an ordinary user.
    pub engines: &'static [&'static str],
    /// Tests elsewhere that try it: file and name.
    pub held: &'static [(&'static str, &'static str)],
    /// What is known not to be held, and why.
    pub left: &'static str,
    /// Why there is nothing to try.
    pub design: &'static str,
}

/// The items of one group: `ID "title" => tried(ENGINE …: FUNCTION)`, `held("FILE": NAME …)`, `left("what is not held, and why")`, with a `+` between; or
/// `design("why there is nothing to try")`.
macro_rules! attacks {
    ($($id:ident $title:literal => $first:ident $body:tt $(+ $more:ident $other:tt)*;)*) => {
        pub const ITEMS: &[crate::Item] = &[$(
            crate::fact!(crate::Item {
                id: stringify!($id), title: $title, engines: &[], held: &[], left: "", design: "",
            }; $first $body $($more $other)*),
        )*];
        $(crate::fact!(@tests $id $first $body);)*
    };
}
pub(crate) use attacks;

macro_rules! fact {
    (@tests $id:ident tried ($($engine:ident)+ : $test:expr)) => {
        #[allow(non_snake_case)]
        mod $id {
            $(mod $engine {
                #[allow(unused_imports)]
                use super::super::*;

                #[test]
                fn root() {
                    crate::case::judge(stringify!($id), stringify!($engine), tipstaff_testkit::User::Root, $test);
                }

                #[test]
                fn ordinary() {
                    crate::case::judge(stringify!($id), stringify!($engine), tipstaff_testkit::User::Ordinary, $test);
                }
            })+
        }
    };
    (@tests $id:ident $($other:tt)*) => {};
    ($item:expr;) => { $item };
    ($item:expr; tried ($($engine:ident)+ : $test:expr) $($rest:tt)*) => {
        crate::fact!(crate::Item { engines: &[$(stringify!($engine)),+], ..$item }; $($rest)*)
    };
    ($item:expr; held ($($file:literal : $($name:ident)+),+) $($rest:tt)*) => {
        crate::fact!(crate::Item { held: &[$($(($file, stringify!($name)),)+)+], ..$item }; $($rest)*)
    };
    ($item:expr; left ($why:literal) $($rest:tt)*) => { crate::fact!(crate::Item { left: $why, ..$item }; $($rest)*) };
    ($item:expr; design ($why:literal) $($rest:tt)*) => { crate::fact!(crate::Item { design: $why, ..$item }; $($rest)*) };
}
pub(crate) use fact;
