//! The nearest word to a misspelt one.

/// The known word nearest to `found`, if any is near enough to have been meant: at most a third of the letters differ
/// (of short words, one).
#[must_use]
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (far, word) = known.into_iter().map(|word| (distance(word, found), word)).min()?;
    (far * 3 <= found.chars().count().max(3)).then_some(word)
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_a_third_of_the_letters() {
        assert_eq!(nearest("opennat", ["open", "openat", "read"]), Some("openat"));
        assert_eq!(nearest("raed", ["write"]), None);
        assert_eq!(nearest("", ["a"]), Some("a"));
        assert_eq!(nearest("x", []), None);
    }
}
