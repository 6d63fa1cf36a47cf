//! Server and client, without a box between them.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use tipstaff_control::{Place, Reply, Request, Server, Ticket, check_name};

fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).expect("own directory");
    dir
}

fn key(dir: &Path, name: &str) -> String {
    let card: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join(format!(".{name}"))).expect("a card")).expect("JSON");
    card["key"].as_str().expect("a key").to_owned()
}

/// Lets the server work until the client has an answer or is hung up on.
fn talk(
    server: &mut Server,
    client: &mut UnixStream,
    answer: &mut dyn FnMut(Ticket, Request) -> Option<Reply>,
) -> Vec<u8> {
    client.set_nonblocking(true).expect("non-blocking");
    let mut got = Vec::new();
    let begun = Instant::now();
    loop {
        server.serve(answer);
        match client.read_to_end(&mut got) {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => return got,
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "neither an answer nor an end");
    }
}

fn done(_: Ticket, _: Request) -> Option<Reply> {
    Some(Reply::Done { note: None })
}

#[test]
fn who_has_the_key_is_answered_and_nobody_else() {
    let dir = directory();
    let mut server = Server::bind(Place::open(dir.path()).expect("ours"), "b").expect("bound");
    let connect = || UnixStream::connect(dir.path().join("b")).expect("connected");
    let key = key(dir.path(), "b");
    let mut client = connect();
    client.write_all(format!("{{\"key\":\"{key}\",\"request\":\"pause\"}}\n").as_bytes()).expect("written");
    let mut asked = Vec::new();
    let answer = talk(&mut server, &mut client, &mut |ticket, request| {
        asked.push(request);
        done(ticket, request)
    });
    assert_eq!((asked, answer.as_slice()), (vec![Request::Pause], b"{\"done\":{\"note\":null}}\n".as_slice()));
    let wrong = if key.starts_with('0') { "1" } else { "0" };
    for line in [
        format!("{{\"key\":\"{wrong}{}\",\"request\":\"pause\"}}\n", &key[1..]),
        "{\"key\":\"\",\"request\":\"pause\"}\n".to_owned(),
        "x".repeat(10_000),
    ] {
        let mut client = connect();
        // The server may hang up in the middle of what is too long.
        let _ = client.write_all(line.as_bytes());
        assert_eq!(talk(&mut server, &mut client, &mut |_, _| panic!("asked")), b"", "{line}");
    }
    let mut client = connect();
    client.write_all(b"{\"key\":1}\n").expect("written");
    let answer = talk(&mut server, &mut client, &mut |_, _| panic!("asked"));
    assert!(String::from_utf8_lossy(&answer).contains("refused"));
}

#[test]
fn an_answer_may_come_later_and_longer_than_a_socket_holds() {
    let dir = directory();
    let mut server = Server::bind(Place::open(dir.path()).expect("ours"), "b").expect("bound");
    let mut client = UnixStream::connect(dir.path().join("b")).expect("connected");
    let key = key(dir.path(), "b");
    client
        .write_all(format!("{{\"key\":\"{key}\",\"request\":{{\"kill\":{{\"signal\":9}}}}}}\n").as_bytes())
        .expect("written");
    let mut held = None;
    let begun = Instant::now();
    while held.is_none() {
        server.serve(&mut |ticket, request| {
            assert_eq!(request, Request::Kill { signal: Some(9) });
            held = Some(ticket);
            None
        });
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody asked");
    }
    let long = "x".repeat(4 << 20);
    server.reply(held.expect("asked"), &Reply::Done { note: Some(long.clone()) });
    let answer = talk(&mut server, &mut client, &mut done);
    assert_eq!(serde_json::from_slice::<Reply>(&answer).expect("JSON"), Reply::Done { note: Some(long) });
}

#[test]
fn those_who_say_nothing_make_room() {
    let dir = directory();
    let mut server = Server::bind(Place::open(dir.path()).expect("ours"), "b").expect("bound");
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(UnixStream::connect(dir.path().join("b")).expect("connected"));
        server.serve(&mut |_, _| panic!("asked"));
    }
    let mut client = UnixStream::connect(dir.path().join("b")).expect("connected");
    let key = key(dir.path(), "b");
    client.write_all(format!("{{\"key\":\"{key}\",\"request\":\"status\"}}\n").as_bytes()).expect("written");
    assert!(!talk(&mut server, &mut client, &mut done).is_empty());
}

#[test]
fn a_name_is_one_servers_and_goes_with_it() {
    let dir = directory();
    let place = || Place::open(dir.path()).expect("ours");
    let first = Server::bind(place(), "b").expect("bound");
    let second = Server::bind(place(), "b").expect_err("in use").to_string();
    assert_eq!(
        second,
        format!("box \"b\" is running already (supervisor pid {}); choose another name", std::process::id())
    );
    drop(first);
    assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 0);
    // What a killed one left: nobody holds the lock.
    std::fs::write(dir.path().join(".b"), "{\"pid\":1,\"key\":\"x\"}").expect("written");
    std::fs::write(dir.path().join("b"), "").expect("written");
    let again = Server::bind(place(), "b").expect("what is stale is replaced");
    assert_eq!(again.name(), "b");
}

#[test]
fn a_place_is_ours_alone_or_none() {
    let dir = directory();
    assert!(Place::open(dir.path()).is_ok());
    for mode in [0o755, 0o711, 0o1700, 0o770] {
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(mode)).expect("own directory");
        let why = Place::open(dir.path()).expect_err("lets others in").to_string();
        assert!(why.contains(&format!("mode {mode:04o}")), "{why}");
    }
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).expect("own directory");
    let other = directory();
    let link = other.path().join("link");
    std::os::unix::fs::symlink(dir.path(), &link).expect("a link");
    assert!(Place::open(&link).expect_err("a link").to_string().contains("symbolic link"));
    assert!(Place::make_at(&link).is_err());
    assert!(Place::make_at(&other.path().join("new")).is_ok());
}

#[test]
fn names_are_plain_words() {
    for name in ["a", "job-1", "A.b_c", &"x".repeat(64)] {
        assert_eq!(check_name(name), Ok(()), "{name}");
    }
    for name in ["", ".", "..", ".a", "-a", "a/b", "a b", "a\n", "ä", &"x".repeat(65)] {
        assert!(check_name(name).is_err(), "{name}");
    }
}
