//! Events as a tracer would send them.
// Not every module needs every helper.
#![allow(dead_code)]

use tipstaff_abi::{Arch, errno};
use tipstaff_decode::{Arg, Call, Returned, Value};
use tipstaff_render::{Event, Sink, What};

pub fn bytes(text: impl AsRef<[u8]>) -> Value {
    Value::Bytes { bytes: text.as_ref().to_vec(), cut: false }
}

pub fn flags(names: &[&'static str]) -> Value {
    Value::Flags { names: names.to_vec(), rest: 0 }
}

pub fn fd(number: i32) -> Value {
    Value::Fd { number, path: None }
}

pub fn at_cwd() -> Value {
    Value::Name("AT_FDCWD")
}

/// A call by name. A result of -4095 to -1 is an errno, as in the register.
pub fn call(name: &'static str, args: &[(&'static str, Value)], result: Option<i64>) -> Call {
    Call {
        arch: Arch::X86_64,
        number: 257,
        name: name.into(),
        raw: [0; 6],
        args: args.iter().map(|(name, value)| Arg { name, value: value.clone() }).collect(),
        returned: result.map(|value| Returned {
            value,
            errno: (-4095..0).contains(&value).then(|| match value {
                -512 => "ERESTARTSYS",
                _ => errno::name(-value as i32).unwrap(),
            }),
            shown: None,
        }),
    }
}

/// A story: events with a clock that goes on by 1 ms each.
#[derive(Default)]
pub struct Story {
    pub events: Vec<Event>,
}

impl Story {
    pub fn push(&mut self, pid: i32, tid: i32, what: What) -> &mut Self {
        let at_ns = (self.events.len() as u64 + 1) * 1_000_000;
        self.events.push(Event { at_ns, pid, tid, what });
        self
    }

    pub fn call(&mut self, pid: i32, name: &'static str, args: &[(&'static str, Value)], result: i64) -> &mut Self {
        self.push(pid, pid, What::Returned { call: call(name, args, Some(result)), took_ns: 4_000 })
    }

    pub fn enters(&mut self, pid: i32, name: &'static str, args: &[(&'static str, Value)]) -> &mut Self {
        self.push(pid, pid, What::Entered(call(name, args, None)))
    }

    pub fn open(&mut self, pid: i32, path: &str, result: i64) -> &mut Self {
        let args = [("dirfd", at_cwd()), ("pathname", bytes(path)), ("flags", flags(&["O_RDONLY", "O_CLOEXEC"]))];
        self.call(pid, "openat", &args, result)
    }

    pub fn write(&mut self, pid: i32, number: i32, text: &str) -> &mut Self {
        let args = [("fd", fd(number)), ("buf", bytes(text)), ("count", Value::Uint(text.len() as u64))];
        self.call(pid, "write", &args, text.len() as i64)
    }

    pub fn fork(&mut self, pid: i32, child: i32) -> &mut Self {
        self.push(pid, pid, What::Forked { child, child_pid: child })
    }

    pub fn wait(&mut self, pid: i32, child: i32) -> &mut Self {
        let args = [
            ("pid", Value::Int(-1)),
            ("wstatus", Value::Address(0x7ffd)),
            ("options", Value::Int(0)),
            ("rusage", Value::Address(0)),
        ];
        self.call(pid, "wait4", &args, i64::from(child))
    }

    pub fn exec(&mut self, pid: i32, argv: &[&str]) -> &mut Self {
        let path = argv[0].as_bytes().to_vec();
        let list = argv.iter().map(bytes).collect();
        let args = [
            ("pathname", bytes(&path)),
            ("argv", Value::List { items: list, more: false }),
            ("envp", Value::Address(0x7ffd_1000)),
        ];
        let argv = argv.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        self.push(pid, pid, What::Executed { former_tid: pid, path, argv }).call(pid, "execve", &args, 0)
    }

    pub fn exits(&mut self, pid: i32, status: i32) -> &mut Self {
        let call = call("exit_group", &[("status", Value::Int(status.into()))], None);
        self.push(pid, pid, What::Returned { call, took_ns: 0 }).push(pid, pid, What::Exited { status })
    }

    pub fn signal(&mut self, pid: i32, number: i32, info: Vec<(&'static str, Value)>) -> &mut Self {
        self.push(pid, pid, What::Signal { number, info: Value::Struct(info) })
    }

    /// The story told to a sink.
    pub fn tell(&self, sink: &mut impl Sink) {
        for event in &self.events {
            sink.event(event).unwrap();
        }
        sink.finish().unwrap();
    }
}

/// One of each kind of event and of value.
pub fn everything() -> Story {
    let list = |items: Vec<Value>, more| Value::List { items, more };
    let args = [
        ("int", Value::Int(-5)),
        ("large", Value::Int(i64::MIN)),
        ("uint", Value::Uint(u64::MAX)),
        ("hex", Value::Hex(0xdead_beef)),
        ("octal", Value::Octal(0o644)),
        ("name", at_cwd()),
        ("flags", Value::Flags { names: vec!["O_RDONLY"], rest: 0x100 }),
        ("none", flags(&[])),
        ("text", bytes("/etc/\u{e9}</script>")),
        ("raw", bytes(b"\xff\xfe")),
        ("cut", Value::Bytes { bytes: b"caf\xc3".to_vec(), cut: true }),
        ("null", Value::Address(0)),
        ("address", Value::Address(0x7ffd_0000)),
        ("fd", fd(3)),
        ("fdpath", Value::Fd { number: 3, path: Some(b"/a\xff".to_vec()) }),
        ("struct", Value::Struct(vec![("fd", fd(4)), ("events", flags(&["POLLIN"]))])),
        ("list", list(vec![Value::Int(1), bytes("x")], false)),
        ("more", list(vec![Value::Int(1)], true)),
    ];
    let mut story = Story::default();
    story.push(7, 7, What::Attached);
    story.exec(7, &["/bin/cat", "/nope"]);
    story.call(7, "openat", &args, -2);
    let mut shown = call("dup", &[("fd", fd(3))], Some(4));
    shown.returned.as_mut().unwrap().shown = Some(Value::Fd { number: 4, path: Some(b"/x".to_vec()) });
    story.push(7, 7, What::Returned { call: shown, took_ns: 9 });
    story.signal(7, 17, vec![("si_signo", Value::Name("SIGCHLD"))]).signal(7, 99, vec![]);
    story.fork(7, 8).push(8, 8, What::Stopped { signal: 19 }).push(8, 8, What::Killed { signal: 11, core: true });
    story.exits(7, 1).push(9, 9, What::Detached);
    story
}
