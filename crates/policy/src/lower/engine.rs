//! Which engine decides what the kernel cannot.

use tipstaff_abi::SyscallSet;

use super::network::Ask;
use super::plan::Cost;
use super::sink::Sink;
use crate::profile::{Engine, GuestPtrace, Profile};

/// The engine of a box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnginePlan {
    /// The kernel alone.
    #[default]
    Native,
    /// A tracer: every task of the box is its tracee (ptrace(2)).
    Ptrace,
}

/// `handled`: what the handlers of this box want to see.
pub(super) fn lower(profile: &Profile, handled: &SyscallSet, asked: &[Ask], sink: &mut Sink) -> EnginePlan {
    let emulate = profile.isolation.guest_ptrace == Some(GuestPtrace::Emulate);
    if emulate {
        let cure = "use `--guest-ptrace native` or `deny`";
        sink.impossible("guest_ptrace = \"emulate\"", "this version does not emulate ptrace", cure);
    }
    let calls: Vec<&str> = asked.iter().map(|ask| ask.call).collect();
    let wish = profile.isolation.engine.unwrap_or(Engine::Auto);
    match wish {
        Engine::Notify => {
            let cure = "use `--engine auto`, `native` or `ptrace`";
            sink.impossible("engine = \"notify\"", "this version has no notify engine", cure);
            EnginePlan::Native
        }
        Engine::Native if !handled.is_empty() => {
            let cure = "use `--engine auto` or `--engine ptrace`";
            sink.impossible("engine = \"native\"", "the kernel alone asks no handler", cure);
            EnginePlan::Native
        }
        Engine::Native if !asked.is_empty() => {
            let why = format!("the kernel alone does not know addresses: {} must be asked about", calls.join(", "));
            let cure = "use `--engine auto`, `--net none`, `--net host`, or rules like tcp://*:443 alone";
            sink.impossible("engine = \"native\"", &why, cure);
            EnginePlan::Native
        }
        Engine::Auto if handled.is_empty() && asked.is_empty() => EnginePlan::Native,
        Engine::Native => EnginePlan::Native,
        Engine::Auto | Engine::Ptrace => {
            sink.full("engine = \"ptrace\"", "ptrace", Cost::Traced);
            if profile.isolation.guest_ptrace.unwrap_or(GuestPtrace::Native) == GuestPtrace::Native {
                let why = "a task has one tracer, and that is ours: ptrace(2) of guests fails with EPERM";
                sink.note("guest_ptrace = \"native\"", "none", why, Cost::Free);
            }
            EnginePlan::Ptrace
        }
    }
}
