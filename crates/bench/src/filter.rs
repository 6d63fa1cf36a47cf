//! What the filter costs a call that it plainly allows.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use tipstaff_abi::bpf::Insn;

use crate::measure::{self, Effort};

/// First argument of this binary when it is the measured child.
pub const HELPER: &str = "filter-loop";

const CALLS: u32 = 1_000_000;

pub fn row(effort: Effort) -> anyhow::Result<()> {
    let kinds = ["one", "default", "none"];
    let mut rounds = [const { Vec::new() }; 3];
    for round in 0..effort.rounds {
        for place in 0..kinds.len() {
            let index = if round % 2 == 0 { place } else { kinds.len() - 1 - place };
            rounds[index].push(measured(kinds[index])?);
        }
    }
    let [one, ours, none] = rounds.each_mut().map(|values| measure::median(values));
    measure::row("1,000 × getppid, default filter; floor: one rule", one, ours, Some(1.1));
    measure::row("  for comparison: no filter", one, none, None);
    Ok(())
}

/// Microseconds for a thousand calls.
fn measured(kind: &str) -> anyhow::Result<f64> {
    let output = Command::new(std::env::current_exe()?).args([HELPER, kind]).output()?;
    ensure!(output.status.success(), "the filter's child failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().context("the filter's child said no number")
}

/// The child: installs a filter, calls, says how long it took.
pub fn helper(kind: &str) -> anyhow::Result<()> {
    let program = match kind {
        "one" => Some(one_rule()),
        "default" => {
            let armed = tipstaff::Command::new("/bin/true").explain_armed()?;
            Some(armed.insns().context("no filter")?.to_vec())
        }
        _ => None,
    };
    if let Some(program) = program {
        install(&program)?;
    }
    let begun = Instant::now();
    for _ in 0..CALLS {
        // SAFETY: no arguments.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
    println!("{}", begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS) * 1000.0);
    Ok(())
}

/// Refuses ptrace(2) on this architecture, kills on others, allows the rest.
fn one_rule() -> Vec<Insn> {
    #[cfg(target_arch = "x86_64")]
    const AUDIT_ARCH: u32 = 0xc000_003e;
    #[cfg(target_arch = "aarch64")]
    const AUDIT_ARCH: u32 = 0xc000_00b7;
    let insn = |code, jt, jf, k| Insn { code, jt, jf, k };
    vec![
        insn(0x20, 0, 0, 4),                       // ld arch
        insn(0x15, 0, 3, AUDIT_ARCH),              // jne kill
        insn(0x20, 0, 0, 0),                       // ld nr
        insn(0x15, 0, 2, libc::SYS_ptrace as u32), // jne allow
        insn(0x06, 0, 0, 0x0005_0000 | libc::EPERM as u32),
        insn(0x06, 0, 0, 0x8000_0000),
        insn(0x06, 0, 0, 0x7fff_0000),
    ]
}

fn install(program: &[Insn]) -> anyhow::Result<()> {
    let filter: Vec<libc::sock_filter> =
        program.iter().map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();
    let prog = libc::sock_fprog { len: u16::try_from(filter.len())?, filter: filter.as_ptr().cast_mut() };
    // SAFETY: integers; then a sock_fprog whose instructions live across the call.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &prog)
    };
    ensure!(done == 0, "seccomp: {}", std::io::Error::last_os_error());
    Ok(())
}
