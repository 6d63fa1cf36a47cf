//! Unix sockets by name under network rules by address: those beneath `filesystem.write`, and no others. The same guest outside is the control.
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use serde_json::Value;
use tipstaff_testkit::{Run, Scratch, User, plain, run};

use crate::both;

/// A listener and a receiver, open to everybody, and a file that is neither.
struct Peers {
    stream: UnixListener,
    datagrams: UnixDatagram,
}

impl Peers {
    fn at(directory: &Path) -> Self {
        let open = |name: &str| {
            std::fs::set_permissions(directory.join(name), PermissionsExt::from_mode(0o777)).expect("own socket");
        };
        std::fs::create_dir(directory).expect("directory");
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o777)).expect("own directory");
        let stream = UnixListener::bind(directory.join("stream")).expect("bind");
        let datagrams = UnixDatagram::bind(directory.join("datagrams")).expect("bind");
        open("stream");
        open("datagrams");
        std::fs::write(directory.join("plain"), "x").expect("file");
        open("plain");
        stream.set_nonblocking(true).expect("flag");
        datagrams.set_nonblocking(true).expect("flag");
        Self { stream, datagrams }
    }

    fn heard(&self) -> usize {
        let mut bytes = [0; 64];
        std::iter::from_fn(|| self.stream.accept().ok()).count()
            + std::iter::from_fn(|| self.datagrams.recv(&mut bytes).ok()).count()
    }
}

struct Place {
    scratch: Scratch,
    shown: Peers,
    hidden: Peers,
}

impl Place {
    fn new(user: User) -> Self {
        let scratch = Scratch::new(user);
        let made = scratch.join("made");
        std::fs::create_dir(&made).expect("directory");
        std::fs::set_permissions(&made, PermissionsExt::from_mode(0o777)).expect("own directory");
        let (shown, hidden) = (Peers::at(&scratch.join("shown")), Peers::at(&scratch.join("hidden")));
        Self { scratch, shown, hidden }
    }

    fn words(&self) -> Vec<String> {
        let at = |name: &str| self.scratch.join(name).display().to_string();
        ["netunix".to_owned(), at("shown"), at("hidden"), at("made")].into()
    }

    fn ruled(&self) -> Run {
        run(self.words())
            .profile("default")
            .option("--read", self.scratch.join("hidden"))
            .option("--write", self.scratch.join("shown"))
            .option("--write", self.scratch.join("made"))
            .option("--net", "127.0.0.1:1")
            .option("--bind", "0")
    }
}

const SHOWN: [&str; 4] = ["stream_shown", "datagrams_shown", "sendto_shown", "sendmsg_shown"];
const OWN: [&str; 21] = [
    "exact_length",
    "bind",
    "bind_mode",
    "name",
    "name_whole",
    "name_cut",
    "name_cut_here",
    "name_of_none",
    "listen",
    "own",
    "own_data",
    "question",
    "question_heard",
    "answer",
    "answer_heard",
    "answer_by_connect",
    "bind_here",
    "send_here",
    "received_here",
    "seqpacket",
    "end",
];
const HIDDEN: [&str; 6] =
    ["stream_hidden", "datagrams_hidden", "sendto_hidden", "sendmsg_hidden", "link_to_hidden", "bind_hidden"];
const ABSTRACT: [&str; 3] = ["abstract_bind", "abstract", "autobind"];

fn judge(answers: &Value) {
    for road in SHOWN.iter().chain(&OWN) {
        assert_eq!(answers[*road], "OK", "{road}: {answers:#}");
    }
    for road in HIDDEN.iter().chain(&ABSTRACT) {
        assert_eq!(answers[*road], "EACCES", "{road}: {answers:#}");
    }
    the_kernels_own(answers);
    assert_eq!(answers["here_name"], "here");
}

fn the_kernels_own(answers: &Value) {
    for (road, errno) in [
        ("missing", "ENOENT"),
        ("no_socket", "ECONNREFUSED"),
        ("other_type", "EPROTOTYPE"),
        ("bind_again", "EADDRINUSE"),
        ("answer_to_none", "ENOENT"),
        ("name_negative", "EINVAL"),
        ("name_nowhere", "EFAULT"),
        ("name_without_length", "EFAULT"),
        ("name_of_no_socket", "ENOTSOCK"),
        ("name_of_nothing", "EBADF"),
    ] {
        assert_eq!(answers[road], errno, "{road}: {answers:#}");
    }
}

both!(unix_sockets_beneath_what_may_be_written, |user| {
    let place = Place::new(user);
    let outside = plain(place.words()).as_user(user).go().json();
    for road in SHOWN.iter().chain(&OWN).chain(&HIDDEN).chain(&ABSTRACT) {
        assert_eq!(outside[*road], "OK", "{road}: {outside:#}");
    }
    the_kernels_own(&outside);
    // Two connections, one by the exact length, and two datagrams; the hidden one is reached by the link too.
    assert_eq!((place.shown.heard(), place.hidden.heard()), (4, 4));
    for name in ["own", "here"] {
        std::fs::remove_file(place.scratch.join("made").join(name)).expect("made outside");
    }
    let ran = place.ruled().as_user(user).go();
    ran.expect_ok();
    judge(&ran.json());
    assert_eq!((place.shown.heard(), place.hidden.heard()), (4, 0));
    let denied = ran.report["denials"].to_string();
    for words in ["hidden/stream", "beneath no path of filesystem.write", "--write", "no abstract names"] {
        ran.check(denied.contains(words), &denied);
    }
});

both!(unix_sockets_under_a_tracer_the_same, |user| {
    let place = Place::new(user);
    let ran = place.ruled().option("--engine", "ptrace").as_user(user).go();
    ran.expect_ok();
    judge(&ran.json());
});

both!(unix_sockets_without_namespaces_the_same, |user| {
    let place = Place::new(user);
    let file = place.scratch.file("p.toml", "extends = \"default\"\n[isolation]\nnamespaces = \"none\"\n");
    let ran = place.ruled().profile(&file).as_user(user).go();
    ran.expect_ok();
    judge(&ran.json());
    assert_eq!(place.hidden.heard(), 0);
});

// Messages are not asked about where no UDP socket can be made: there a datagram could go anywhere.
both!(unix_datagrams_need_udp, |user| {
    let place = Place::new(user);
    let ran = run(place.words())
        .profile("default")
        .option("--write", place.scratch.path())
        .option("--net", "tcp://127.0.0.1:1")
        .as_user(user)
        .go();
    let answers = ran.json();
    assert_eq!(answers["stream_shown"], "OK", "{answers:#}");
    for road in ["datagrams_shown", "sendto_shown", "sendmsg_shown"] {
        assert_eq!(answers[road], "EACCES", "{road}: {answers:#}");
    }
});
