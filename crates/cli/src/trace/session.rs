//! One trace, from its start to its end.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tipstaff_abi::Arch;
use tipstaff_guest_ptrace::Mediator;
use tipstaff_render::{Clock, Stamp};
use tipstaff_sys::capability;
use tipstaff_sys::signal::{self, SigSet};
use tipstaff_trace::seam::{Seam, Shared};
use tipstaff_trace::{Config, End, Errno, Go, Launch, LaunchError, Tracer, Turn, Untraced};

use super::alarm::Alarm;
use super::args::Trace;
use super::explain::Explain;
use super::follow::{Follow, Settings};
use super::plan::{Plan, Target};
use super::{filter, outputs};
use crate::say;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGTERM: i32 = 15;

/// What a file lacks of the trace at most while the program runs.
const PAUSE: Duration = Duration::from_secs(1);

/// Cannot be executed; not found.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Traces; the exit status, or what is wrong.
pub fn run(args: &Trace) -> Result<u8, String> {
    let mut plan = Plan::new(args)?;
    let outputs = outputs::open(args, &plan, clock(&plan))?;
    for note in &plan.notes {
        say::note(note);
    }
    // The terminal's signals are for the program that we start; it gets them from the terminal itself. Attached, we let go on them.
    let all = SigSet::of(&[SIGHUP, SIGINT, SIGQUIT, SIGTERM]);
    let before = signal::block(all);
    let ours = match plan.target {
        Target::Program(_) => SigSet::of(&[SIGTERM]),
        Target::Processes(_) => all,
    };
    let stopping = plan.stopping();
    let launched = matches!(plan.target, Target::Program(_));
    let filtered = launched && !stopping.is_all();
    let start = if filtered { Go::Free } else { Go::Syscall };
    let filter = filtered.then(filter::data);
    let config =
        Config { start, untraced: Untraced::Follow, filtered_untraced: filtered, ..Config::default() }.shared();
    let mut tracer = Tracer::new(config);
    let alarm = Alarm::start(&mut tracer, ours).map_err(|e| format!("the tracer's alarm: {e}"))?;
    let settings = Settings {
        began: Instant::now(),
        show: plan.calls.clone(),
        injections: std::mem::take(&mut plan.injections),
        filter,
        signals: plan.signals.take(),
        // A path is looked for among the descriptors too, those that were there before.
        fds: plan.fds || !plan.paths.is_empty(),
        string_limit: plan.string_limit,
        list_limit: plan.list_limit,
        warn_set_user_id: launched && !filtered && !plan.quiet.attach && !capability::has(capability::SYS_PTRACE),
    };
    let mut follow = Shared::new(Follow::new(settings, outputs, args.why.then(Explain::new)), seam(filtered));
    match &plan.target {
        Target::Program(argv) => {
            let insns = filter.map(|data| filter::compile(&stopping, data)).transpose()?;
            if insns.is_some() && !plan.quiet.attach && !capability::has(capability::SYS_ADMIN) {
                say::note(
                    "without CAP_SYS_ADMIN the filter needs no_new_privs: set-user-ID programs gain nothing in this trace",
                );
            }
            let launch = launch(argv, &plan.env, before, insns)?;
            let launched = match tracer.launch(&launch, &mut follow) {
                Ok(launched) => launched,
                Err(e) => return not_started(&mut follow.front, e),
            };
            follow.front.first = Some(launched.pid);
        }
        Target::Processes(pids) => {
            for &pid in pids {
                // What was attached already is let go by the tracer's end.
                tracer.attach(pid, &mut follow).map_err(|e| format!("-p {pid}: {e}"))?;
            }
        }
    }
    follow_to_the_end(&mut tracer, &alarm, &mut follow)?;
    drop(tracer);
    end(&mut follow.front)
}

/// Tracers among the traced have us for a kernel.
fn seam(filtered: bool) -> Option<Box<dyn Seam>> {
    let mediator = Mediator::new(Arch::native()?).beyond();
    Some(Box::new(if filtered { mediator } else { mediator.at_every_entry() }))
}

