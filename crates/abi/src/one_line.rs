//! Text of somebody else's making in a message of ours.

use std::borrow::Cow;

/// The text without control characters, which are escaped. Words come from files and from programs: a line feed in one would make two messages of
/// one, an escape would speak to the terminal.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(one_line("a\nb\u{1b}[2J\u{85}"), "a\\nb\\u{1b}[2J\\u{85}");
        assert!(matches!(one_line("plain, \u{e9}"), Cow::Borrowed("plain, \u{e9}")));
    }
}
