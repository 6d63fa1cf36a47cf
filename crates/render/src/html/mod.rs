//! One page that shows a trace in a browser, without a network.

mod model;
mod touched;

use std::io::{self, Write};

use crate::{Clock, Event, Sink, What};
use model::Model;

const HEAD: &str = include_str!("../../assets/head.html");
const STYLE: &str = include_str!("../../assets/page.css");
const BODY: &str = include_str!("../../assets/body.html");
const SCRIPT: &str = concat!(
    include_str!("../../assets/js/data.js"),
    include_str!("../../assets/js/overview.js"),
    include_str!("../../assets/js/timeline.js"),
    include_str!("../../assets/js/calls.js"),
    include_str!("../../assets/js/lists.js"),
    include_str!("../../assets/js/page.js"),
);

/// What the page's policy lets run: this script and this style, by their SHA-256, and nothing else. A test computes them again.
const POLICY: &str = include_str!("../../assets/policy.txt");

/// Options of [`Html`].
#[derive(Debug, Clone)]
pub struct HtmlOptions {
    /// Rows (calls, signals, starts and ends) that are kept one by one. Beyond them everything still counts in the sums, and the page says so.
    pub rows: usize,
    /// What the events' times count from.
    pub clock: Clock,
}

impl Default for HtmlOptions {
    fn default() -> Self {
        Self { rows: 200_000, clock: Clock::default() }
    }
}

/// Writes one self-contained page at the end: process tree, timeline, calls, files and addresses.
///
/// Everything that comes from the guest is data to the page: it stands in one block of JSON, in which nothing can end the block, and the
/// script puts it on the page as text. The page's own policy (CSP) forbids any other script and any request.
///
/// The rows are kept in memory until then, some 100 bytes each and their texts, equal ones once.
#[derive(Debug)]
pub struct Html<W> {
    to: W,
    model: Model,
}

impl<W: Write> Html<W> {
    /// A page that is written to `to` at the end.
    pub fn new(to: W, options: &HtmlOptions) -> Self {
        Self { to, model: Model::new(options) }
    }
}

impl<W: Write> Sink for Html<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if !matches!(event.what, What::Entered(_)) {
            self.model.event(event);
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let mut to = io::BufWriter::new(&mut self.to);
        let head = HEAD.trim_end().replace("{policy}", POLICY.trim_end());
        write!(to, "{head}\n<style>{STYLE}</style>\n{BODY}<script id=\"data\" type=\"application/json\">")?;
        serde_json::to_writer(NoTags(&mut to), &self.model)?;
        write!(to, "</script>\n<script>{SCRIPT}</script>\n</html>\n")?;
        to.flush()
    }
}

/// Writes JSON into HTML. A script element ends at `</script` and changes its meaning at `<!--`; in JSON, `<` stands in strings only, where it can be
/// written as an escape.
struct NoTags<W>(W);

impl<W: Write> Write for NoTags<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for (index, piece) in bytes.split(|&byte| byte == b'<').enumerate() {
            if index > 0 {
                self.0.write_all(b"\\u003c")?;
            }
            self.0.write_all(piece)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
