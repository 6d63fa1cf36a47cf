//! Which engine decides what the kernel cannot.

use tipstaff_abi::SyscallSet;
use tipstaff_abi::caps::KernelCaps;

use super::host::Surroundings;
use super::namespaces::NamespacePlan;
use super::plan::Cost;
use super::sink::Sink;
use crate::profile::{Engine, GuestListener, GuestPtrace, Profile, PtraceScope};

/// The engine of a box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnginePlan {
    /// The kernel alone.
    #[default]
    Native,
    /// Seccomp user notification: the supervisor answers from its loop (seccomp_unotify(2)). Guests keep the kernel's own ptrace.
    Notify,
    /// A tracer: every task of the box is its tracee (ptrace(2)).
    Ptrace,
}

const NO_LISTENER: &str = "no seccomp listener can be had: the kernel is older than 5.0, or another supervisor's filter has one (EBUSY, a nested box)";

const GUEST_LISTENER: &str = "guest_listener = \"native\"";

const SERVED: &str = "guest_listener = \"emulate\"";

const KNOWN: &str = "every process is known before it runs";

/// The engine that would be asked, if anybody has to be; Native where nobody may.
pub(super) fn available(profile: &Profile, caps: &KernelCaps, around: &Surroundings) -> EnginePlan {
    match profile.isolation.engine.unwrap_or(Engine::Auto) {
        // What has to be asked about is refused then, and why.
        _ if leaves_listener(profile) => EnginePlan::Native,
        Engine::Native => EnginePlan::Native,
        Engine::Notify if caps.listener => EnginePlan::Notify,
        Engine::Notify => EnginePlan::Native,
        Engine::Auto if caps.listener && !around.rewrites && !asks_tracer(profile) => EnginePlan::Notify,
        Engine::Auto | Engine::Ptrace => EnginePlan::Ptrace,
    }
}

/// The kernel's part is to be played for guests, which only a tracer does.
fn asks_tracer(profile: &Profile) -> bool {
    asks_emulation(profile) || asks_service(profile)
}

fn asks_service(profile: &Profile) -> bool {
    profile.isolation.guest_listener == Some(GuestListener::Emulate)
}

/// Whether our tracer serves listeners of guests' own.
pub(super) fn serves(profile: &Profile, engine: EnginePlan) -> bool {
    engine == EnginePlan::Ptrace && asks_service(profile)
}

fn asks_emulation(profile: &Profile) -> bool {
    profile.isolation.guest_ptrace == Some(GuestPtrace::Emulate)
}

/// Whether guests have a ptrace(2) that our tracer plays: wherever it is not denied, since a task has one tracer.
pub(super) fn mediates(profile: &Profile, engine: EnginePlan) -> bool {
    engine == EnginePlan::Ptrace && guests_trace(profile)
}

/// Whether guests are shown their own tracer in proc(5), and never ours: where emulation is asked for, since every file that is opened for reading stops then.
pub(super) fn shows(profile: &Profile) -> bool {
    asks_emulation(profile)
}

/// Whether any program in the box may trace another: nobody there has CAP_SYS_PTRACE.
pub(super) fn guests_trace(profile: &Profile) -> bool {
    let scope = profile.isolation.ptrace_scope.unwrap_or(PtraceScope::Classic);
    profile.isolation.guest_ptrace != Some(GuestPtrace::Deny) && scope <= PtraceScope::Restricted
}

/// Whether somebody must be asked who may attach to whom.
pub(super) fn restricts(profile: &Profile) -> bool {
    guests_trace(profile) && profile.isolation.ptrace_scope == Some(PtraceScope::Restricted)
}

/// What guests are told of Yama's scope, where the profile says it.
pub(super) fn told_scope(profile: &Profile) -> Option<u8> {
    profile.isolation.ptrace_scope.map(|scope| match scope {
        PtraceScope::Classic => 0,
        PtraceScope::Restricted => 1,
        PtraceScope::Admin => 2,
        PtraceScope::None => 3,
    })
}

/// What is told of the scope.
pub(super) fn scope(profile: &Profile, namespaces: &NamespacePlan, sink: &mut Sink) {
    let Some(scope) = profile.isolation.ptrace_scope else { return };
    let rule = format!("ptrace_scope = \"{}\"", scope.as_str());
    if restricts(profile) {
        let mut why = "access to /proc/PID/mem is not restricted".to_owned();
        if !namespaces.mount {
            why += ", and without a mount namespace guests read the host's /proc/sys/kernel/yama/ptrace_scope, if it has one";
        }
        sink.full_but(&rule, "attaching is asked about", &why, Cost::Notified);
    } else if !guests_trace(profile) {
        sink.full(&rule, "seccomp: nobody traces", Cost::Kernel);
    } else {
        sink.full(&rule, "as the host", Cost::Free);
    }
}

