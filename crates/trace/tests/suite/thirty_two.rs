//! 32-bit calls: a 32-bit program, and the `int $0x80` of a 64-bit one.

use tipstaff_abi::Arch;
use tipstaff_trace::{Config, End, Launch, Observer, Registers, Resume, Stop, Task};

use crate::kit::{guest, program, run_with};

#[derive(Default)]
struct Calls {
    calls: Vec<(Arch, &'static str, [u64; 3])>,
    results: Vec<i64>,
    short: bool,
    end: Option<End>,
}

impl Observer for Calls {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        match stop {
            Stop::Entered(s) => {
                let call = s.call();
                let [a, b, c, ..] = call.args;
                self.calls.push((call.arch, call.name().unwrap_or("?"), [a, b, c]));
                let registers = s.registers().expect("registers");
                self.short |= matches!(registers, Registers::Short(_));
                assert_eq!(registers.number().cast_unsigned(), call.number);
                assert_eq!(registers.arg(call.arch, 2), call.args[2]);
                assert_eq!(registers.sp(), call.sp.0);
            }
            Stop::Left(s) if task.call().is_some_and(|call| call.arch == Arch::I386) => {
                self.results.push(s.returned().value);
            }
            _ => {}
        }
        Resume::AsBefore
    }

    fn on_end(&mut self, _: &Task, end: End) {
        self.end = Some(end);
    }
}

fn calls(launch: Launch) -> (Calls, String) {
    let mut calls = Calls::default();
    let (_, output) = run_with(Config::default(), launch, &mut calls);
    (calls, output)
}

#[test]
fn a_32_bit_program() {
    let Some(path) = tipstaff_testkit::guest_32("i386") else {
        tipstaff_testkit::skip!("no compiler for 32-bit programs");
    };
    let (calls, output) = calls(program(&path));
    assert_eq!(output, "32\n");
    assert!(calls.short, "its registers have the short form");
    let own: Vec<_> = calls.calls.iter().filter(|call| call.0 == Arch::I386).map(|call| call.1).collect();
    assert_eq!(own, ["write", "close", "exit"]);
    // Arguments are unsigned words, results are sign-extended.
    assert!(calls.calls.iter().any(|call| call.1 == "close" && call.2[0] == 0xffff_fff9));
    // The execve that began it was made by 64-bit code, but returns to 32-bit code.
    assert!(calls.results.ends_with(&[3, -9]), "{:?}", calls.results);
    assert_eq!(calls.end, Some(End::Exited(6)));
}

#[test]
fn int_80_in_a_64_bit_program() {
    let (calls, _) = calls(guest("int80"));
    assert!(calls.calls.iter().any(|call| (call.0, call.1) == (Arch::I386, "getpid")), "{:?}", calls.calls);
    assert!(!calls.short);
    assert_eq!(calls.end, Some(End::Exited(0)));
}
