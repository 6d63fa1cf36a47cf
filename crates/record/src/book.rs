//! What a backend that sees call after call has seen so far.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use tipstaff_abi::Arch;
use tipstaff_abi::enumerable::Pick;
use tipstaff_recording::{
    Access, Completeness, Executable, FileUse, MOST_TUPLES, Phase, Reason, Results, Row, Run, SocketUse, Table,
};
use tipstaff_report::Bytes;

use crate::Options;

/// An executable, by its place in the book.
pub(crate) type Exe = u32;

/// Numbers beyond this are looked up by name each time.
const NEAR: u32 = 1024;

/// Open until the run ends. Made for one addition per call, so nothing is made into its final form here.
#[derive(Debug)]
pub(crate) struct Book {
    run: Run,
    began: Instant,
    executables: Vec<Executable>,
    by_path: HashMap<Bytes, Exe>,
    tallies: HashMap<(Exe, Phase, Arch, u32), Tally>,
    tuples: HashMap<(Arch, u32), Tuples>,
    results: HashMap<(Arch, u32), Results>,
    files: Table<FileUse>,
    sockets: Table<SocketUse>,
    pub(crate) completeness: Completeness,
    pub(crate) options: Options,
    picks: Picks,
}

#[derive(Debug)]
struct Tally {
    count: u64,
    first_ns: u64,
}

/// The combinations of a call's picked words.
#[derive(Debug, Default)]
struct Tuples {
    seen: HashSet<[u64; MOST_PICKS]>,
    any: bool,
}

/// So many different files and addresses are kept, and so many different calls by executable; what comes then is counted as dropped.
const MOST_RESOURCES: usize = 65_536;

/// No call has more.
pub(crate) const MOST_PICKS: usize = 6;

impl Book {
    /// An empty one; `run` says whose, and its own tables are not looked at.
    pub(crate) fn new(run: Run, options: Options) -> Self {
        Self {
            run,
            began: Instant::now(),
            executables: Vec::new(),
            by_path: HashMap::new(),
            tallies: HashMap::new(),
            tuples: HashMap::new(),
            results: HashMap::new(),
            files: Table::default(),
            sockets: Table::default(),
            completeness: Completeness::default(),
            options,
            picks: Picks::default(),
        }
    }

    fn now(&self) -> u64 {
        // 584 years.
        self.began.elapsed().as_nanos() as u64
    }

    /// The executable with this path; `executed`: just now.
    pub(crate) fn executable(&mut self, path: Bytes, executed: bool) -> Exe {
        let now = self.now();
        let at = *self.by_path.entry(path.clone()).or_insert_with(|| {
            self.executables.push(Executable { path, execs: Some(0), first_ns: now });
            self.executables.len() as Exe - 1
        });
        let row = &mut self.executables[at as usize];
        row.execs = row.execs.map(|execs| execs + u64::from(executed));
        at
    }

    /// A call was made. `behind` reads what a picked pointer points at; `None`: it cannot be read.
    pub(crate) fn made(
        &mut self,
        by: Exe,
        phase: Phase,
        arch: Arch,
        number: u32,
        words: &[u64; 6],
        behind: impl Fn(u64) -> Option<u64>,
    ) {
        let full = self.tallies.len() >= MOST_RESOURCES;
        match self.tallies.get_mut(&(by, phase, arch, number)) {
            Some(tally) => tally.count += 1,
            // A program can ask for any number, and be many executables.
            None if full => {
                return self.completeness.lacks(Reason::Dropped, 1);
            }
            None => {
                let first_ns = self.now();
                self.tallies.insert((by, phase, arch, number), Tally { count: 1, first_ns });
            }
        }
        let picks = self.picks.of(self.options, arch, number);
        if picks.is_empty() || !self.options.arguments {
            return;
        }
        let tuples = self.tuples.entry((arch, number)).or_default();
        if tuples.any {
            return;
        }
        let mut tuple = [0; MOST_PICKS];
        for (place, pick) in tuple.iter_mut().zip(picks) {
            let word = words[usize::from(pick.index)];
            let value = match pick.behind {
                None => word,
                Some(offset) => match behind(word.wrapping_add(offset.into())) {
                    Some(value) => value,
                    None => {
                        tuples.any = true;
                        return;
                    }
                },
            };
            *place = value & pick.mask;
        }
        tuples.any = !tuples.seen.contains(&tuple) && tuples.seen.len() >= MOST_TUPLES;
        if !tuples.any {
            tuples.seen.insert(tuple);
        }
    }

