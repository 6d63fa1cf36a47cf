//! Profiles as users write them: what is read, what is refused, how two become one.

mod check;
mod errors;
mod loading;
mod merging;
mod presets;
mod properties;
mod reading;

use std::path::Path;

use tipstaff_policy::profile::{Error, Profile};

/// The profile of `text` for a user whose home is /home/u.
fn parse(text: &str) -> Result<Profile, Error> {
    Profile::from_toml("p.toml", text, Some(Path::new("/home/u")))
}

fn good(text: &str) -> Profile {
    parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}
