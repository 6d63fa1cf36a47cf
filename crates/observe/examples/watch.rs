//! Records a command by eBPF and prints what it used: `watch [--all] CMD [ARG…]`.
//!
//! The command waits, stopped, until the recording has begun.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use tipstaff_observe::{Observer, Options, Phase, Returns, Setup, Target};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let all = words.first().is_some_and(|word| word == "--all");
    if all {
        words.remove(0);
    }
    let begun = Instant::now();
    let observer = Observer::load(&Setup::default())?;
    let loaded = begun.elapsed();
    let cpu = tipstaff_sys::clock::process_cpu_ns(std::process::id().cast_signed())? / 1000;
    // A shell that reads a line before it becomes the command.
    let mut child = Command::new("/bin/sh");
    child.args(["-c", "read line; exec \"$@\"", "sh"]).args(&words).stdin(Stdio::piped()).process_group(0);
    let mut child = child.spawn()?;
    let options = Options {
        phase: Phase::Setup,
        returns: if all { Returns::Always } else { Returns::Never },
        files: all,
        sockets: all,
        capabilities: all,
        ..Options::default()
    };
    let recording = observer.record(&Target::Tree(child.id().cast_signed()), &options)?;
    let started = begun.elapsed();
    drop(child.stdin.take());
    child.wait()?;
    let observed = recording.stop()?;
    eprintln!(
        "loaded after {loaded:?} ({cpu} us of CPU), recording after {started:?}, ended after {:?}",
        begun.elapsed()
    );
    for (index, executable) in observed.executables.iter().enumerate() {
        eprintln!("[{index}] {:?}", executable.path);
    }
    for call in &observed.calls {
        let name = call.key.number.name(call.key.arch).map_or_else(|| format!("#{}", call.key.number.0), str::to_owned);
        let (exe, phase) = (call.key.executable.0, call.key.phase);
        eprintln!(
            "[{exe}] {phase:?} {} {name} x{} {:?} {:?}",
            call.key.arch.name(),
            call.count,
            call.results,
            call.arguments
        );
    }
    eprintln!("refused {:#?}", observed.refused);
    for file in &observed.files {
        eprintln!("{:?} errno {} x{} {:?}", file.path, file.errno, file.count, file.usage);
    }
    for socket in &observed.sockets {
        eprintln!("{socket:?}");
    }
    for capability in &observed.capabilities {
        eprintln!("{capability:?}");
    }
    eprintln!("{:?}", observed.completeness);
    Ok(())
}
