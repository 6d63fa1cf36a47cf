//! Whatever somebody writes: no panic, errors of one line, and what was read is what is written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::check;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tipstaff_policy::profile::*;
use tipstaff_policy::value::*;

/// Pieces of which profiles are made, and pieces of which mistakes are made.
const PIECES: &[&str] = &[
    "[limits]",
    "[filesystem]",
    "[program]",
    "[network]",
    "[syscalls]",
    "[isolation]",
    "[[syscalls.rule]]",
    "[[filesystem.mounts]]",
    "cpu",
    "memory",
    "read",
    "deny",
    "argv",
    "env",
    "allow",
    "bind",
    "errno",
    "rule",
    "args",
    "base",
    "names",
    "action",
    "index",
    "op",
    "value",
    "mask",
    "width",
    "namespaces",
    "extends",
    "=",
    "=",
    "=",
    "\n",
    "\n",
    "\n",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    "\"",
    "'",
    "\"1s\"",
    "\"64M\"",
    "\"~/x\"",
    "\"~\"",
    "[\"open\"]",
    "\"*:80\"",
    "[\"::1\"]",
    "-1",
    "0",
    "1.5",
    "0xffffffffffffffff",
    "99999999999999999999",
    "true",
    "1979-05-27",
    "inf",
    "nan",
    " ",
    "\\u0000",
    "\"\"\"",
    "#",
    "\r",
    "\u{e9}",
    "\u{202e}",
    "\u{feff}",
];

fn one_line(message: String) {
    check::one_line(&message);
}

/// Lines that are right, or nearly so: most such profiles are read and lowered.
const LINES: &[&str] = &[
    "limits.cpu = \"1s\"",
    "limits.wall = \"unlimited\"",
    "limits.memory = \"64MiB\"",
    "limits.processes = 3",
    "limits.output = \"1KiB\"",
    "limits.disk = \"1GiB\"",
    "limits.open_files = 0",
    "limits.stack = \"1\"",
    "limits.file_size = \"1MB\"",
    "limits.idle = \"1ns\"",
    "filesystem.read = [\"/\"]",
    "filesystem.write = [\"/a/b\", \"~/x\"]",
    "filesystem.exec = [\"/\", \"/usr\"]",
    "filesystem.deny = [\"/\", \"/a/../b\", \"/home/u/p\"]",
    "filesystem.protect = [\"/a/b/.git\"]",
    "filesystem.protect_git = true",
    "filesystem.cwd = \"write\"",
    "filesystem.root = \"/a\"",
    "filesystem.tmp = \"shared\"",
    "filesystem.tmp_exec = false",
    "network.allow = [\"none\"]",
    "network.allow = [\"*:80\", \"udp://[::1]:53\"]",
    "network.allow = [\"host\"]",
    "network.deny = [\"10.0.0.0/8\", \"example.org\"]",
    "network.bind = [\"8000-8100\"]",
    "syscalls.base = \"strict\"",
    "syscalls.base = \"/ab.json\"",
    "syscalls.base = \"/a.json\"",
    "syscalls.deny = [\"%file\", \"ptrace\"]",
    "syscalls.allow = [\"mount\"]",
    "syscalls.kill = [\"execve\"]",
    "syscalls.log = [\"%network\"]",
    "syscalls.errno = { openat = \"EPERM\" }",
    "isolation.engine = \"ptrace\"",
    "isolation.engine = \"native\"",
    "isolation.best_effort = true",
    "isolation.guest_ptrace = \"emulate\"",
    "isolation.guest_ptrace = \"deny\"",
    "isolation.denials = \"silent\"",
    "isolation.namespaces = []",
    "isolation.namespaces = [\"user\", \"net\"]",
    "isolation.guest_listener = \"native\"",
    "isolation.guest_listener = \"emulate\"",
    "program.uid = 65534",
    "program.gid = 0",
    "program.argv = [\"a\"]",
    "program.cwd = \"/\"",
    "program.env = { A = \"b\" }",
    "program.tty = true",
    "[[filesystem.mounts]]\nkind = \"tmpfs\"\npath = \"/m\"",
    "[[syscalls.rule]]\nnames = [\"ioctl\"]\naction = \"errno\"\nargs = [{ index = 1, op = \"==\", value = 21523 }]",
];

