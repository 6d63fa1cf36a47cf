//! What is said about a command line that cannot be used: one line with the cure.

use std::num::ParseIntError;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::{boxes, say};

/// Says it; the exit status.
pub fn refuse(e: &clap::Error) -> u8 {
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = e.print();
            0
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = e.print();
            say::FAILED
        }
        _ => {
            say::error(line(e));
            say::FAILED
        }
    }
}

fn line(e: &clap::Error) -> String {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let command = words.first().map_or("", String::as_str);
    let argument = text(e, ContextKind::InvalidArg).unwrap_or_default();
    match e.kind() {
        ErrorKind::MissingRequiredArgument => return missing(e, &argument),
        ErrorKind::InvalidSubcommand if !has_tip(e) => {
            let name = text(e, ContextKind::InvalidSubcommand).unwrap_or_default();
            return format!("no command is called {name:?}; `{} --help` lists those that are", called(e));
        }
        ErrorKind::UnknownArgument if command == "kill" => {
            if let Some((word, signal)) = words.iter().find_map(|word| Some((word, bare_signal(word)?))) {
                return format!("unexpected argument '{word}' found; use `--signal {signal}`");
            }
        }
        ErrorKind::UnknownArgument if argument == "--timeout" && matches!(command, "run" | "explain") => {
            return "unexpected argument '--timeout' found; use `--wall` for time since the start, or `--cpu` for CPU time"
                .to_owned();
        }
        ErrorKind::ValueValidation
            if std::error::Error::source(e).is_some_and(|source| source.is::<ParseIntError>()) =>
        {
            let value = text(e, ContextKind::InvalidValue).unwrap_or_default();
            return format!("invalid value '{value}' for '{argument}': write a whole number");
        }
        _ => {}
    }
    in_clap_s_words(e)
}

/// "error: …", then what is suggested. That a word with `-` could be a value behind `--` is no help: it would be a program.
fn in_clap_s_words(e: &clap::Error) -> String {
    let text = e.render().to_string();
    let mut parts: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        if line.starts_with("tip: to pass '") {
            continue;
        }
        parts.push(line.trim_start_matches("error: ").trim_start_matches("tip: "));
    }
    parts.join("; ")
}

fn missing(e: &clap::Error, argument: &str) -> String {
    let called = called(e);
    match argument {
        "<NAME>..." => format!("name a box: `{called} NAME`"),
        "<NAME>" => format!("name a profile: `{called} NAME`; `tipstaff profile list` lists them"),
        "<DIRECTORY>" => format!("name a directory: `{called} DIRECTORY`"),
        other => format!("{other} is missing; `{called} --help` shows how it is used"),
    }
}

/// The command without its arguments, as its usage has it: `tipstaff profile show`.
fn called(e: &clap::Error) -> String {
    let usage = text(e, ContextKind::Usage).unwrap_or_default();
    let words = usage.split_whitespace().skip_while(|word| *word == "Usage:");
    let words: Vec<&str> = words.take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
    if words.is_empty() { "tipstaff".to_owned() } else { words.join(" ") }
}

fn has_tip(e: &clap::Error) -> bool {
    e.get(ContextKind::SuggestedSubcommand).is_some()
}

/// kill(1) takes signals as `-9` and `-TERM`: the name of such a one.
fn bare_signal(word: &str) -> Option<String> {
    let number = boxes::signal(word.strip_prefix('-').filter(|rest| !rest.starts_with('-'))?).ok()?;
    let name = tipstaff_abi::signal::name(number)?;
    Some(name.strip_prefix("SIG").unwrap_or(&name).to_owned())
}

fn text(e: &clap::Error, kind: ContextKind) -> Option<String> {
    match e.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        _ => None,
    }
}
