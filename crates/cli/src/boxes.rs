//! `tipstaff ps`, `inspect`, `kill`, `pause`, `resume`, `hold`, `release`: running boxes, by name.

use std::io::Write;
use std::time::Duration;

use tipstaff::control::{Ask, Found, Reply, Request, Status, ask, check_name, list, list_of};
use tipstaff::policy::value::nearest;
use tipstaff_abi::one_line;

use crate::args::{Names, Whose};
use crate::say;

/// A pause is given up by the box after two seconds, and everything else takes less.
const PATIENCE: Duration = Duration::from_secs(10);
/// The end of a big box.
const END: Duration = Duration::from_secs(60);

/// `tipstaff ps`.
pub fn ps(json: bool, whose: &Whose) -> u8 {
    let found = match of(whose) {
        Ok(found) => found,
        Err(e) => {
            say::error(e);
            return say::FAILED;
        }
    };
    let mut failed = false;
    let mut rows = Vec::new();
    for found in found {
        match ask(&found, Request::Status, PATIENCE) {
            Ok(Reply::Status(status)) => rows.push(status),
            // Ended between the two looks.
            Err(Ask::Gone) => {}
            other => failed |= tell(&found, other) != 0,
        }
    }
    if json {
        let rows = serde_json::to_string(&rows).unwrap_or_default();
        let _ = writeln!(std::io::stdout(), "{rows}");
    } else {
        table(&rows);
    }
    if failed { say::FAILED } else { 0 }
}

fn of(whose: &Whose) -> std::io::Result<Vec<Found>> {
    whose.user.map_or_else(list, list_of)
}

fn table(rows: &[Status]) {
    let head = ["NAME", "PID", "SINCE", "STATE", "PROCESSES", "MEMORY", "COMMAND"].map(str::to_owned);
    let lines: Vec<[String; 7]> = std::iter::once(head).chain(rows.iter().map(row)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut out = std::io::stdout().lock();
    for line in &lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(&format!("{cell:width$}  "));
        }
        let _ = writeln!(out, "{text}{}", line[6]);
    }
}

fn row(status: &Status) -> [String; 7] {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(status.since_ms).unwrap_or(i64::MAX)).unwrap_or_default();
    let at = at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mut state = status.state.as_str().to_owned();
    if status.held {
        state.push_str(", held");
    }
    let memory =
        status.memory_bytes.map_or("-".to_owned(), |b| format!("{}.{} MiB", b >> 20, ((b & 0xf_ffff) * 10) >> 20));
    let command: Vec<String> = status.command.iter().map(|word| one_line(&word.to_string()).into_owned()).collect();
    let pid = status.pid.map_or("-".to_owned(), |pid| pid.to_string());
    [one_line(&status.name).into_owned(), pid, at, state, status.processes.to_string(), memory, command.join(" ")]
}

/// `tipstaff inspect`: a JSON object a line.
pub fn inspect(names: &Names) -> u8 {
    each(names, |found| match ask(found, Request::Inspect, PATIENCE) {
        Ok(Reply::Inspect(inspect)) => {
            let text = serde_json::to_string(&inspect).unwrap_or_default();
            let _ = writeln!(std::io::stdout(), "{text}");
            0
        }
        other => tell(found, other),
    })
}

/// `tipstaff kill`.
pub fn kill(names: &Names, signal: Option<i32>) -> u8 {
    let request = Request::Kill { signal };
    each(names, |found| match (ask(found, request, END), signal) {
        // It has ended, which is what was asked for.
        (Err(Ask::Gone), None) => 0,
        (other, _) => tell(found, other),
    })
}

/// What has no answer but that it is done.
pub fn order(names: &Names, request: Request) -> u8 {
    each(names, |found| tell(found, ask(found, request, PATIENCE)))
}

/// A signal's name or number.
pub fn signal(text: &str) -> Result<i32, String> {
    let number = text.parse().ok().or_else(|| tipstaff_abi::signal::by_name(&text.to_uppercase()));
    let valid = number.filter(|n| (1..=tipstaff_abi::signal::MAX).contains(n));
    valid.ok_or_else(|| format!("no signal: {text:?}; write a name like TERM or a number from 1 to 64"))
}

/// All of them are tried, whatever becomes of the first.
fn each(names: &Names, mut act: impl FnMut(&Found) -> u8) -> u8 {
    let found = match of(&names.whose) {
        Ok(found) => found,
        Err(e) => {
            say::error(e);
            return say::FAILED;
        }
    };
    let mut status = 0;
    for name in &names.names {
        status = status.max(match found.iter().find(|found| found.name() == name) {
            Some(found) => act(found),
            None => {
                unknown(name, &found);
                say::FAILED
            }
        });
    }
    status
}

fn unknown(name: &str, found: &[Found]) {
    let near = nearest(name, found.iter().map(Found::name));
    match (check_name(name), near) {
        (_, Some(near)) => say::error(format_args!("no box is called {name:?}; is it {near:?}?")),
        (Err(why), None) => say::error(why),
        (Ok(()), None) => {
            say::error(format_args!("no box is called {name:?}; `tipstaff ps` lists those that have a name"))
        }
    }
}

/// The status for an answer that says no more than yes or no.
fn tell(found: &Found, answer: Result<Reply, Ask>) -> u8 {
    match answer {
        Ok(Reply::Done { note }) => {
            note.iter().for_each(say::note);
            0
        }
        Ok(Reply::Refused { why }) => {
            say::error(why);
            say::FAILED
        }
        Ok(Reply::Status(_) | Reply::Inspect(_)) => {
            say::error(format_args!("box {:?} answers something else; use its own tipstaff", found.name()));
            say::FAILED
        }
        Err(Ask::Gone) => {
            say::error(format_args!("box {:?} has ended", found.name()));
            say::FAILED
        }
        Err(Ask::Io(e)) => {
            say::error(e);
            say::FAILED
        }
    }
}
