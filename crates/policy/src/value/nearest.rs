//! "Did you mean".

/// The word of `known` that is nearest to `word`, if one is near: at most a third of its letters differ.
/// Case, and `-` for `_`, do not count as differences.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer than any word we know: a waste of time to compare.
    if word.len() > 64 {
        return None;
    }
    let fold = |text: &str| text.to_lowercase().replace('-', "_");
    let word = fold(word);
    known
        .into_iter()
        .map(|candidate| (distance(&word, &fold(candidate)), candidate))
        .filter(|&(far, candidate)| far * 3 <= candidate.chars().count().max(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swap = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                replace.min(swap).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near() {
        let known = ["memory", "output", "open_files", "cpu"];
        assert_eq!(nearest("memroy", known), Some("memory"));
        assert_eq!(nearest("open-files", known), Some("open_files"));
        assert_eq!(nearest("CPU", known), Some("cpu"));
        assert_eq!(nearest("cup", known), Some("cpu"));
    }

    #[test]
    fn another_word_is_not() {
        assert_eq!(nearest("network", ["memory", "cpu"]), None);
        assert_eq!(nearest("", ["cpu"]), None);
        assert_eq!(nearest(&"x".repeat(100_000), ["cpu"]), None);
    }
}
