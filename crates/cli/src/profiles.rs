//! `tipstaff profile list|show|check`.

use tipstaff::policy::profile::{Loader, Origin};

use crate::args::ProfileAction;
use crate::say;

/// Does it; the exit status: for `check` 1 when the profile cannot be read.
pub fn call(action: &ProfileAction) -> u8 {
    let loader = Loader::from_env();
    match action {
        ProfileAction::List => {
            let entries = loader.list();
            let width = entries.iter().map(|e| e.name.chars().count()).max().unwrap_or(0);
            for entry in entries {
                let origin = match &entry.origin {
                    Origin::Preset => "preset".to_owned(),
                    Origin::File(path) => path.display().to_string(),
                    Origin::Hidden(path) => format!("{} (hidden by the preset)", path.display()),
                };
                println!("{:width$}  {}  [{origin}]", entry.name, entry.description);
            }
            0
        }
        ProfileAction::Show { name } => {
            let text = loader.load(name).and_then(|profile| profile.to_toml());
            match text {
                Ok(text) => {
                    print!("{text}");
                    0
                }
                Err(e) => {
                    say::error(e);
                    say::FAILED
                }
            }
        }
        ProfileAction::Check { name } => match loader.load(name) {
            Ok(_) => {
                println!("{}: ok", name.display());
                0
            }
            Err(e) => {
                let unread = e.is_unread();
                say::error(e);
                if unread { say::FAILED } else { 1 }
            }
        },
    }
}