proptest! {
    #[test]
    fn any_text(text in "\\PC*|(.|\n)*") {
        check::profile(&text);
    }

    #[test]
    fn any_order_of_pieces(pieces in vec(proptest::sample::select(PIECES), 0..40)) {
        check::profile(&pieces.concat());
    }

    #[test]
    fn any_lines_that_are_right_alone(lines in vec(proptest::sample::select(LINES), 0..8)) {
        let mut lines = lines;
        // Tables come last.
        lines.sort_by_key(|line| line.starts_with('['));
        lines.dedup();
        check::profile(&lines.join("\n"));
    }

    #[test]
    fn any_value_under_any_key(
        place in proptest::sample::select(&[
            "limits.cpu", "limits.memory", "limits.processes", "filesystem.read", "filesystem.mounts", "filesystem.cwd",
            "network.allow", "network.bind", "syscalls.base", "syscalls.deny", "syscalls.errno", "syscalls.rule",
            "isolation.namespaces", "isolation.engine", "program.argv", "program.env", "program.uid", "program.tty",
        ][..]),
        pieces in vec(proptest::sample::select(PIECES), 1..8),
    ) {
        check::profile(&format!("{place} = {}", pieces.concat()));
    }

    #[test]
    fn any_network_rule(text in "(tcp://|udp://|x://)?(\\[?[0-9a-fx:.*]{0,20}\\]?|[a-z.-]{0,10})(/[0-9]{0,4})?(:[0-9,-]{0,12})?") {
        match text.parse::<NetSpec>() {
            Ok(spec) => assert_eq!(spec.to_string().parse(), Ok(spec)),
            Err(error) => one_line(error.to_string()),
        }
    }

    #[test]
    fn any_size_and_duration(text in "[0-9]{0,21}(\\.[0-9]{0,13})?[KMGTkmgtiBhsu]{0,3}") {
        match parse_size(&text) {
            Ok(bytes) => assert_eq!(parse_size(&format_size(bytes)), Ok(bytes)),
            Err(error) => one_line(error.to_string()),
        }
        match parse_duration(&text) {
            Ok(time) => assert_eq!(parse_duration(&format_duration(time)), Ok(time)),
            Err(error) => one_line(error.to_string()),
        }
    }

    #[test]
    fn any_number_of_bytes_and_nanoseconds(bytes: u64, ns in 0..3_000_000_000_000_000_000u64) {
        assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        let time = Duration::from_nanos(ns);
        assert_eq!(parse_duration(&format_duration(time)), Ok(time));
    }

    #[test]
    fn any_profile_is_its_own_toml(profile in profile()) {
        let text = profile.to_toml().unwrap();
        assert_eq!(crate::parse(&text), Ok(profile), "{text}");
        check::profile(&text);
    }

    #[test]
    fn merging_keeps_what_the_later_says(base in profile(), over in profile()) {
        let merged = Profile::merge(base, over.clone());
        prop_assert_eq!(merged.limits.memory, over.limits.memory.or(merged.limits.memory));
        for denied in &over.filesystem.deny {
            prop_assert!(merged.filesystem.deny.iter().any(|rule| rule.path == denied.path));
        }
        prop_assert!(over.program.env.iter().all(|(name, value)| merged.program.env.get(name) == Some(value)));
    }
}

fn text() -> impl Strategy<Value = String> {
    "[^\u{0}]{1,12}"
}

fn rules() -> impl Strategy<Value = Vec<PathRule>> {
    vec(("[a-z/. \"\\\\]{1,6}", any::<bool>()), 0..4).prop_map(|rules| {
        let rules = rules.into_iter().map(|(path, if_exists)| PathRule { path: PathBuf::from(path), if_exists });
        let base = Filesystem { read: rules.collect(), ..Filesystem::default() };
        // Merging brings the list into its one order.
        let base = Profile { filesystem: base, ..Profile::default() };
        Profile::merge(base, Profile::default()).filesystem.read
    })
}

fn profile() -> impl Strategy<Value = Profile> {
    let program =
        (option::of(vec(text(), 1..4)), vec(("[^=\u{0}]{1,6}", "[^\u{0}]{0,6}"), 0..3), option::of(0..u32::MAX));
    let files = (rules(), rules(), rules(), option::of(any::<bool>()), option::of(text()));
    let limits = (option::of(1..u64::MAX), option::of(1..3_000_000_000_000_000_000u64), any::<bool>());
    let condition = (0..6u8, any::<u64>(), option::of(any::<bool>()), proptest::sample::select(CompareOp::ALL));
    let calls = vec((vec(condition, 0..3), proptest::sample::select(&[1, 13, 38][..])), 0..3);
    (program, files, limits, calls).prop_map(|((argv, env, uid), files, limits, calls)| {
        let mut profile = Profile::default();
        profile.program.argv = argv.map(|argv| argv.into_iter().map(Into::into).collect());
        profile.program.env =
            env.into_iter().map(|(name, value)| (name.into(), value.into())).collect::<BTreeMap<_, _>>();
        profile.program.uid = uid;
        profile.filesystem.read = files.0;
        profile.filesystem.write = files.1;
        profile.filesystem.deny = files.2;
        (profile.filesystem.tmp_exec, profile.filesystem.protect_git) = (files.3, files.3.map(|it| !it));
        profile.filesystem.root = files.4.filter(|path| !path.starts_with('~')).map(PathBuf::from);
        profile.limits.memory = limits.0.map(Setting::At);
        profile.limits.wall = limits.1.map(|ns| Setting::At(Duration::from_nanos(ns)));
        profile.limits.processes = limits.2.then_some(Setting::Unlimited);
        for (conditions, errno) in calls {
            let conditions = conditions.into_iter().map(|(index, word, narrow, op)| {
                let width = narrow.map(|narrow| if narrow { Width::W32 } else { Width::W64 });
                let fit = if width == Some(Width::W32) { word & u64::from(u32::MAX) } else { word };
                let mask = if op == CompareOp::MaskedEq { fit } else { u64::MAX };
                ArgCondition { index, op, value: fit, mask, width }
            });
            profile.syscalls.rules.push(SyscallRule {
                names: vec!["open".into()],
                conditions: conditions.collect(),
                action: RuleAction::Errno(errno),
            });
        }
        profile
    })
}
