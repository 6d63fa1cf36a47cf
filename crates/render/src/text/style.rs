//! Colours, written out once: the sequences are plain bytes afterwards.

use anstyle::{AnsiColor, Style};

/// What a piece of a line is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Task ids, times.
    Dim,
    /// A call's name.
    Name,
    /// A call's failure, a death by a signal, a status other than 0.
    Failure,
    /// A signal.
    Signal,
    /// Anything else that is not a call.
    Note,
}

/// The sequences that begin each [`Kind`], and the one that ends any; all empty without colour.
#[derive(Debug)]
pub(crate) struct Styles {
    starts: [String; 5],
    end: &'static str,
}

impl Styles {
    pub(crate) fn new(colour: bool) -> Self {
        if !colour {
            return Self { starts: Default::default(), end: "" };
        }
        let styles = [
            Style::new().dimmed(),
            Style::new().bold(),
            AnsiColor::Red.on_default(),
            AnsiColor::Yellow.on_default(),
            AnsiColor::Cyan.on_default(),
        ];
        Self { starts: styles.map(|style| style.render().to_string()), end: "\x1b[0m" }
    }

    /// Appends what `print` appends, in the colour of `kind`. Returns how many bytes take no room on the screen.
    pub(crate) fn wrap(&self, out: &mut Vec<u8>, kind: Kind, print: impl FnOnce(&mut Vec<u8>)) -> usize {
        let start = &self.starts[kind as usize];
        out.extend_from_slice(start.as_bytes());
        print(out);
        out.extend_from_slice(self.end.as_bytes());
        start.len() + self.end.len()
    }
}
