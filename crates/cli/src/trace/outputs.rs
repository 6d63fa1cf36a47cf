//! Where a trace goes: every output is opened before anything starts.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use tipstaff_render::{
    Clock, Event, Filter, Filtered, Html, HtmlOptions, JsonLines, PerTask, Perfetto, Sink, Summary, SummaryForm,
    SummaryOptions, TaskPrefix, Text, TextOptions, What,
};

use super::args::Trace;
use super::plan::{Plan, Statuses};

/// The sinks of a trace, and what they need to be told.
pub struct Outputs {
    pub sink: Box<dyn Sink>,
    /// Calls by number and result are enough: nobody looks at arguments.
    pub bare: bool,
    /// Something is kept back to be written in large pieces ([`Sink::pause`]).
    pub buffered: bool,
    /// Somebody wants to know which program a process runs.
    pub programs: bool,
}

type Writer = Box<dyn Write>;

/// Opens everything that the arguments ask for.
pub fn open(args: &Trace, plan: &Plan, clock: Clock) -> Result<Outputs, String> {
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    let files = args.perfetto.is_some() || args.html.is_some() || args.why;
    let json_instead = args.json.as_ref().is_some_and(|name| name.is_empty());
    let json_besides = args.json.as_ref().filter(|name| !name.is_empty());
    // What is asked for by name is all there is, unless -o asks for text too.
    let main = args.output.is_some() || !(files || json_besides.is_some());
    let separately = args.follow > 1 || args.separately;
    let target = Target::of(args.output.as_deref(), args.append);
    if main && !args.count {
        if json_instead {
            let (writer, live) = target.open()?;
            sinks.push(Box::new(JsonLines::new(writer, clock, live).map_err(|e| target.refused(&e))?));
        } else if separately {
            sinks.push(per_task(args, plan, clock)?);
        } else {
            let (writer, live) = target.open()?;
            sinks.push(Box::new(Text::new(writer, text(args, plan, clock, live))));
        }
    }
    if args.count || args.count_too {
        let form = if json_instead && args.count { SummaryForm::Json } else { SummaryForm::Table };
        let options = SummaryOptions { sort: plan.sort, per_process: args.summary_per_process, form };
        // Behind the text, so it must not truncate it.
        let behind = Target { append: target.append || args.count_too && !separately, ..target };
        sinks.push(Box::new(Summary::new(io::BufWriter::new(behind.open()?.0), options)));
    }
    let bare = (args.count && !files && json_besides.is_none()) && plan.paths.is_empty();
    if let Some(name) = json_besides {
        let target = Target::named("--json ", Path::new(name));
        let (writer, live) = target.open()?;
        sinks.push(Box::new(JsonLines::new(writer, clock, live).map_err(|e| target.refused(&e))?));
    }
    if let Some(file) = &args.perfetto {
        sinks.push(Box::new(Perfetto::new(Target::named("--perfetto ", file).open()?.0)));
    }
    if let Some(file) = &args.html {
        let writer = Target::named("--html ", file).open()?.0;
        sinks.push(Box::new(Html::new(writer, &HtmlOptions { clock, ..HtmlOptions::default() })));
    }
    let programs = files || args.json.is_some() || args.summary_per_process;
    let mut sink: Box<dyn Sink> = match sinks.pop() {
        Some(only) if sinks.is_empty() => only,
        Some(last) => {
            sinks.push(last);
            Box::new(sinks)
        }
        None => Box::new(sinks),
    };
    if plan.status != Statuses::ALL {
        sink = Box::new(ByStatus { statuses: plan.status, sink });
    }
    if !plan.paths.is_empty() {
        let filter = Filter { paths: plan.paths.clone(), plain_descriptors: !plan.fds, ..Filter::default() };
        sink = Box::new(Filtered::new(filter, sink));
    }
    let buffered = !args.count && args.output.is_some() || args.json.is_some();
    Ok(Outputs { sink, bare, buffered, programs })
}