    /// A call is known to be needed, though it was not counted.
    pub(crate) fn needed(&mut self, by: Exe, phase: Phase, arch: Arch, number: u32) {
        let first_ns = self.now();
        self.tallies.entry((by, phase, arch, number)).or_insert(Tally { count: 0, first_ns });
    }

    /// Whether this call was made by anybody.
    pub(crate) fn has(&self, arch: Arch, number: u32) -> bool {
        self.tallies.keys().any(|&(_, _, a, n)| (a, n) == (arch, number))
    }

    /// A call returned.
    pub(crate) fn returned(&mut self, arch: Arch, number: u32, value: i64) {
        let results = self.results.entry((arch, number)).or_default();
        add_result(results, value, 1);
    }

    /// A file was used. `failed`: whether it did, where that is known.
    pub(crate) fn file(&mut self, path: Bytes, access: Access, failed: Option<bool>) {
        let first_ns = self.now();
        let row = FileUse { path, access, count: 0, failed: failed.map(|_| 0), first_ns };
        let key = row.key();
        if self.files.len() >= MOST_RESOURCES && self.files.get(&key).is_none() {
            return self.completeness.lacks(Reason::DetailsDropped, 1);
        }
        let row = self.files.entry(key, || row);
        row.count += 1;
        row.failed = row.failed.zip(failed).map(|(count, failed)| count + u64::from(failed));
    }

    /// An address was used.
    pub(crate) fn socket(&mut self, mut used: SocketUse) {
        used.first_ns = self.now();
        used.count = 0;
        let key = used.key();
        if self.sockets.len() >= MOST_RESOURCES && self.sockets.get(&key).is_none() {
            return self.completeness.lacks(Reason::DetailsDropped, 1);
        }
        self.sockets.entry(key, || used).count += 1;
    }

    /// The run as it is now.
    pub(crate) fn run(&self) -> Run {
        let mut run = self.run.clone();
        run.duration_ns = self.now();
        run.completeness = self.completeness.clone();
        run.executables = self.executables.iter().filter(|exe| !exe.path.as_bytes().is_empty()).cloned().collect();
        for (&(by, phase, arch, number), tally) in &self.tallies {
            let call = run.calls.entry((arch, number), || self.options.call(arch, number));
            call.made(phase, &self.executables[by as usize].path, tally.count, tally.first_ns);
        }
        let mut demoted = 0;
        for call in run.calls.iter_mut() {
            let key = (call.arch, call.number);
            call.results = self.options.results.then(|| self.results.get(&key).cloned().unwrap_or_default());
            let Some(arguments) = &mut call.arguments else { continue };
            match self.tuples.get(&key) {
                Some(tuples) if !tuples.any => {
                    let words = arguments.selected.len();
                    tuples.seen.iter().for_each(|tuple| arguments.add(tuple[..words].to_vec()));
                }
                _ => {
                    arguments.demote();
                    demoted += u64::from(self.options.arguments);
                }
            }
        }
        run.completeness.lacks(Reason::ArgumentsDemoted, demoted);
        run.files = self.options.files.then(|| self.files.clone());
        run.sockets = self.options.files.then(|| self.sockets.clone());
        run
    }

    /// How it ended.
    pub(crate) fn ended(&mut self, exit: Option<tipstaff_recording::Exit>) {
        self.run.exit = exit;
    }
}

