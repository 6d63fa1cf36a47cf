//! Tests that cannot run here say so, and are counted.
use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::io::Write as _;

thread_local! {
    static REASON: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Ends the test here, because of something that this machine lacks. The reason is printed, and
/// kept in `TARGET/testkit/skips.txt` because the output of a test that passes is not shown.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        $crate::note_skip(&format!($($reason)+));
        return;
    }};
}

/// What [`skip!`] does before it returns.
pub fn note_skip(reason: &str) {
    println!("SKIP: {reason}");
    REASON.set(Some(reason.to_owned()));
    // Nextest knows the name of the test; else the thread has it.
    let name = std::env::var("NEXTEST_TEST_NAME").ok().or_else(|| std::thread::current().name().map(str::to_owned));
    let dir = crate::target_dir().join("testkit");
    let line = format!("{}\t{reason}\n", name.as_deref().unwrap_or("?"));
    // One write of a short line: parallel tests do not mix.
    let noted = fs::create_dir_all(&dir)
        .and_then(|()| OpenOptions::new().create(true).append(true).open(dir.join("skips.txt")))
        .and_then(|mut file| file.write_all(line.as_bytes()));
    noted.unwrap_or_else(|error| panic!("a skipped test that nobody counts: {error}"));
}

/// The reason of the last skip on this thread, for tests that keep their own account.
pub fn last_skip() -> Option<String> {
    REASON.take()
}
