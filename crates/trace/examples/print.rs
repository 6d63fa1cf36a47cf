//! A small tracer: `cargo run -p tipstaff-trace --example print -- ls`. One line for each thing that happens.
#![forbid(unsafe_code)]

use tipstaff_trace::{Config, End, Launch, Observer, Resume, Stop, Task, Tracer};

struct Print;

impl Observer for Print {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        let tid = task.tid();
        match stop {
            Stop::Entered(_) => {}
            Stop::Left(left) => {
                let name = task.call().and_then(|call| call.name()).unwrap_or("?");
                eprintln!("{tid} {name} = {}", left.returned().value);
            }
            Stop::Signal(signal) => eprintln!("{tid} signal {:?}", signal.info()),
            other => eprintln!("{tid} {other:?}"),
        }
        Resume::AsBefore
    }

    fn on_end(&mut self, task: &Task, end: End) {
        eprintln!("{} {end:?}, in {:?}", task.tid(), task.call().and_then(|call| call.name()));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let program = args.next().ok_or("name a program")?;
    let mut tracer = Tracer::new(Config {
        start: if std::env::var_os("FREE").is_some() { tipstaff_trace::Go::Free } else { tipstaff_trace::Go::Syscall },
        ..Config::default()
    });
    tracer.launch(&Launch::new(program).args(args), &mut Print)?;
    tracer.run(&mut Print)?;
    Ok(())
}
