//! The programs: one file per tracepoint, and what they share.
//!
//! Registers in all of them: R6 the tracepoint's arguments, R7 the task's state, R8 and R9 what the program says. Each program is made for the
//! running kernel and this number of CPUs; nothing in it is looked up at run time that is known when it is loaded.

mod call;
mod capability;
mod common;
mod enter;
mod exec;
mod exit;
mod family;
mod join;
mod page;
mod path;
mod signal;

use std::os::fd::{AsFd, OwnedFd};

use tipstaff_abi::ebpf::Insn;
use tipstaff_sys::bpf;

use crate::Unavailable;
use crate::asm::Asm;
use crate::layout::{Kernel, Layout, Tracepoint};
use crate::maps::Maps;

/// A program in the making, with all that it may refer to.
pub(crate) struct Gen<'a> {
    pub(crate) a: Asm,
    pub(crate) l: &'a Layout,
    pub(crate) m: &'a Maps,
    pub(crate) kernel: &'a Kernel,
}

type Writer = fn(&mut Gen<'_>);

/// The verifier lets probe_read helpers be called by programs under a licence that is compatible with the GPL only. Of the programs that are
/// loaded into the kernel this is true; they can be had under either.
const LICENCE: &core::ffi::CStr = c"Dual MIT/GPL";

/// What is loaded, in the order in which it is attached: nobody becomes a member before calls are counted.
const ALL: [(Tracepoint, &str, Writer); 8] = [
    (Tracepoint::SysEnter, "ts_sys_enter", enter::write),
    (Tracepoint::SysExit, "ts_sys_exit", exit::write),
    (Tracepoint::SchedProcessExec, "ts_exec", exec::write),
    (Tracepoint::SchedProcessExit, "ts_task_exit", family::exit),
    (Tracepoint::SignalGenerate, "ts_signal", signal::write),
    (Tracepoint::CapCapable, "ts_capable", capability::write),
    (Tracepoint::CgroupAttachTask, "ts_cgroup", join::cgroup),
    (Tracepoint::TaskNewtask, "ts_newtask", family::newtask),
];

/// A loaded program.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    fd: OwnedFd,
}

/// Which tracepoints cost all tasks of the machine something, or need long to be verified: they are loaded and attached when a recording first asks
/// for them.
pub(crate) fn on_demand(tracepoint: Tracepoint) -> bool {
    matches!(tracepoint, Tracepoint::SysExit | Tracepoint::CapCapable)
}

/// All tracepoints, in the order in which they are attached.
pub(crate) fn tracepoints() -> impl Iterator<Item = Tracepoint> {
    ALL.iter().map(|(tracepoint, ..)| *tracepoint)
}

impl Program {
    /// Makes and loads one.
    pub(crate) fn load(kernel: &Kernel, maps: &Maps, tracepoint: Tracepoint) -> Result<Self, Unavailable> {
        let id = kernel.tracepoint(tracepoint)?;
        let (_, name, write) =
            ALL.into_iter().find(|(known, ..)| *known == tracepoint).expect("every tracepoint is in the list");
        let (insns, functions) = assemble(kernel, maps, write);
        Ok(Self { name, fd: load(name, &insns, &functions, id)? })
    }

    /// Runs until the result is dropped.
    pub(crate) fn attach(&self) -> Result<OwnedFd, Unavailable> {
        bpf::attach(self.fd.as_fd()).map_err(|errno| Unavailable::Attach { name: self.name, errno })
    }
}

fn assemble(kernel: &Kernel, maps: &Maps, write: Writer) -> (Vec<Insn>, Vec<u32>) {
    let mut generator = Gen { a: Asm::new(), l: &kernel.layout, m: maps, kernel };
    write(&mut generator);
    generator.a.finish()
}

fn load(name: &'static str, insns: &[Insn], functions: &[u32], tracepoint: u32) -> Result<OwnedFd, Unavailable> {
    const LOG: usize = 1 << 18;
    bpf::load_tracing(name, LICENCE, insns, functions, tracepoint, LOG).map_err(|rejected| {
        if rejected.errno == tipstaff_sys::Errno::PERM {
            return crate::probe::not_permitted();
        }
        let lines: Vec<&str> = rejected.log.lines().collect();
        // The last lines but one say why; the last one counts instructions.
        let excerpt = lines[lines.len().saturating_sub(12)..].join(" | ");
        Unavailable::Rejected { name, errno: rejected.errno, log: excerpt }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_verifier_refuses_is_told_with_its_reason() {
        let mut a = Asm::new();
        a.exit();
        let (insns, functions) = a.finish();
        let Ok(kernel) = Kernel::read() else { tipstaff_testkit::skip!("no type information") };
        let id = kernel.tracepoint(Tracepoint::SysEnter).expect("a tracepoint");
        match load("ts_broken", &insns, &functions, id) {
            Err(Unavailable::Rejected { name: "ts_broken", log, .. }) => assert!(log.contains("R0 !read_ok"), "{log}"),
            Err(error @ Unavailable::Permission { .. }) => tipstaff_testkit::skip!("{error}"),
            other => panic!("{other:?}"),
        }
    }
}
