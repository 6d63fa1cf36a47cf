//! CLONE_UNTRACED makes a child that its parent's tracer never sees: clone(2). It is taken out where nobody else can put it back, in
//! the registers of the stopped caller; what asks through memory, clone3(2), is told that there is no such call, upon which every C
//! library uses clone(2).

use tipstaff_abi::{Arch, Sysno};
use tipstaff_sys::signal;

use crate::task::Task;
use crate::{Error, Stop, proc};

const CLONE_UNTRACED: u64 = 0x0080_0000;
const ENOSYS: i64 = 38;

#[derive(Debug)]
pub(crate) struct Guard {
    clone: Vec<(Arch, u32)>,
    clone3: Vec<(Arch, u32)>,
    makers: Vec<(Arch, u32)>,
}

impl Guard {
    pub(crate) fn new(archs: &[Arch]) -> Self {
        let named = |name: &str| -> Vec<_> {
            archs.iter().filter_map(|&arch| Some((arch, Sysno::by_name(arch, name)?.0))).collect()
        };
        let makers = ["clone", "clone3", "fork", "vfork"].into_iter().flat_map(named).collect();
        Self { clone: named("clone"), clone3: named("clone3"), makers }
    }

    /// Just before a call is made: after the observer, who may have changed the registers.
    /// `forbid`: clone3(2) is not there.
    pub(crate) fn entering(&self, stop: &Stop, forbid: bool) {
        let Some(call) = stop.call() else { return };
        let asked = (call.arch, call.number);
        if !(stop.touched() || self.clone.contains(&asked) || forbid && self.clone3.contains(&asked)) {
            return;
        }
        match self.edit(stop, call.arch, forbid) {
            Ok(()) | Err(Error::Died) => {}
            // It cannot be kept from it, so it does not get that far.
            Err(Error::Refused { .. }) => drop(signal::kill(stop.tid(), 9)),
        }
    }

    fn edit(&self, stop: &Stop, arch: Arch, forbid: bool) -> Result<(), Error> {
        let mut registers = stop.registers()?;
        let number = registers.number().cast_unsigned();
        let arch = Arch::of(arch.audit_arch(), number).unwrap_or(arch);
        if forbid && self.clone3.contains(&(arch, number)) {
            registers.set_number(-1);
            registers.set_result(-ENOSYS);
            return stop.set_registers(&registers);
        }
        let flags = registers.arg(arch, 0);
        if self.clone.contains(&(arch, number)) && flags & CLONE_UNTRACED != 0 {
            registers.set_arg(arch, 0, flags & !CLONE_UNTRACED);
            return stop.set_registers(&registers);
        }
        Ok(())
    }

    /// A call has returned the id of a new task that no event told of: it and its maker are killed. Its id is the maker's word for it, in
    /// the maker's PID namespace, so it counts only where /proc says the same.
    pub(crate) fn returned(&self, task: &Task, child: i32) {
        let made = task.call().is_some_and(|call| self.makers.contains(&(call.arch, call.number)));
        if !made {
            return;
        }
        let untraced = proc::field(child, "TracerPid") == Some(0);
        if untraced && proc::maker(child) == Some(task.process()) {
            let _ = signal::kill(child, 9);
        }
        let _ = signal::kill(task.process(), 9);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use tipstaff_sys::ptrace::Go;

    use super::*;
    use crate::task::Origin;
    use crate::{Address, Call};

    #[test]
    fn an_untraced_child_is_killed_with_its_maker() {
        let guard = Guard::new(&[Arch::X86_64]);
        let mut maker = Command::new("/bin/sh");
        maker.args(["-c", "sleep 100 & echo $!; wait"]).stdout(Stdio::piped());
        let mut maker = maker.spawn().expect("a maker");
        let mut line = String::new();
        BufReader::new(maker.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
        let child: i32 = line.trim().parse().expect("a pid");
        let pid = maker.id() as i32;
        let mut task = Task::new(pid, pid, None, Origin::Attached, Go::Syscall);
        let mut call = Call { arch: Arch::X86_64, number: 39, args: [0; 6], ip: Address::NULL, sp: Address::NULL };
        task.call = Some(call);
        guard.returned(&task, child);
        assert_eq!(proc::field(child, "PPid"), Some(pid.into()), "getpid makes nobody");
        call.number = 56;
        task.call = Some(call);
        guard.returned(&task, child);
        assert_eq!(maker.wait().expect("wait").signal(), Some(9));
        // It dies on its own CPU, a moment later.
        for _ in 0..12_000 {
            if matches!(proc::state(child), None | Some('Z' | 'X')) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("{child} lives");
    }
}