fn text(args: &Trace, plan: &Plan, clock: Clock, live: bool) -> TextOptions {
    let stderr = args.output.is_none();
    TextOptions {
        task: if stderr { TaskPrefix::WhenSeveral } else { TaskPrefix::Always },
        stamp: plan.stamp,
        clock,
        durations: args.times,
        column: args.column.into(),
        colour: stderr && anstream::stderr().current_choice() != anstream::ColorChoice::Never,
        live,
        whole: args.no_abbrev,
        attaching: !plan.quiet.attach,
        exits: !plan.quiet.exit,
    }
}

fn per_task(args: &Trace, plan: &Plan, clock: Clock) -> Result<Box<dyn Sink>, String> {
    let stem = args.output.clone().unwrap_or_default();
    let append = args.append;
    let of = move |tid: i32| {
        let mut name = stem.clone().into_os_string();
        name.push(format!(".{tid}"));
        PathBuf::from(name)
    };
    // The names are not known yet; whether one can be made is.
    let probe = of(std::process::id().cast_signed());
    let existed = probe.exists();
    File::options()
        .append(true)
        .create(true)
        .open(&probe)
        .map_err(|e| format!("-o {probe:?}: {}", crate::say::words(&e)))?;
    if !existed {
        let _ = std::fs::remove_file(&probe);
    }
    let mut opened = std::collections::HashSet::new();
    let open = move |tid: i32| {
        // A thread id that comes a second time goes on where its first owner ended.
        let again = append || !opened.insert(tid);
        File::options().write(true).create(true).append(again).truncate(!again).open(of(tid))
    };
    Ok(Box::new(PerTask::new(text(args, plan, clock, false), open)))
}

/// A file by name, or one of our own streams.
#[derive(Clone, Copy)]
struct Target<'a> {
    option: &'static str,
    /// None: standard error.
    path: Option<&'a Path>,
    append: bool,
}

impl<'a> Target<'a> {
    fn of(path: Option<&'a Path>, append: bool) -> Self {
        Self { option: "-o ", path, append }
    }

    fn named(option: &'static str, path: &'a Path) -> Self {
        Self { option, path: Some(path), append: false }
    }

    fn refused(&self, e: &io::Error) -> String {
        format!("{}{:?}: {e}", self.option, self.path.unwrap_or(Path::new("standard error")))
    }

    /// The writer, and whether somebody may be watching: then every line is brought out at once.
    fn open(&self) -> Result<(Writer, bool), String> {
        match self.path {
            None => Ok((Box::new(io::stderr()), true)),
            // Only where a dash is no usual file name: -o - makes a file, with strace too.
            Some(path) if path == Path::new("-") && self.option != "-o " => {
                let stdout = io::stdout();
                let live = stdout.is_terminal();
                Ok((Box::new(stdout), live))
            }
            Some(path) => {
                let file =
                    File::options().write(true).create(true).append(self.append).truncate(!self.append).open(path);
                let file = file.map_err(|e| self.refused(&e))?;
                let kind = file.metadata().map_err(|e| self.refused(&e))?.file_type();
                let live = kind.is_fifo() || file.is_terminal();
                Ok((Box::new(file), live))
            }
        }
    }
}

/// Lets calls through by how they ended: `-e status=`.
struct ByStatus<S> {
    statuses: Statuses,
    sink: S,
}

impl<S: Sink> Sink for ByStatus<S> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let wanted = match &event.what {
            What::Entered(_) => false,
            What::Returned { call, .. } => match &call.returned {
                None => self.statuses.unfinished,
                Some(returned) if returned.errno.is_some() => self.statuses.failed,
                Some(_) => self.statuses.successful,
            },
            _ => true,
        };
        if wanted { self.sink.event(event) } else { Ok(()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.sink.finish()
    }

    fn pause(&mut self) -> io::Result<()> {
        self.sink.pause()
    }
}
