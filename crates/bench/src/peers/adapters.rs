//! What each peer is called, how it is told to do what the others do, and which set of restrictions ours is given beside it.
//!
//! `{path}` is the peer's program, `{dir}` the directory that may be written, `{n}` a number that no other box has at the same time, `{bundle}` an
//! OCI bundle, `{file}` where a tracer writes. The measured command follows, but where a bundle holds it.

/// What it is compared in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It runs programs with less than everything.
    Box,
    /// It tells every call.
    Tracer,
    /// It tells which calls there were.
    Recorder,
}

/// A peer.
pub struct Adapter {
    pub name: &'static str,
    /// What its program is called where it is installed.
    pub program: &'static str,
    pub kind: Kind,
    pub words: &'static [&'static str],
    /// The option before the name of a call, for a tracer of that call alone.
    pub only: &'static [&'static str],
    /// `[isolation] namespaces` of ours beside it; `user` is left out for root, who needs none.
    pub namespaces: &'static str,
    /// More of our profile, and of the command line.
    pub profile: &'static str,
    pub options: &'static [&'static str],
    /// Where it can be had.
    pub from: &'static str,
}

const WHOLE: &str = "[filesystem]\nread = [\"/\"]\nexec = [\"/\", \"{dir}\"]\nwrite = [\"{dir}\"]\n";
/// What a bundle mounts.
const BUNDLE: &str = "[filesystem]\nread = [\"/etc\"]\nexec = [\"/usr\", \"/bin\", \"/sbin\", \"/lib\", \"/lib64\", \"{dir}\"]\nwrite = [\"{dir}\"]\n";
/// The host's /tmp, and the view that Landlock alone gives.
const OPEN: &str =
    "[filesystem]\ntmp = \"host\"\nread = [\"/\"]\nexec = [\"/\", \"{dir}\"]\nwrite = [\"{dir}\", \"/tmp\"]\n";
const LIMITS: &[&str] = &["--memory=2GiB", "--processes=512"];
const ALL: &str = "[\"mount\", \"pid\", \"ipc\", \"uts\", \"net\"]";
const WITH_USER: &str = "[\"user\", \"mount\", \"pid\", \"ipc\", \"uts\", \"net\"]";
const CONTAINER: &[&str] = &["{path}", "run", "-b", "{bundle}", "bench-{n}"];

const A_BOX: Adapter = Adapter {
    name: "",
    program: "",
    kind: Kind::Box,
    words: &[],
    only: &[],
    namespaces: ALL,
    profile: WHOLE,
    options: &[],
    from: "apt-get install",
};

/// A fresh box for each run, as the others make.
const ISOLATE: &str = "\"$0\" -b \"$1\" --init >/dev/null || exit 125; b=$1 d=$2; shift 2; \
     \"$0\" -b \"$b\" -s -e --open-files=0 --dir=/etc --dir=\"$d:rw\" --run -- \"$@\"; s=$?; \"$0\" -b \"$b\" --cleanup; exit $s";

pub const ADAPTERS: &[Adapter] = &[
    Adapter {
        name: "bubblewrap",
        program: "bwrap",
        words: &[
            "{path}",
            "--unshare-all",
            "--die-with-parent",
            "--ro-bind",
            "/",
            "/",
            "--dev",
            "/dev",
            "--proc",
            "/proc",
            "--tmpfs",
            "/tmp",
            "--bind",
            "{dir}",
            "{dir}",
            "--",
        ],
        namespaces: WITH_USER,
        ..A_BOX
    },
    Adapter {
        name: "firejail",
        program: "firejail",
        words: &[
            "{path}",
            "--quiet",
            "--noprofile",
            "--net=none",
            "--ipc-namespace",
            "--private-dev",
            "--private-tmp",
            "--read-only=/",
            "--read-write={dir}",
            "--caps.drop=all",
            "--nonewprivs",
            "--seccomp",
            "--",
        ],
        ..A_BOX
    },
    Adapter {
        name: "nsjail",
        program: "nsjail",
        words: &[
            "{path}",
            "-Mo",
            "-Q",
            "-e",
            "--chroot",
            "/",
            "-B",
            "{dir}",
            "-T",
            "/tmp",
            "--disable_rlimits",
            "--time_limit",
            "0",
            "--",
        ],
        namespaces: WITH_USER,
        from: "github.com/google/nsjail",
        ..A_BOX
    },
    Adapter {
        name: "isolate",
        program: "isolate",
        words: &["/bin/sh", "-c", ISOLATE, "{path}", "{n}", "{dir}"],
        namespaces: "[\"mount\", \"pid\", \"ipc\", \"net\"]",
        from: "github.com/ioi/isolate",
        ..A_BOX
    },
    Adapter {
        name: "proot",
        program: "proot",
        words: &["{path}", "-b", "{dir}:/mnt"],
        namespaces: "[\"user\", \"mount\", \"pid\"]",
        ..A_BOX
    },
    Adapter { name: "crun", program: "crun", words: CONTAINER, profile: BUNDLE, options: LIMITS, ..A_BOX },
    Adapter { name: "runc", program: "runc", words: CONTAINER, profile: BUNDLE, options: LIMITS, ..A_BOX },
    Adapter {
        name: "runsc",
        program: "runsc",
        words: &[
            "{path}",
            "--network=none",
            "--ignore-cgroups",
            "--host-uds=all",
            "run",
            "--bundle",
            "{bundle}",
            "bench-{n}",
        ],
        profile: BUNDLE,
        from: "gvisor.dev",
        ..A_BOX
    },
    Adapter {
        name: "sandlock",
        program: "sandlock",
        words: &[
            "{path}",
            "run",
            "-r",
            "/",
            "-w",
            "{dir}",
            "-w",
            "/tmp",
            "--max-memory",
            "2G",
            "--max-processes",
            "512",
            "--",
        ],
        namespaces: "\"none\"",
        profile: OPEN,
        options: LIMITS,
        from: "crates.io: sandlock-cli",
        ..A_BOX
    },
    Adapter {
        name: "strace -f",
        program: "strace",
        kind: Kind::Tracer,
        words: &["{path}", "-f", "-o", "{file}"],
        only: &["--seccomp-bpf", "-e"],
        ..A_BOX
    },
    Adapter {
        name: "perf trace",
        program: "perf",
        kind: Kind::Tracer,
        words: &["{path}", "trace", "-o", "{file}"],
        only: &["-e"],
        ..A_BOX
    },
    Adapter {
        name: "strace -f -c",
        program: "strace",
        kind: Kind::Recorder,
        words: &["{path}", "-f", "-c", "-o", "{file}"],
        ..A_BOX
    },
    Adapter {
        name: "perf trace -s",
        program: "perf",
        kind: Kind::Recorder,
        words: &["{path}", "trace", "-s", "-o", "{file}"],
        ..A_BOX
    },
];

/// Ours as a tracer and as a recorder.
pub const TRACE: &[&str] = &["{path}", "trace", "-q", "-o", "{file}"];
pub const RECORD: &[&str] = &["{path}", "record", "-q", "-o", "{file}"];