/// Adds a result: -4095 to -1 is an errno. The kernel's own (512 and above) are interruptions, and stand among them.
fn add_result(results: &mut Results, value: i64, count: u64) {
    if (-4095..0).contains(&value) {
        let errno = -value as i32;
        results.errnos.entry(errno, || tipstaff_recording::ErrnoCount { errno, count: 0 }).count += count;
    } else {
        results.ok += count;
    }
}

/// The picks of each number, looked up by name once.
#[derive(Debug, Default)]
struct Picks(HashMap<Arch, Vec<&'static [Pick]>>);

impl Picks {
    fn of(&mut self, options: Options, arch: Arch, number: u32) -> &'static [Pick] {
        let bit = if arch == Arch::X32 { tipstaff_abi::X32_BIT } else { 0 };
        let near = number ^ bit;
        if near >= NEAR {
            return options.picks(arch, number);
        }
        let table =
            self.0.entry(arch).or_insert_with(|| (0..NEAR).map(|near| options.picks(arch, near | bit)).collect());
        table[near as usize]
    }
}

#[cfg(test)]
mod tests {
    use tipstaff_abi::enumerable;

    use super::*;

    #[test]
    fn what_finds_no_room_is_counted() {
        let machine = tipstaff_recording::Machine { kernel: String::new(), arch: Arch::X86_64 };
        let target = tipstaff_recording::Target::Process { pids: Vec::new() };
        let run = Run::new(String::new(), tipstaff_recording::Backend::Ptrace, machine, target, 0);
        let mut book = Book::new(run, Options { files: true, ..Options::default() });
        for at in 0..MOST_RESOURCES + 3 {
            book.file(format!("/{at}").as_str().into(), Access::Read, Some(false));
        }
        book.file("/0".into(), Access::Read, Some(true));
        let exe = book.executable("/bin/x".into(), true);
        for number in 0..MOST_RESOURCES as u32 + 2 {
            book.made(exe, Phase::Workload, Arch::X86_64, number, &[0; 6], |_| None);
        }
        let run = book.run();
        let files = run.files.expect("files");
        assert_eq!(files.len(), MOST_RESOURCES);
        let first = files.get(&("/0".into(), Access::Read)).expect("the first");
        assert_eq!((first.count, first.failed), (2, Some(1)), "what is there already is counted on");
        let dropped = run.completeness.shortfalls().find(|s| s.reason == Reason::DetailsDropped).expect("a shortfall");
        assert_eq!(dropped.count, 3);
        let dropped = run.completeness.shortfalls().find(|s| s.reason == Reason::Dropped).expect("a shortfall");
        assert_eq!((dropped.count, run.calls.len()), (2, MOST_RESOURCES));
    }

    #[test]
    fn more_combinations_than_are_kept_are_any() {
        let machine = tipstaff_recording::Machine { kernel: String::new(), arch: Arch::X86_64 };
        let target = tipstaff_recording::Target::Process { pids: Vec::new() };
        let run = Run::new(String::new(), tipstaff_recording::Backend::Ptrace, machine, target, 0);
        let mut book = Book::new(run, Options::default());
        let exe = book.executable("/bin/x".into(), true);
        let ioctl = |book: &mut Book, request| {
            book.made(exe, Phase::Workload, Arch::X86_64, 16, &[3, request, 0, 0, 0, 0], |_| None);
        };
        let arguments = |book: &Book| {
            book.run().calls.get(&(Arch::X86_64, 16)).and_then(|call| call.arguments.clone()).expect("arguments")
        };
        (0..MOST_TUPLES as u64).for_each(|request| ioctl(&mut book, request));
        // The high half is no int's.
        ioctl(&mut book, 1 << 32);
        assert_eq!((arguments(&book).demoted, arguments(&book).values.len()), (false, MOST_TUPLES));
        ioctl(&mut book, 1000);
        assert_eq!((arguments(&book).demoted, arguments(&book).values.len()), (true, 0));
        let run = book.run();
        assert!(run.completeness.is_complete() && run.completeness.shortfalls().len() == 1);
    }

    #[test]
    fn a_tuple_has_room_for_every_call() {
        assert!(enumerable::all().iter().all(|call| call.picks.len() <= MOST_PICKS));
    }
}
