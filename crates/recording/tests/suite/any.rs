//! Recordings of every shape.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tipstaff_abi::Arch;
use tipstaff_recording::{
    Access, Backend, Call, Capability, Container, Executable, Exit, FileUse, Machine, Phase, Reason, Recording, Run,
    Socket, SocketUse, Target,
};
use tipstaff_report::{Bytes, Signal};

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        "[/a-c.]{0,6}".prop_map(Bytes::from),
        vec(any::<u8>(), 0..4).prop_map(Bytes::from),
        Just(Bytes::from("/bin/sh"))
    ]
}

fn arch() -> impl Strategy<Value = Arch> {
    prop::sample::select(Arch::ALL.to_vec())
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        vec(bytes(), 0..3).prop_map(|argv| Target::Command { argv, directory: "/".into() }),
        vec(1..i32::MAX, 1..3).prop_map(|pids| Target::Process { pids }),
        bytes().prop_map(|path| Target::Cgroup { path }),
        (".{0,4}", option::of("runc|crun"), option::of(bytes()), option::of(any::<bool>())).prop_map(
            |(id, runtime, bundle, no_new_privs)| Target::Container(Container {
                id,
                runtime,
                bundle,
                image: None,
                no_new_privs
            })
        ),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    // 9: mmap, 41: socket, 56: clone, 9999: nobody knows.
    let number = prop_oneof![0..450_u32, prop::sample::select(vec![9, 41, 56, 9999, u32::MAX])];
    let seen = vec((prop::sample::select(Phase::ALL.to_vec()), bytes(), any::<u64>(), any::<u64>()), 0..3);
    let words = vec(prop::array::uniform6(any::<u64>()), 0..70);
    let results = vec((any::<i64>(), any::<u64>()), 0..3);
    (arch(), number, seen, words, results, option::of(any::<u64>())).prop_map(
        |(arch, number, seen, words, results, refused)| {
            let mut call = Call::new(arch, number);
            for (phase, executable, count, at) in seen {
                call.made(phase, &executable, count, at);
            }
            if let Some(arguments) = &mut call.arguments {
                for words in words {
                    arguments.add(words[..arguments.selected.len()].to_vec());
                }
            }
            for (value, count) in results {
                call.returned(value % 5000, count);
            }
            call.refused = refused;
            call
        },
    )
}

fn file() -> impl Strategy<Value = FileUse> {
    let access = prop::sample::select(&Access::ALL[..]);
    (bytes(), access, any::<u64>(), option::of(any::<u64>()), any::<u64>())
        .prop_map(|(path, access, count, failed, first_ns)| FileUse { path, access, count, failed, first_ns })
}

fn socket() -> impl Strategy<Value = SocketUse> {
    let operation = prop_oneof![Just(Socket::Connect), Just(Socket::Bind)];
    (operation, option::of("[0-9.]{1,5}"), option::of(any::<u16>()), option::of(bytes()), any::<u64>()).prop_map(
        |(operation, address, port, path, count)| SocketUse {
            operation,
            family: "AF_INET".to_owned(),
            kind: None,
            address,
            port,
            path,
            count,
            first_ns: 0,
        },
    )
}

prop_compose! {
    pub fn run()(
        // Few ids and times, so that merges meet the same run in different states.
        id in 0..4_u8, started in 0..3_u64, duration in 0..3_u64, backend in prop::sample::select(Backend::ALL.to_vec()), arch in arch(),
        target in target(), exit in option::of(prop_oneof![any::<u8>().prop_map(Exit::Code), (1..64).prop_map(|n| Exit::Signal(Signal::new(n)))]),
        lacks in vec((prop::sample::select(Reason::ALL.to_vec()), 0..3_u64), 0..3), calls in vec(call(), 0..4), files in option::of(vec(file(), 0..3)),
        sockets in option::of(vec(socket(), 0..3)), caps in option::of(vec(0..4_u64, 0..3)), executables in vec((bytes(), option::of(any::<u64>())), 0..3),
    ) -> Run {
        let machine = Machine { kernel: "6.18.0".to_owned(), arch };
        let mut run = Run::new(format!("{id:032x}"), backend, machine, target, started);
        run.duration_ns = duration;
        run.exit = exit;
        for (reason, count) in lacks {
            run.completeness.lacks(reason, count);
        }
        run.calls = calls.into_iter().collect();
        run.files = files.map(|rows| rows.into_iter().collect());
        run.sockets = sockets.map(|rows| rows.into_iter().collect());
        run.capabilities = caps.map(|rows| {
            let named = |n| Capability { name: format!("CAP_{n}"), granted: n, refused: 0, first_ns: n };
            rows.into_iter().map(named).collect()
        });
        run.executables = executables.into_iter().map(|(path, execs)| Executable { path, execs, first_ns: 0 }).collect();
        run
    }
}

prop_compose! {
    pub fn recording()(runs in vec(run(), 0..4)) -> Recording {
        let mut recording = Recording::default();
        for run in runs {
            recording.add(run);
        }
        recording
    }
}
