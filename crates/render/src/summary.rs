//! Counts and times by system call.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use serde::Serialize;
use tipstaff_abi::Arch;
use tipstaff_decode::Call;

use crate::json::Text;
use crate::text::shown;
use crate::{Event, Sink, What};

/// What a summary is sorted by; equal ones by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortBy {
    /// The time spent, most first.
    #[default]
    Time,
    /// The number of calls, most first.
    Calls,
    /// The number of calls that failed, most first.
    Errors,
    /// The name.
    Name,
}

/// How a summary is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SummaryForm {
    /// A table, as `strace -c` prints it.
    #[default]
    Table,
    /// One JSON object.
    Json,
}

/// Options of [`Summary`].
#[derive(Debug, Clone, Default)]
pub struct SummaryOptions {
    /// What the rows are sorted by.
    pub sort: SortBy,
    /// One table for each process instead of one for all.
    pub per_process: bool,
    /// How it is written.
    pub form: SummaryForm,
}

/// Counts calls, and writes what came together at the end.
///
/// The time is that on the clock between entry and return, as with `strace -c -w`: waiting counts, and so does what tracing costs. A call that never
/// returned (exit) is not counted, nor is it by strace.
#[derive(Debug)]
pub struct Summary<W> {
    to: W,
    options: SummaryOptions,
    tables: BTreeMap<i32, Table>,
}

/// The calls of one process, or of all.
#[derive(Debug, Default)]
struct Table {
    /// The program that was executed last.
    program: Option<Vec<u8>>,
    rows: HashMap<(Arch, u32), Row>,
}

/// One system call.
#[derive(Debug)]
struct Row {
    name: Cow<'static, str>,
    tally: Tally,
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    calls: u64,
    errors: u64,
    wall_ns: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.wall_ns = self.wall_ns.saturating_add(other.wall_ns);
    }

    fn mean_us(self) -> u64 {
        self.wall_ns.checked_div(self.calls).unwrap_or(0) / 1000
    }

    /// The share of `total` in percent.
    fn share(self, total: Self) -> f64 {
        if total.wall_ns == 0 { 0.0 } else { self.wall_ns as f64 * 100.0 / total.wall_ns as f64 }
    }
}

impl<W: Write> Summary<W> {
    /// A summary that is written to `to` at the end.
    pub fn new(to: W, options: SummaryOptions) -> Self {
        Self { to, options, tables: BTreeMap::new() }
    }

    /// The table that an event of `pid` belongs to.
    fn table(&mut self, pid: i32) -> &mut Table {
        self.tables.entry(if self.options.per_process { pid } else { 0 }).or_default()
    }

    fn count(&mut self, pid: i32, call: &Call, took_ns: u64) {
        let Some(returned) = &call.returned else { return };
        let row = self.table(pid).rows.entry((call.arch, call.number));
        let row = row.or_insert_with(|| Row { name: call.name.clone(), tally: Tally::default() });
        row.tally.add(Tally { calls: 1, errors: u64::from(returned.errno.is_some()), wall_ns: took_ns });
    }
}

impl Table {
    fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.rows.values().for_each(|row| total.add(row.tally));
        total
    }

    fn sorted(&self, sort: SortBy) -> Vec<(Arch, &Row)> {
        let mut rows: Vec<_> = self.rows.iter().map(|((arch, _), row)| (*arch, row)).collect();
        rows.sort_by_key(|(arch, row)| {
            let Tally { calls, errors, wall_ns } = row.tally;
            let key = match sort {
                SortBy::Time => wall_ns,
                SortBy::Calls => calls,
                SortBy::Errors => errors,
                SortBy::Name => 0,
            };
            (Reverse(key), &row.name, arch.name())
        });
        rows
    }

    fn print(&self, to: &mut impl Write, sort: SortBy) -> io::Result<()> {
        const RULE: &str = "------ ----------- ----------- --------- --------- ----------------";
        let total = self.total();
        let rows = self.sorted(sort);
        // A program of one architecture needs no word about it; calls of another one are marked.
        let usual = rows.iter().map(|(arch, _)| *arch).max_by_key(|arch| *arch == Arch::X86_64);
        writeln!(to, "% wall     seconds  usecs/call     calls    errors syscall\n{RULE}")?;
        for (arch, row) in rows {
            let note = if Some(arch) == usual { String::new() } else { format!(" ({})", arch.name()) };
            line(to, row.tally, total, &format!("{}{note}", row.name))?;
        }
        writeln!(to, "{RULE}")?;
        line(to, total, total, "total")
    }
}

fn line(to: &mut impl Write, tally: Tally, total: Tally, name: &str) -> io::Result<()> {
    let errors = if tally.errors == 0 { String::new() } else { tally.errors.to_string() };
    let us = tally.wall_ns / 1000;
    let seconds = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    let (share, mean, calls) = (tally.share(total), tally.mean_us(), tally.calls);
    writeln!(to, "{share:6.2} {seconds:>11} {mean:>11} {calls:>9} {errors:>9} {name}")
}

/// The JSON form.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    tables: Vec<TableObject<'a>>,
}

#[derive(Serialize)]
struct TableObject<'a> {
    pid: Option<i32>,
    program: Option<Text<'a>>,
    calls: Vec<RowObject<'a>>,
    total: Counts,
}

#[derive(Serialize)]
struct RowObject<'a> {
    name: &'a str,
    arch: &'static str,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Serialize)]
struct Counts {
    calls: u64,
    errors: u64,
    wall_ns: u64,
    share: f64,
}

impl Counts {
    fn of(tally: Tally, total: Tally) -> Self {
        Self { calls: tally.calls, errors: tally.errors, wall_ns: tally.wall_ns, share: tally.share(total) / 100.0 }
    }
}

impl<W: Write> Summary<W> {
    fn document(&self) -> Document<'_> {
        let tables = self.tables.iter().map(|(&pid, table)| {
            let total = table.total();
            let calls = table.sorted(self.options.sort).into_iter().map(|(arch, row)| RowObject {
                name: &row.name,
                arch: arch.name(),
                counts: Counts::of(row.tally, total),
            });
            TableObject {
                pid: self.options.per_process.then_some(pid),
                program: table.program.as_deref().filter(|_| self.options.per_process).map(Text),
                calls: calls.collect(),
                total: Counts::of(total, total),
            }
        });
        Document { schema: 1, tables: tables.collect() }
    }
}

impl<W: Write> Sink for Summary<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.what {
            What::Returned { call, took_ns } => self.count(event.pid, call, *took_ns),
            What::Executed { path, .. } => self.table(event.pid).program = Some(path.clone()),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if !self.options.per_process {
            self.tables.entry(0).or_default();
        }
        if self.options.form == SummaryForm::Json {
            let document = serde_json::to_string(&self.document())?;
            writeln!(self.to, "{document}")?;
            return self.to.flush();
        }
        for (index, (pid, table)) in self.tables.iter().enumerate() {
            if index > 0 {
                writeln!(self.to)?;
            }
            if self.options.per_process {
                let program = table.program.as_deref().unwrap_or(b"?");
                writeln!(self.to, "process {pid}: {}", shown(program))?;
            }
            table.print(&mut self.to, self.options.sort)?;
        }
        self.to.flush()
    }
}