fn clock(plan: &Plan) -> Clock {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Finding the local time takes milliseconds, so only who shows it asks.
    let shown = matches!(plan.stamp, Stamp::Seconds | Stamp::Microseconds);
    let utc_offset_s = if shown { jiff::Zoned::now().offset().seconds() } else { 0 };
    Clock { began_unix_ns: since.as_nanos() as u64, utc_offset_s }
}

fn launch(
    argv: &[OsString],
    env: &[(OsString, Option<OsString>)],
    mask: SigSet,
    filter: Option<Vec<tipstaff_abi::bpf::Insn>>,
) -> Result<Launch, String> {
    let (program, args) = argv.split_first().ok_or("no program")?;
    let mut launch = Launch::new(program).args(args).mask(mask);
    for (name, value) in env {
        launch = match value {
            Some(value) => launch.env(name, value),
            None => launch.env_remove(name),
        };
    }
    Ok(match filter {
        // Without a listener of ours: programs inside may want one of their own.
        Some(insns) => launch.filter_without_listener(insns),
        None => launch,
    })
}

fn not_started(follow: &mut Follow, e: LaunchError) -> Result<u8, String> {
    // What was seen of the attempt is shown.
    let _ = follow.finish();
    match e {
        LaunchError::Exec { program, errno } => {
            let errno_text = tipstaff_abi::errno::text(errno.0).unwrap_or("unknown error");
            say::error(format_args!("{program:?}: {errno_text}"));
            Ok(if errno == Errno::NOENT { NOT_FOUND } else { NOT_EXECUTABLE })
        }
        e => Err(e.to_string()),
    }
}

fn follow_to_the_end(tracer: &mut Tracer, alarm: &Alarm, follow: &mut Shared<Follow>) -> Result<(), String> {
    let wrong = |e: tipstaff_trace::Error| format!("tracing: {e}");
    let launched = follow.front.first.is_some();
    // One may have come before there was anything to wait for.
    let mut signal = alarm.signal();
    let (mut alarmed, mut pause) = (None, None);
    loop {
        if signal.take().is_some() {
            if !launched {
                return let_go(tracer, follow);
            }
            tracer.kill();
        }
        if follow.front.failed.is_some() && !launched {
            return let_go(tracer, follow);
        }
        if pause.is_none() && follow.front.keeps_back() {
            pause = Some(Instant::now() + PAUSE);
        }
        let next = follow.front.held.iter().map(|held| held.0).chain(pause).min();
        if let Some(next) = next.filter(|next| alarmed != Some(*next)) {
            alarm.at(next);
            alarmed = Some(next);
        }
        match follow.step(tracer).map_err(wrong)? {
            Turn::Handled | Turn::Idle | Turn::Interrupted => {}
            Turn::Empty => return Ok(()),
            Turn::Asked => {
                signal = alarm.rearm(tracer).map_err(|e| format!("the tracer's alarm: {e}"))?;
                let now = Instant::now();
                alarmed = None;
                if pause.take_if(|pause| *pause <= now).is_some() {
                    follow.front.pause();
                }
                let over: Vec<_> = follow.front.held.extract_if(.., |held| held.0 <= now).collect();
                for (_, tid, resume) in over {
                    follow.release(tracer, tid, resume);
                }
            }
        }
    }
}

fn let_go(tracer: &mut Tracer, follow: &mut Shared<Follow>) -> Result<(), String> {
    follow.front.leaving = true;
    tracer.detach(follow).map_err(|e| e.to_string())
}

/// Everything is written, and the status is the program's.
fn end(follow: &mut Follow) -> Result<u8, String> {
    let status = match follow.first_end {
        // Attached, and let go.
        None => 0,
        Some(End::Exited(status)) => status as u8,
        Some(End::Killed { signal, .. }) => 128 + signal as u8,
        Some(End::Lost | End::Detached | End::Replaced { .. }) => {
            return Err("nobody can say how the program ended".to_owned());
        }
    };
    let finished = follow.finish();
    if let Some(why) = &mut follow.why {
        why.finish();
    }
    match finished {
        // Whoever read has seen enough.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(status),
        Err(e) => Err(format!(
            "the trace cannot be written, and ends early: {e}; give it another place with -o, or make room"
        )),
        Ok(()) => Ok(status),
    }
}
