//! How long tracing every call takes: `cargo run --release -p tipstaff-trace --example count -- [--stay] dd …`.
#![forbid(unsafe_code)]

use std::time::Instant;

use tipstaff_trace::{Config, Launch, Observer, Resume, Stop, Task, Tracer};

#[derive(Default)]
struct Count {
    stops: u64,
    calls: u64,
    failed: u64,
}

impl Observer for Count {
    fn on_stop(&mut self, _: &Task, stop: &mut Stop) -> Resume {
        self.stops += 1;
        if let Stop::Left(left) = stop {
            self.calls += 1;
            self.failed += u64::from(left.returned().is_error);
        }
        Resume::AsBefore
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args: Vec<_> = std::env::args_os().skip(1).collect();
    let stay = args.first().is_some_and(|arg| arg == "--stay");
    args.drain(..usize::from(stay));
    let mut args = args.into_iter();
    let program = args.next().ok_or("name a program")?;
    let mut tracer = Tracer::new(Config { follow: !stay, ..Config::default() });
    let mut count = Count::default();
    let start = Instant::now();
    tracer.launch(&Launch::new(program).args(args), &mut count)?;
    tracer.run(&mut count)?;
    let took = start.elapsed();
    let each = took.as_nanos() as f64 / 1000.0 / count.stops as f64;
    eprintln!("{} calls, {} failed, {} stops, {took:.3?}, {each:.2} µs a stop", count.calls, count.failed, count.stops);
    Ok(())
}
