//! Which of a process's failing calls explains how it ended.

use tipstaff_abi::errno;

use super::noise::penalty;
use super::process::{Failure, Process, last_part};

/// A failing call and how well it explains.
#[derive(Debug, Clone)]
pub(super) struct Candidate<'a> {
    pub(super) failure: &'a Failure,
    score: i32,
}

/// From here on a call is named as the reason: the program itself said so, by path and error.
const CERTAIN: i32 = 130;

/// From here on a call may be the reason: something that the program said fits, or it is a deed that failed.
const LIKELY: i32 = 0;

/// Below this a call is not worth telling.
const WORTH: i32 = -50;

/// What programs say instead of the words of strerror(3), in small letters.
const OTHER_WORDS: [(&str, &[&str]); 6] = [
    (
        "ENOENT",
        &["not found", "no such", "nonexistent", "does not exist", "doesn't exist", "cannot find", "can't find"],
    ),
    ("EACCES", &["denied", "not permitted", "not allowed"]),
    ("EPERM", &["denied", "not permitted", "not allowed"]),
    ("EEXIST", &["exists"]),
    ("ECONNREFUSED", &["refused"]),
    ("ENOSPC", &["no space", "disk full"]),
];

impl Candidate<'_> {
    /// Whether the program's own words point to this call.
    pub(super) fn certain(&self) -> bool {
        self.score >= CERTAIN
    }

    /// Whether it can be named as a guess.
    pub(super) fn likely(&self) -> bool {
        self.score >= LIKELY
    }
}

/// The failing calls that may explain a process's end, the best first.
///
/// What a program writes to stderr is the best witness: a call is rated by whether its path, and its error's words, occur in what was
/// written after it. Without such words the last call that is not noise comes first.
///
/// `witnesses` are the processes whose words count: itself, and those above it.
pub(super) fn candidates<'a>(process: &'a Process, witnesses: &[&Process]) -> Vec<Candidate<'a>> {
    let mut said: Option<(u64, Vec<u8>)> = None;
    let mut found: Vec<_> = process
        .failures
        .iter()
        .rev()
        .filter_map(|failure| {
            // Backwards, what was said after a call only grows; it is put together anew only when there may be more.
            let later = match said.take() {
                Some((order, text)) if !witnesses.iter().any(|witness| witness.said_between(failure.order, order)) => {
                    text
                }
                _ => witnesses.iter().flat_map(|witness| witness.said_after(failure.order)).collect(),
            };
            let score = rate(process, failure, &later);
            said = Some((failure.order, later));
            (score > WORTH).then_some(Candidate { failure, score })
        })
        .collect();
    single_out(&mut found);
    // Stable: among equals the last call stays first.
    found.sort_by_key(|candidate| std::cmp::Reverse(candidate.score));
    found.dedup_by(|later, kept| {
        later.failure.errno == kept.failure.errno
            && later.failure.path == kept.failure.path
            && kept.failure.path.is_some()
    });
    found
}

fn rate(process: &Process, failure: &Failure, said: &[u8]) -> i32 {
    let named = failure.path.as_deref().map_or(0, |path| mentioned(said, path));
    let spoken = if speaks_of(said, failure.errno) { 60 } else { 0 };
    let mut score = named + spoken;
    // Who complains of a call by path and error did not make it in passing.
    if named == 0 || spoken == 0 {
        score += penalty(failure);
    }
    if failure.errno == "ENOENT"
        && failure.path.as_deref().is_some_and(|path| process.found_elsewhere(path, failure.order))
    {
        score -= 90;
    }
    if failure.name.starts_with("exec") {
        score += 15;
    }
    score
}

/// How clearly a path is named in a text: the whole of it, or its last part as a word.
fn mentioned(said: &[u8], path: &[u8]) -> i32 {
    let name = last_part(path);
    if path.len() > 1 && contains_word(said, path) {
        90
    } else if name.len() > 2 && contains_word(said, name) {
        70
    } else {
        0
    }
}

/// Calls whose error is spoken of, and that nothing else with that error competes with, are as good as named.
fn single_out(found: &mut [Candidate<'_>]) {
    for at in 0..found.len() {
        let Candidate { failure, score } = &found[at];
        let alone =
            || found.iter().all(|other| other.failure.errno != failure.errno || other.failure.path == failure.path);
        if (60..CERTAIN).contains(score) && alone() {
            found[at].score += CERTAIN - 60;
        }
    }
}

/// Whether a text names an error: in the words of strerror(3), by its name, or in words that come to the same.
fn speaks_of(said: &[u8], name: &str) -> bool {
    if said.is_empty() {
        return false;
    }
    let lower = said.to_ascii_lowercase();
    let words = errno::by_name(name).and_then(errno::text).map(str::to_ascii_lowercase);
    let others = OTHER_WORDS.iter().find(|(errno, _)| *errno == name).map_or(&[][..], |(_, words)| words);
    words.is_some_and(|words| contains(&lower, words.as_bytes()))
        || contains_word(said, name.as_bytes())
        || others.iter().any(|words| contains(&lower, words.as_bytes()))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

/// Whether `part` stands in a text with no letter or digit directly at its ends.
pub(super) fn contains_word(text: &[u8], part: &[u8]) -> bool {
    let inside = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    !part.is_empty()
        && text.windows(part.len()).enumerate().any(|(at, window)| {
            window == part
                && !inside(at.checked_sub(1).and_then(|before| text.get(before)))
                && !inside(text.get(at + part.len()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_ends() {
        assert!(contains_word(b"cat: /nope: No such", b"/nope"));
        assert!(contains_word(b"'nope'", b"nope"));
        assert!(!contains_word(b"/nopes", b"/nope"));
        assert!(!contains_word(b"anope", b"nope"));
        assert!(!contains_word(b"", b"nope") && !contains_word(b"nope", b""));
    }
}
