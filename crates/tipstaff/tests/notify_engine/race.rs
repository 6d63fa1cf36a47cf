//! Paths that change while they are decided about: what decides is the profile, on what the kernel itself has found.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tipstaff::handler::Trap;
use tipstaff::policy::profile::{PathRule, RuleAction, SyscallRule};
use tipstaff::policy::value::Setting;
use tipstaff::{Action, Arch, Handler, SyscallSet};
use tipstaff_testkit::{Machine, Scratch, User, Without, also_elsewhere, guest};

use crate::guests::{boxed, show, text, with_guests};

/// Refuses what leads to the bad directory and lets everything else pass: right as far as it can see, and wrong when the kernel reads again.
struct Naive {
    call: &'static str,
    refused: Arc<AtomicU64>,
}

impl Naive {
    fn path(&self, trap: &Trap<'_>) -> Vec<u8> {
        use std::os::unix::fs::FileExt;
        let index = usize::from(matches!(self.call, "openat2" | "rename" | "link"));
        if self.call != "execve" {
            return trap.path(index).map(|path| path.into_os_string().into_encoded_bytes()).unwrap_or_default();
        }
        // An exec that a handler has read is verified by the engine (`handlers/exec.rs`): here it is read behind its back.
        let mut bytes = vec![0; 512];
        let memory = fs::File::open(format!("/proc/{}/mem", trap.tid()));
        let read = memory.and_then(|memory| memory.read_at(&mut bytes, trap.args()[0])).unwrap_or(0);
        bytes.truncate(bytes[..read].iter().position(|byte| *byte == 0).unwrap_or(0));
        bytes
    }
}

impl Handler for Naive {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, [self.call])
    }

    fn on_syscall(&mut self, trap: &mut Trap<'_>) -> Action {
        let path = self.path(trap);
        if path.is_empty() || String::from_utf8_lossy(&path).contains("/bad_/") {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Action::Errno(13);
        }
        Action::Pass
    }
}

/// How many calls met what they must not, with the rule in the profile or with the handler alone.
fn wrong(call: &'static str, from: Option<&str>, rule: bool) -> u64 {
    let full = tipstaff_testkit::full_drill();
    let (flips, tries) = match (full, call) {
        _ if from.is_some() => (if full { 1_000_000 } else { 20_000 }, if full { 200_000 } else { 1_000 }),
        (true, "exec") => (1_000_000, 20_000),
        (true, _) => (1_000_000, 200_000),
        (false, "exec") => (100_000, 200),
        (false, _) => (100_000, 2_000),
    };
    let user = if User::me() == 0 { User::Root } else { User::Ordinary };
    let scratch = Scratch::new(user);
    let make = |name: &str| {
        let dir = scratch.dir(name);
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("own directory");
        scratch.file(format!("{name}/f"), &name[..1]);
        // Without arguments the one ends with 0, the other with 2.
        let program = guest(if name == "good" { "exit" } else { "race" });
        let copy = scratch.file(format!("{name}/x"), fs::read(program).expect("a guest"));
        fs::set_permissions(copy, fs::Permissions::from_mode(0o755)).expect("own file");
        dir
    };
    let (good, bad) = (make("good"), make("bad_"));
    let (flips, tries) = (flips.to_string(), tries.to_string());
    let words: Vec<&str> = [call, show(&good), show(&bad), &flips, &tries].into_iter().chain(from).collect();
    let mut command = boxed("race", &words);
    let mut profile = with_guests();
    (profile.0.limits.cpu, profile.0.limits.wall) = (Some(Setting::Unlimited), Some(Setting::Unlimited));
    // Without the rule both are in one mount: between two a rename is EXDEV.
    let allowed = if rule { &good } else { scratch.path() };
    profile.0.filesystem.write.push(PathRule::new(allowed));
    // Absent where files can be left behind, unless a profile says that it wants it.
    let asked_for = SyscallRule { names: vec!["openat2".into()], conditions: Vec::new(), action: RuleAction::Allow };
    profile.0.syscalls.rules.push(asked_for);
    profile.0.filesystem.exec.push(PathRule::new(allowed));
    if rule {
        profile.0.filesystem.deny.push(PathRule::new(&bad));
    }
    let refused = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&refused);
    let wanted = if call == "exec" { "execve" } else { call };
    command.profile(profile).handler(move || Naive { call: wanted, refused: Arc::clone(&counter) });
    let output = command.output().expect("run");
    let said = text(&output);
    let number = said.trim().strip_suffix(" wrong").and_then(|said| said.rsplit(' ').next()?.parse().ok());
    let number = number.unwrap_or_else(|| panic!("{call}: {output:?}"));
    assert!(said.contains("all flips, some through"), "nothing was allowed: {said}");
    assert!(refused.load(Ordering::Relaxed) > 0, "nothing was refused: {said}");
    number
}

/// Without a mount namespace Landlock lets nobody write in proc.
const MOUNTED: [(User, Machine); 1] = [(User::Ordinary, Machine::Full)];
const PLACES: [(User, Machine); 2] =
    [(User::Ordinary, Machine::Full), (User::Ordinary, Machine::Without(Without::UserNamespace))];

macro_rules! races {
    ($($name:ident: $call:literal $from:expr, $places:ident;)*) => {$(
        #[test]
        fn $name() {
            also_elsewhere(concat!("race::", stringify!($name)), &$places, || {
                assert_eq!(wrong($call, $from, true), 0);
            });
            // The control: the same handler, and no rule below it. A busy machine may need more than one go.
            assert!((0..20).any(|_| wrong($call, $from, false) > 0), "the attack does not work, so the test proves nothing");
        }
    )*};
}

races! {
    open: "open" None, PLACES;
    creat: "creat" None, PLACES;
    openat2: "openat2" None, PLACES;
    rename: "rename" None, PLACES;
    link: "link" None, PLACES;
    chdir: "chdir" None, PLACES;
    exec: "exec" None, PLACES;
    open_by_process_vm_writev: "open" Some("writev"), PLACES;
    open_by_proc_mem: "open" Some("mem"), MOUNTED;
}
