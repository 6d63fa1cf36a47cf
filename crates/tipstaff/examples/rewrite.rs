//! Changes what a program is told, and what it opens: a rewriter in one file.
//!
//!     cargo run -p tipstaff --example rewrite
//!     cargo run -p tipstaff --example rewrite -- cat /etc/os-release
//!
//! The box's host name is `elsewhere`, whatever it is: uname(2) is made, and its result is changed in the guest's memory before the guest
//! sees it. And who opens `/etc/os-release` gets `/etc/group`: the call's argument is pointed to another path.
//!
//! A rewriter serves honest programs. Another thread can change the new path before the kernel reads it, or read the old name of the host at
//! the right moment: what must not be seen is kept out of the view by the profile.

use std::path::Path;

use tipstaff::handler::{Entry, Return};
use tipstaff::{Action, Arch, Command, Error, Profile, Rewriter, SyscallSet};

const FROM: &str = "/etc/os-release";
const TO: &[u8] = b"/etc/group\0";
/// struct utsname: six fields of 65 bytes; the second is the node's name.
const FIELD: u64 = 65;

struct Elsewhere;

impl Rewriter for Elsewhere {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, ["uname", "open", "openat"])
    }

    fn on_entry(&mut self, entry: &mut Entry<'_>) -> Action {
        let path = match entry.name() {
            Some("open") => 0,
            Some("openat") => 1,
            _ => return Action::Pass,
        };
        if entry.path(path).is_ok_and(|path| path == Path::new(FROM)) {
            // Below the caller's stack there is room for a path.
            match entry.scratch(TO) {
                Some(address) => entry.set_arg(path, address),
                None => return Action::Errno(14), // EFAULT
            }
        }
        Action::Pass
    }

    fn returns(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, ["uname"])
    }

    fn on_return(&mut self, returned: &mut Return<'_>) {
        let name = returned.args()[0] + FIELD;
        if returned.value() == 0 && !returned.write(name, b"elsewhere\0") {
            returned.set_value(-14);
        }
    }
}

fn main() -> Result<(), Error> {
    let mut given: Vec<_> = std::env::args_os().skip(1).collect();
    if given.is_empty() {
        given = ["sh", "-c", "uname -n; head -n 1 /etc/os-release"].map(Into::into).into();
    }
    let mut command = Command::new(&given[0]);
    let report = command.args(&given[1..]).profile(Profile::preset("default")?).rewriter(|| Elsewhere).status()?;
    println!("{}", report.verdict);
    Ok(())
}
