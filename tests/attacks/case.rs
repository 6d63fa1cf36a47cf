//! One attack, tried under one engine by one user, and what came of it.
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use tipstaff_testkit::{Machine, Ran, Run, User, last_skip, note_skip, plain, run, target_dir};

/// One cell of the table.
pub struct Case {
    /// The item's name in the catalogue.
    pub item: &'static str,
    /// `native`, `notify` or `ptrace`.
    pub engine: &'static str,
    /// Who runs the command.
    pub user: User,
}

impl Case {
    /// The program in a box, under this engine.
    pub fn boxed<W: AsRef<OsStr>>(&self, command: impl IntoIterator<Item = W>) -> Run {
        run(command).option("--engine", self.engine).as_user(self.user)
    }

    /// The program as it is: the positive control.
    pub fn free<W: AsRef<OsStr>>(&self, command: impl IntoIterator<Item = W>) -> Run {
        plain(command).as_user(self.user)
    }

    /// Is it root who runs the command?
    pub fn is_root(&self) -> bool {
        self.user == User::Root
    }

    /// Does this engine hear of refused calls?
    pub fn hears(&self) -> bool {
        self.engine == "notify"
    }
}

/// Tries one case, and keeps the result for the table.
pub fn judge(item: &'static str, engine: &'static str, user: User, attack: fn(&Case)) {
    let case = Case { item, engine, user };
    if let Some(why) = Machine::Full.unavailable(user) {
        note_skip(why);
        return note(&case, &format!("skipped\t{why}"));
    }
    let _ = last_skip();
    let ended = catch_unwind(AssertUnwindSafe(|| attack(&case)));
    match (&ended, last_skip()) {
        (Err(_), _) => note(&case, "UNEXPECTED\t"),
        (Ok(()), Some(why)) => note(&case, &format!("skipped\t{}", why.replace(['\n', '\t'], " "))),
        (Ok(()), None) => note(&case, "held\t"),
    }
    if let Err(panic) = ended {
        resume_unwind(panic);
    }
}

/// Where results are kept: a file for each cell, so that a new run replaces the old one.
pub fn results() -> PathBuf {
    target_dir().join("testkit/attacks")
}

/// The name of a cell.
pub fn cell(item: &str, engine: &str, user: User) -> String {
    let user = if user == User::Root { "root" } else { "ordinary" };
    format!("{item}.{engine}.{user}")
}

fn note(case: &Case, result: &str) {
    let dir = results();
    let file = dir.join(cell(case.item, case.engine, case.user));
    let noted = fs::create_dir_all(&dir).and_then(|()| fs::write(file, result));
    noted.unwrap_or_else(|error| panic!("a result that nobody sees: {error}"));
}

/// The lines `NAME RESULT` that a probing guest prints.
pub fn answers(ran: &Ran) -> BTreeMap<String, String> {
    let words = |line: &str| line.split_once(' ').map(|(name, result)| (name.to_owned(), result.to_owned()));
    ran.out().lines().filter_map(words).collect()
}

#[track_caller]
fn answer(ran: &Ran, way: &str) -> String {
    let all = answers(ran);
    all.get(way).unwrap_or_else(|| panic!("the guest does not say what became of {way}\n{ran}")).clone()
}

/// Each of these ways was refused.
#[track_caller]
pub fn refused(ran: &Ran, ways: &[&str]) {
    for way in ways {
        ran.check(answer(ran, way) != "OK", format_args!("{way} is not refused"));
    }
}

/// Each of these ways led to the end: the control of a refusal, or what a box must not take away.
#[track_caller]
pub fn works(ran: &Ran, ways: &[&str]) {
    for way in ways {
        ran.check(answer(ran, way) == "OK", format_args!("{way} does not work: {}", answer(ran, way)));
    }
}

/// Every way that was tried was refused, and there was at least one.
#[track_caller]
pub fn all_refused(ran: &Ran) {
    let all = answers(ran);
    ran.check(!all.is_empty(), "nothing was tried");
    refused(ran, &all.keys().map(String::as_str).collect::<Vec<_>>());
}

/// Each answer in the box is a refusal, and not what the kernel says without one. As an ordinary user the kernel itself forbids much with the
/// same words, so there only something has to be answered otherwise; `same` names ways for which that holds as root too.
#[track_caller]
pub fn refused_otherwise_than(free: &Ran, boxed: &Ran, case: &Case, same: &[&str]) {
    const REFUSALS: [&str; 7] =
        ["EPERM", "EACCES", "ENOSYS", "EOPNOTSUPP", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT"];
    let (inside, outside) = (answers(boxed), answers(free));
    boxed.check(inside.len() == outside.len(), "not every way was tried");
    let mut distinct = 0;
    for (way, inside) in &inside {
        boxed.check(REFUSALS.contains(&inside.as_str()), format_args!("{way} is answered {inside}"));
        let outside = &outside[way];
        distinct += usize::from(outside != inside);
        // What the kernel was built without is absent in both.
        let absent = outside == "ENOSYS" || same.contains(&way.as_str());
        free.check(
            outside != inside || absent || !case.is_root(),
            format_args!("{way}: the control is answered as the box is"),
        );
    }
    free.check(distinct > 0, "nothing is answered otherwise outside");
}