/// `asked`: the calls that somebody has to be asked about, for the profile's own rules and for the handlers of this box.
pub(super) fn lower(
    profile: &Profile,
    caps: &KernelCaps,
    around: &Surroundings,
    asked: &SyscallSet,
    sink: &mut Sink,
) -> EnginePlan {
    let (emulate, serve) = (asks_emulation(profile), asks_service(profile));
    let tracer = emulate || serve;
    guest_listener(profile, caps, asked, sink);
    if let (true, Some(engine @ (Engine::Native | Engine::Notify))) = (emulate, profile.isolation.engine) {
        let why = format!(
            "under engine = \"{}\" there is no tracer of ours, and guests have the kernel's own ptrace",
            engine.as_str()
        );
        sink.impossible("guest_ptrace = \"emulate\"", &why, "use `--engine ptrace` or `--guest-ptrace native`");
    }
    if serve {
        served(profile, caps, sink);
    }
    match (profile.isolation.engine.unwrap_or(Engine::Auto), available(profile, caps, around)) {
        (_, EnginePlan::Native) if leaves_listener(profile) => EnginePlan::Native,
        (Engine::Native, _) if !asked.is_empty() => {
            let cure = "use `--engine auto`, `notify` or `ptrace`";
            let why = format!("{} must be asked about, and the kernel alone asks nobody", words(asked));
            sink.impossible("engine = \"native\"", &why, cure);
            EnginePlan::Native
        }
        (Engine::Native, _) => EnginePlan::Native,
        (Engine::Auto, _) if asked.is_empty() && !tracer => EnginePlan::Native,
        (Engine::Notify, _) if around.rewrites => {
            let why = "a handler changes calls or what they return, which only a tracer can";
            sink.impossible("engine = \"notify\"", why, "use `--engine auto` or `ptrace`");
            EnginePlan::Native
        }
        (Engine::Notify, EnginePlan::Native) => {
            let cure = "use `--engine auto`, `native` or `ptrace`, or give a box around it `--guest-listener native` or `emulate`";
            sink.impossible("engine = \"notify\"", NO_LISTENER, cure);
            EnginePlan::Native
        }
        (_, EnginePlan::Notify) => {
            notify(asked, sink);
            if around.registers {
                let why = "each fork is asked about, and its caller traced for that one call: some 50 µs more, and EPERM for a caller that a debugger traces already";
                sink.full_but(KNOWN, "seccomp notification, ptrace", why, Cost::Notified);
            }
            EnginePlan::Notify
        }
        (engine, _) => {
            let tells = if engine == Engine::Auto && !around.rewrites && !tracer { Some(NO_LISTENER) } else { None };
            ptrace(profile, asked, tells, sink);
            if around.registers {
                sink.full(KNOWN, "ptrace events of every task", Cost::Traced);
            }
            EnginePlan::Ptrace
        }
    }
}

/// A guest's own listener: the kernel allows one in a chain of filters, so it is ours or theirs.
fn guest_listener(profile: &Profile, caps: &KernelCaps, asked: &SyscallSet, sink: &mut Sink) {
    if !leaves_listener(profile) {
        return;
    }
    let why = match profile.isolation.engine.unwrap_or(Engine::Auto) {
        Engine::Notify => {
            "under engine = \"notify\" the one listener that the kernel allows in a chain of filters is ours".to_owned()
        }
        engine if engine == Engine::Ptrace || asks_emulation(profile) => {
            "a guest's listener outranks the stops of engine = \"ptrace\"".to_owned()
        }
        Engine::Auto | Engine::Native if !asked.is_empty() => {
            format!("{} must be asked about, and a guest's listener would outrank whoever asks", words(asked))
        }
        _ if !caps.listener => {
            let cure = "give the outer box `--guest-listener native`";
            return sink.impossible(GUEST_LISTENER, NO_LISTENER, cure);
        }
        _ => return sink.full(GUEST_LISTENER, "the kernel's own", Cost::Free),
    };
    sink.impossible(
        GUEST_LISTENER,
        &why,
        "leave it out, use `--engine native` and rules that the kernel alone enforces, or `--guest-listener emulate` and `--engine ptrace`",
    );
}

/// Guests' listeners beside ours.
fn served(profile: &Profile, caps: &KernelCaps, sink: &mut Sink) {
    match profile.isolation.engine.unwrap_or(Engine::Auto) {
        engine @ (Engine::Native | Engine::Notify) => {
            let why = format!("under engine = \"{}\" there is no tracer of ours that could serve it", engine.as_str());
            sink.impossible(SERVED, &why, "use `--engine ptrace`, or `--guest-listener native` with `--engine native`");
        }
        _ if !caps.listener => {
            let cure = "give the outer box `--guest-listener native` or `emulate`";
            sink.impossible(SERVED, NO_LISTENER, cure);
        }
        _ => sink.full(SERVED, "our tracer serves it, beside ours", Cost::Traced),
    }
}

/// The listener is left to guests.
pub(super) fn leaves_listener(profile: &Profile) -> bool {
    profile.isolation.guest_listener == Some(GuestListener::Native)
}

/// The calls of a set in words.
fn words(asked: &SyscallSet) -> String {
    let names = asked.iter().map(|nr| nr.name(asked.arch()).unwrap_or("?")).collect::<Vec<_>>();
    if names.is_empty() { "no call".to_owned() } else { names.join(", ") }
}

fn notify(asked: &SyscallSet, sink: &mut Sink) {
    let mechanism = format!("seccomp notification of {}", words(asked));
    sink.full("engine = \"notify\"", &mechanism, Cost::Notified);
}

fn ptrace(profile: &Profile, asked: &SyscallSet, instead: Option<&str>, sink: &mut Sink) {
    let mechanism = format!("ptrace, stops at {}", words(asked));
    match instead {
        Some(why) => sink.full_but("engine = \"ptrace\"", &mechanism, why, Cost::Traced),
        None => sink.full("engine = \"ptrace\"", &mechanism, Cost::Traced),
    }
    let mechanism = "our tracer plays the kernel's part";
    match profile.isolation.guest_ptrace.unwrap_or(GuestPtrace::Native) {
        GuestPtrace::Native => {
            let why = "a task has one tracer, and that is ours: guests' ptrace(2) is emulated";
            sink.full_but("guest_ptrace = \"native\"", mechanism, why, Cost::Traced);
        }
        GuestPtrace::Emulate => sink.full("guest_ptrace = \"emulate\"", mechanism, Cost::Traced),
        GuestPtrace::Deny => {}
    }
}
