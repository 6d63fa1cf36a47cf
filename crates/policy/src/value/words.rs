//! Enumerations that are words in profiles and flags.

/// Declares an enumeration with the word of each variant: `ALL`, `as_str`, `Display` and a `FromStr` that names the
/// nearest word.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in profiles and flags.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::value::ValueError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let known = Self::ALL.iter().find(|known| known.as_str() == text).copied();
                known.ok_or_else(|| $crate::value::ValueError::UnknownWord {
                    text: text.to_owned(),
                    nearest: $crate::value::nearest(text, [$($word),+]).map(str::to_owned),
                    choices: vec![$($word.to_owned()),+],
                })
            }
        }
    };
}

pub(crate) use words;
