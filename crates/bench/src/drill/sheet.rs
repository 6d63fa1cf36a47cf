//! What a drill must reach, and what it reached.

use std::fmt::Display;
use std::time::Duration;

/// One line of the table.
#[derive(Debug)]
pub struct Figure {
    what: String,
    goal: String,
    value: String,
    /// Reached; None: this machine cannot try it.
    held: Option<bool>,
}

/// The figures of one drill, in the order in which they were found.
#[derive(Debug, Default)]
pub struct Sheet(Vec<Figure>);

impl Sheet {
    /// A figure with its goal in words.
    pub fn figure(&mut self, what: impl Into<String>, goal: impl Display, value: impl Display, held: bool) {
        let (what, goal, value) = (what.into(), goal.to_string(), value.to_string());
        println!("  {what}: {value} (to reach: {goal}){}", if held { "" } else { "  NOT HELD" });
        self.0.push(Figure { what, goal, value, held: Some(held) });
    }

    /// Something of which there must be none.
    pub fn none(&mut self, what: impl Into<String>, found: usize) {
        self.figure(what, 0, found, found == 0);
    }

    /// Something that must be as often as it was tried.
    pub fn all(&mut self, what: impl Into<String>, found: usize, tried: usize) {
        self.figure(what, tried, found, found == tried && tried > 0);
    }

    /// A time that may be so long at most.
    pub fn within(&mut self, what: impl Into<String>, found: Duration, most: Duration) {
        self.figure(what, format_args!("at most {most:?}"), format_args!("{found:.1?}"), found <= most);
    }

    /// A number that may be so large at most.
    pub fn at_most(&mut self, what: impl Into<String>, found: f64, most: f64, unit: &str) {
        self.figure(what, format_args!("at most {most} {unit}"), format_args!("{found:.2} {unit}"), found <= most);
    }

    /// What this machine cannot try, and why.
    pub fn skip(&mut self, what: impl Into<String>, why: impl Display) {
        let what = what.into();
        println!("  {what}: skipped: {why}");
        self.0.push(Figure { what, goal: "-".into(), value: format!("skipped: {why}"), held: None });
    }

    /// Everything that was tried was reached, and something was tried.
    pub fn held(&self) -> bool {
        self.0.iter().all(|figure| figure.held != Some(false)) && self.0.iter().any(|figure| figure.held.is_some())
    }

    /// The lines of a table.
    pub fn rows(&self, drill: &str) {
        for (at, figure) in self.0.iter().enumerate() {
            let drill = if at == 0 { drill } else { "" };
            let held = match figure.held {
                Some(true) => "held",
                Some(false) => "NOT HELD",
                None => "-",
            };
            println!("| {drill} | {} | {} | {} | {held} |", figure.what, figure.goal, figure.value);
        }
    }
}

/// A drill by itself: what it says, and whether it was held.
pub fn alone(drill: impl FnOnce(&mut Sheet) -> anyhow::Result<()>) -> anyhow::Result<bool> {
    let mut sheet = Sheet::default();
    drill(&mut sheet)?;
    Ok(sheet.held())
}
