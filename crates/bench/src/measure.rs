//! Rounds in turn, medians, the table.

use std::time::Instant;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Turns of floor and ours.
    pub rounds: usize,
    /// Runs of each per turn.
    pub iterations: usize,
}

impl Effort {
    /// 12 rounds of 30 runs unless the environment says otherwise.
    pub fn from_env() -> Self {
        let number = |name, default| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
        Self {
            rounds: number("TIPSTAFF_BENCH_ROUNDS", 12usize).max(1),
            iterations: number("TIPSTAFF_BENCH_ITERATIONS", 30usize).max(1),
        }
    }
}

/// One thing that is measured: does it once.
pub type Subject<'a> = Box<dyn FnMut() -> anyhow::Result<()> + 'a>;

/// Median; the slice is sorted by it.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// Median microseconds of each subject. The order turns around with each round, so that nobody always follows the same
/// neighbour.
pub fn compare(effort: Effort, subjects: &mut [Subject<'_>]) -> anyhow::Result<Vec<f64>> {
    let mut rounds = vec![Vec::new(); subjects.len()];
    for subject in subjects.iter_mut() {
        subject()?;
    }
    for round in 0..effort.rounds {
        for place in 0..subjects.len() {
            let index = if round % 2 == 0 { place } else { subjects.len() - 1 - place };
            let mut times = Vec::with_capacity(effort.iterations);
            for _ in 0..effort.iterations {
                let begun = Instant::now();
                subjects[index]()?;
                times.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            rounds[index].push(median(&mut times));
        }
    }
    Ok(rounds.iter_mut().map(|medians| median(medians)).collect())
}

/// Median microseconds of CPU that each subject uses, children included: what a busy machine does not change much.
pub fn compare_cpu(rounds: usize, subjects: &mut [Subject<'_>]) -> anyhow::Result<Vec<f64>> {
    let mut used = vec![Vec::new(); subjects.len()];
    for _ in 0..rounds.max(1) {
        for (subject, used) in subjects.iter_mut().zip(&mut used) {
            let before = cpu_us();
            subject()?;
            used.push(cpu_us() - before);
        }
    }
    Ok(used.iter_mut().map(|used| median(used)).collect())
}

const NAME: usize = 58;

/// The table's head.
pub fn head() {
    println!("{:NAME$} {:>9} {:>9} {:>6} {:>6}", "", "floor µs", "ours µs", "ratio", "goal");
}

/// A row. Without a goal it is there for comparison.
pub fn row(name: &str, floor: f64, ours: f64, goal: Option<f64>) {
    let ratio = ours / floor;
    let (goal, met) = match goal {
        Some(goal) => (format!("{goal:.2}"), if ratio <= goal { "met" } else { "MISSED" }),
        None => ("-".to_owned(), ""),
    };
    println!("{name:NAME$} {floor:9.1} {ours:9.1} {ratio:6.2} {goal:>6} {met}");
}

/// A line that is not measured, and why.
pub fn skip(name: &str, why: &str) {
    println!("{name:NAME$} skipped: {why}");
}

/// A single figure against a bound.
pub fn figure(name: &str, value: &str, met: Option<bool>) {
    let met = match met {
        Some(true) => "  met",
        Some(false) => "  MISSED",
        None => "",
    };
    println!("{name:NAME$} {value}{met}");
}

/// CPU time of this process and of what it has reaped, in microseconds.
pub fn cpu_us() -> f64 {
    // SAFETY: plain data; getrusage(2) fills it.
    let of = |who| unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &mut usage);
        (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) as f64 * 1e6
            + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) as f64
    };
    of(libc::RUSAGE_SELF) + of(libc::RUSAGE_CHILDREN)
}
