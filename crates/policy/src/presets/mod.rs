//! The profiles that come with the program. Each is a TOML file that explains its choices; its first line is its
//! description.

/// Every preset: name and text.
pub const ALL: &[(&str, &str)] = &[
    ("default", include_str!("default.toml")),
    ("strict", include_str!("strict.toml")),
    ("judge", include_str!("judge.toml")),
    ("python", include_str!("python.toml")),
    ("node", include_str!("node.toml")),
    ("build", include_str!("build.toml")),
    ("agent", include_str!("agent.toml")),
];

/// The text of the preset `name`.
pub fn text(name: &str) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| *known == name).map(|&(_, text)| text)
}
