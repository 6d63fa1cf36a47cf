//! How the command speaks: errors with its name in front, colours on a terminal only.

use std::fmt::Display;
use std::io::Write;

use anstyle::{AnsiColor, Style};
use tipstaff::report::{Report, Role};

/// The launcher itself failed, or was used wrongly.
pub const FAILED: u8 = 125;

/// One line on standard error.
pub fn error(message: impl Display) {
    let style = AnsiColor::Red.on_default().bold();
    let _ = writeln!(anstream::stderr(), "{style}tipstaff:{style:#} {}", one_line(message));
}

/// One line on standard error that is no error.
pub fn note(message: impl Display) {
    let _ = writeln!(anstream::stderr(), "tipstaff: {}", one_line(message));
}

/// A message as [`tipstaff_abi::one_line`] has it.
pub fn one_line(message: impl Display) -> String {
    tipstaff_abi::one_line(&message.to_string()).into_owned()
}

/// What the system says of an error, without its number.
pub fn words(e: &std::io::Error) -> String {
    let text = e.to_string();
    match e.raw_os_error() {
        Some(_) => text.split(" (os error").next().unwrap_or_default().to_lowercase(),
        None => text,
    }
}

/// A panic is our fault and says so in one line, like every other error.
pub fn one_line_panics() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        let place = info.location().map_or_else(String::new, |at| format!(" ({at})"));
        error(format_args!("internal error: {}{place}; nothing is left running", text.replace('\n', " ")));
    }));
}

/// The report for people, on standard error.
pub fn summary(report: &Report) {
    let mut out = anstream::stderr().lock();
    for line in report.summary_lines() {
        let _ = write!(out, "tipstaff: ");
        for piece in &line.pieces {
            let style = match piece.role {
                Role::Good => AnsiColor::Green.on_default().bold(),
                Role::Bad => AnsiColor::Red.on_default().bold(),
                Role::Warning => AnsiColor::Yellow.on_default(),
                Role::Label => Style::new().dimmed(),
                Role::Plain => Style::new(),
            };
            let _ = write!(out, "{style}{}{style:#}", piece.text);
        }
        let _ = writeln!(out);
    }
}
