//! What is refused: one line, with place and cure.

use tipstaff_policy::profile::{Problem, Profile};

use crate::parse;

fn message(text: &str) -> String {
    let error = parse(text).expect_err(text);
    let message = error.to_string();
    assert!(!message.contains('\n') && !message.is_empty(), "{message:?}");
    message
}

#[test]
fn messages() {
    let table = [
        ("[limits]\nmemroy = 1", "p.toml:2:1: unknown key `limits.memroy`; did you mean `limits.memory`?"),
        ("[limts]", "p.toml:1:2: unknown key `limts`; did you mean `limits`?"),
        ("memory = 1", "p.toml:1:1: unknown key `memory`; did you mean `limits.memory`?"),
        ("[limits]\nread = []", "p.toml:2:1: unknown key `limits.read`; did you mean `filesystem.read`?"),
        (
            "[isolation]\nxyzzy = 1",
            "p.toml:2:1: unknown key `isolation.xyzzy`; known here: namespaces, engine, best_effort, guest_ptrace, ptrace_scope, guest_listener, denials",
        ),
        (
            "[limits]\nmemory = \"64M\"",
            "p.toml:2:10: limits.memory: `64M` could mean 64MiB or 64MB; write one of the two",
        ),
        (
            "limits.wall = 10",
            "p.toml:1:15: limits.wall: `10` has no unit; write 10s for seconds or 10ms for milliseconds",
        ),
        (
            "limits.cpu = \"0s\"",
            "p.toml:1:14: limits.cpu: a limit of zero permits nothing; write a larger one, or \"unlimited\" for no limit",
        ),
        (
            "limits.memory = -1",
            "p.toml:1:17: `limits.memory` is -1; write a whole number from 1 to 18446744073709551615",
        ),
        (
            "limits.memory = 1.5",
            "p.toml:1:17: `limits.memory` is a number with a fraction; write a size like \"64MiB\" or 65536",
        ),
        ("limits = 1", "p.toml:1:10: `limits` is a number; write a table"),
        ("filesystem.read = \"/\"", "p.toml:1:19: `filesystem.read` is a text; write a list in brackets"),
        ("filesystem.read = [1]", "p.toml:1:20: `filesystem.read` is a number; write a text in quotes"),
        ("filesystem.read = [\"\"]", "p.toml:1:20: `filesystem.read` is empty; fill it in or leave the key away"),
        (
            "filesystem.read = [\"~root/x\"]",
            "p.toml:1:20: `~root/x` is somebody else's home; write the full path, or ./~ for a file of that name",
        ),
        ("filesystem.tmp = \"privat\"", "p.toml:1:18: filesystem.tmp: `privat` is unknown; did you mean `private`?"),
        ("filesystem.cwd = \"all\"", "p.toml:1:18: filesystem.cwd: `all` is unknown; write one of: none, read, write"),
        ("filesystem.mounts = [{ source = \"/x\" }]", "p.toml:1:22: `filesystem.mounts.target` is missing; add it"),
        (
            "filesystem.mounts = [{ source = \"x\", target = \"y\" }]",
            "p.toml:1:47: `filesystem.mounts.target` is the relative path `y`; write an absolute one",
        ),
        ("isolation.best_effort = \"yes\"", "p.toml:1:25: `isolation.best_effort` is a text; write true or false"),
        ("isolation.namespaces = \"aut\"", "p.toml:1:24: isolation.namespaces: `aut` is unknown; did you mean `auto`?"),
        (
            "isolation.namespaces = [\"pids\"]",
            "p.toml:1:25: isolation.namespaces: `pids` is unknown; did you mean `pid`?",
        ),
        ("program.argv = []", "p.toml:1:16: `program.argv` is empty; fill it in or leave the key away"),
        ("program.argv = [\"\"]", "p.toml:1:17: `program.argv` is empty; fill it in or leave the key away"),
        (
            "program.argv = [\"a\\u0000b\"]",
            "p.toml:1:17: `program.argv` holds a NUL byte, which the kernel cannot be told; remove it",
        ),
        ("program.uid = -1", "p.toml:1:15: `program.uid` is -1; write a whole number from 0 to 4294967294"),
        ("program.env = { \"A=B\" = \"\" }", "p.toml:1:17: `A=B` cannot name a variable; write a name without `=`"),
        (
            "network.allow = [\"host\", \"*\"]",
            "p.toml:1:18: `host` stands beside other rules; write it alone or remove it",
        ),
        (
            "network.allow = [\"*:90-80\"]",
            "p.toml:1:18: network.allow: `*:90-80` has a reversed range of ports; write 80-90",
        ),
        (
            "network.deny = [\"none\"]",
            "p.toml:1:17: network.deny: `none` says nothing here; write a host, a CIDR or `*`",
        ),
        ("syscalls.deny = [\"opennat\"]", "p.toml:1:18: there is no system call `opennat`; did you mean `openat`?"),
        ("syscalls.deny = [\"%muont\"]", "p.toml:1:18: there is no system call `%muont`; did you mean `%mount`?"),
        ("syscalls.errno = { EPREM = [] }", "p.toml:1:20: there is no errno `EPREM`; did you mean `EPERM`?"),
        (
            "[syscalls]\nallow = [\"open\"]\nkill = [\"read\", \"open\"]",
            "p.toml:3:17: `open` stands in `syscalls.allow` and in `syscalls.kill`; keep one of the two",
        ),
        ("syscalls.base = \"strikt\"", "p.toml:1:17: syscalls.base: `strikt` is unknown; did you mean `strict`?"),
        ("[[syscalls.rule]]\naction = \"deny\"", "p.toml:1:1: `syscalls.rule.names` is missing; add it"),
        (
            "syscalls.rule = [{ names = [\"open\"], action = \"deny\", args = [{ index = 6, value = 1 }] }]",
            "p.toml:1:73: `syscalls.rule.args.index` is 6; write a whole number from 0 to 5",
        ),
        (
            "syscalls.rule = [{ names = [\"open\"], action = \"deny\", args = [{ index = 0, value = 1, mask = 1 }] }]",
            "p.toml:1:63: `mask` belongs to the operator \"&\" and to no other; add the one or remove the other",
        ),
        ("a = ", "p.toml:1:5: string values must be quoted, expected literal string; write it as TOML"),
    ];
    let wrong: Vec<_> = table
        .into_iter()
        .map(|(text, expected)| (text, expected, message(text)))
        .filter(|(_, expected, message)| message != expected)
        .map(|(text, expected, message)| format!("{text}\n  expected {expected}\n  found    {message}\n"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn columns_count_characters_and_lines_newlines() {
    let text = "# \u{e9}\u{e9}\r\n\r\nprogram = { env = { \"\u{e9}\" = \"x\", \"\u{e9}2\" = 1 } }";
    assert!(message(text).starts_with("p.toml:3:39: "), "{}", message(text));
}

#[test]
fn the_first_of_two_unknown_keys_is_told() {
    assert!(message("[limits]\nzz = 1\naa = 1").starts_with("p.toml:2:1:"));
}

#[test]
fn a_key_twice_is_no_toml() {
    assert!(matches!(*parse("extends = \"a\"\nextends = \"b\"").unwrap_err().problem, Problem::Syntax { .. }));
}

#[test]
fn hostile_text_stays_on_its_line() {
    for key in ["\\u001b[2J", "\\n", "\\u0000", "\\u0085"] {
        assert!(!message(&format!("\"{key}\" = 1")).contains(char::is_control));
    }
    assert!(message(&format!("{} = 1", "x".repeat(100_000))).len() < 300);
    let error = Profile::from_toml("a\nb", "x = 1", None).unwrap_err().to_string();
    assert!(!error.contains('\n'));
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let deep = format!("x = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(&deep).is_err());
    assert!(parse(&format!("{} = 1", vec!["a"; 20_000].join("."))).is_err());
}
