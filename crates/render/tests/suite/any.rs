//! Whatever a tracer sends, in whatever order: no writer panics, and what is written keeps its form.

use proptest::prelude::*;
use tipstaff_abi::Arch;
use tipstaff_decode::{Arg, Call, Returned, Value};
use tipstaff_render::{
    Clock, EVENT_SCHEMA, Event, Filter, Filtered, Html, HtmlOptions, JsonLines, PerTask, Perfetto, Sink, Stamp,
    Summary, SummaryOptions, TaskPrefix, Text, TextOptions, What, Why,
};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::Uint),
        any::<u64>().prop_map(Value::Hex),
        any::<u32>().prop_map(Value::Octal),
        prop::sample::select(vec!["AT_FDCWD", "SIGCHLD", "~", "SO_ERROR", "F_DUPFD", "ECONNREFUSED"])
            .prop_map(Value::Name),
        (prop::sample::subsequence(vec!["O_RDONLY", "O_CLOEXEC", "O_CREAT"], 0..3), any::<u64>())
            .prop_map(|(names, rest)| Value::Flags { names, rest }),
        (prop::collection::vec(any::<u8>(), 0..20), any::<bool>()).prop_map(|(bytes, cut)| Value::Bytes { bytes, cut }),
        any::<u64>().prop_map(Value::Address),
        (-101..9, prop::option::of(prop::collection::vec(any::<u8>(), 0..9)))
            .prop_map(|(number, path)| Value::Fd { number, path }),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        let names =
            ["sa_family", "sin_port", "sin_addr", "si_code", "WEXITSTATUS", "vars", "st_dev", "st_mode", "iov_base"];
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..4), any::<bool>())
                .prop_map(|(items, more)| Value::List { items, more }),
            (prop::sample::subsequence(names.to_vec(), 0..4), prop::collection::vec(inner, 4))
                .prop_map(|(names, values)| Value::Struct(names.into_iter().zip(values).collect())),
        ]
    })
}

fn call() -> impl Strategy<Value = Call> {
    let names = [
        "openat",
        "read",
        "write",
        "close",
        "connect",
        "getsockopt",
        "execve",
        "kill",
        "dup2",
        "fcntl",
        "pipe2",
        "wait4",
        "futex",
        "getdents64",
        "rename",
        "sendfile",
        "socket",
    ];
    let params = ["dirfd", "pathname", "fd", "buf", "addr", "flags"];
    let errnos =
        prop::sample::select(vec![(-2, "ENOENT"), (-11, "EAGAIN"), (-115, "EINPROGRESS"), (-512, "ERESTARTSYS")]);
    let returned = prop_oneof![
        (any::<i64>(), prop::option::of(value())).prop_map(|(value, shown)| Returned { value, errno: None, shown }),
        (0_i64..9).prop_map(|value| Returned { value, errno: None, shown: None }),
        errnos.prop_map(|(value, errno)| Returned { value, errno: Some(errno), shown: None }),
    ];
    (
        prop::sample::select(names.to_vec()),
        prop::sample::subsequence(params.to_vec(), 0..6),
        prop::collection::vec(value(), 6),
        prop::option::of(returned),
    )
        .prop_map(|(name, params, values, returned)| Call {
            arch: Arch::X86_64,
            number: name.len() as u32,
            name: name.into(),
            raw: [0; 6],
            args: params.into_iter().zip(values).map(|(name, value)| Arg { name, value }).collect(),
            returned,
        })
}

fn event() -> impl Strategy<Value = Event> {
    let what = prop_oneof![
        3 => call().prop_map(What::Entered),
        6 => (call(), any::<u64>()).prop_map(|(call, took_ns)| What::Returned { call, took_ns }),
        1 => (0..70, value()).prop_map(|(number, info)| What::Signal { number, info }),
        1 => (1..5, 1..5).prop_map(|(child, child_pid)| What::Forked { child, child_pid }),
        1 => (1..5, prop::collection::vec(any::<u8>(), 0..9))
            .prop_map(|(former_tid, path)| What::Executed { former_tid, argv: vec![path.clone()], path }),
        1 => (0..256).prop_map(|status| What::Exited { status }),
        1 => (0..70, any::<bool>()).prop_map(|(signal, core)| What::Killed { signal, core }),
        1 => (0..70).prop_map(|signal| What::Stopped { signal }),
        1 => prop_oneof![Just(What::Attached), Just(What::Detached)],
    ];
    (any::<u64>(), 1..5, 1..5, what).prop_map(|(at_ns, pid, tid, what)| Event { at_ns, pid, tid, what })
}

fn told<S: Sink>(events: &[Event], mut sink: S) {
    events.iter().for_each(|event| sink.event(event).unwrap());
    sink.finish().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_writer_keeps_its_form(events in prop::collection::vec(event(), 0..30), colour: bool, live: bool, began_unix_ns: u64, utc_offset_s: i32) {
        let clock = Clock { began_unix_ns, utc_offset_s };
        let mut text = Vec::new();
        let options = TextOptions { task: TaskPrefix::WhenSeveral, stamp: Stamp::Microseconds, clock, live, durations: true, ..TextOptions::default() };
        told(&events, Text::new(&mut text, options.clone()));
        prop_assert!(text.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "{}", String::from_utf8_lossy(&text));
        prop_assert!(text.is_empty() || text.ends_with(b"\n"));
        told(&events, Text::new(Vec::new(), TextOptions { colour, stamp: Stamp::Relative, ..options.clone() }));
        told(&events, PerTask::new(options, |_| Ok(Vec::new())));

        let mut why = Vec::new();
        told(&events, Why::new(&mut why));
        prop_assert!(std::str::from_utf8(&why).is_ok_and(|text| !text.contains(|c: char| c.is_control() && c != '\n')));
        told(&events, Filtered::new(Filter { paths: [b"/x".to_vec()].into(), ..Filter::default() }, Summary::new(Vec::new(), SummaryOptions::default())));

        let mut timeline = Vec::new();
        told(&events, Perfetto::new(&mut timeline));
        prop_assert!(serde_json::from_slice::<Vec<serde_json::Value>>(&timeline).is_ok(), "{}", String::from_utf8_lossy(&timeline));

        let mut page = Vec::new();
        told(&events, Html::new(&mut page, &HtmlOptions { rows: 10, clock }));
        let page = String::from_utf8(page).unwrap();
        let data = page.split_once("type=\"application/json\">").unwrap().1.split_once("</script>").unwrap().0;
        prop_assert!(serde_json::from_str::<serde_json::Value>(data).is_ok() && !data.contains('<'));
    }

    #[test]
    fn every_line_of_json_fits_the_schema(mut event in event()) {
        // The range of what CLOCK_MONOTONIC and a descriptor can be.
        event.at_ns >>= 11;
        let mut out = Vec::new();
        told(&[event], JsonLines::new(&mut out, Clock::default(), false).unwrap());
        let schema = jsonschema::validator_for(&serde_json::from_str(EVENT_SCHEMA).unwrap()).unwrap();
        for line in String::from_utf8(out).unwrap().lines() {
            let line = serde_json::from_str(line).unwrap();
            let faults: Vec<_> = schema.iter_errors(&line).map(|fault| fault.to_string()).collect();
            prop_assert!(faults.is_empty(), "{line}: {faults:?}");
        }
    }
}
