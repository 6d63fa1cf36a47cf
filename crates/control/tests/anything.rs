//! Whatever a client says to a box's socket, in whatever pieces: the server answers a line, or hangs up, and works on for the next one.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tipstaff_control::{Place, Reply, Request, Server};

/// What a client is told at most: nothing it sends makes an answer longer.
const MOST_ANSWER: usize = 200;

/// A server in a directory of its own, and the key of its box.
struct Box {
    server: Server,
    dir: tempfile::TempDir,
    key: String,
}

impl Box {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).expect("own directory");
        let server = Server::bind(Place::open(dir.path()).expect("ours"), "b").expect("bound");
        let key = key(dir.path());
        Self { server, dir, key }
    }

    /// What it answers to these pieces, and what it was asked by them. The client says nothing more then.
    fn says(&mut self, pieces: &[Vec<u8>]) -> (Vec<u8>, Vec<Request>) {
        let mut client = UnixStream::connect(self.dir.path().join("b")).expect("connected");
        client.set_nonblocking(true).expect("non-blocking");
        let (mut answer, mut asked) = (Vec::new(), Vec::new());
        let mut serve = |server: &mut Server| {
            server.serve(&mut |_, request| {
                asked.push(request);
                Some(Reply::Done { note: None })
            });
        };
        for piece in pieces {
            // The server may have hung up.
            let _ = client.write_all(piece);
            serve(&mut self.server);
        }
        let _ = client.shutdown(std::net::Shutdown::Write);
        let begun = Instant::now();
        loop {
            serve(&mut self.server);
            match client.read_to_end(&mut answer) {
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                // The end, or a reset by a server that hung up before it had read everything.
                _ => break,
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "neither an answer nor an end");
        }
        (answer, asked)
    }
}

fn key(dir: &Path) -> String {
    let card: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join(".b")).expect("a card")).expect("JSON");
    card["key"].as_str().expect("a key").to_owned()
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        prop::sample::select(
            &[Request::Status, Request::Inspect, Request::Pause, Request::Resume, Request::Hold, Request::Release][..]
        ),
        prop::option::of(any::<i32>()).prop_map(|signal| Request::Kill { signal }),
    ]
}

/// Cut at these places.
fn pieces(text: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    at.extend([0, text.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| text[pair[0]..pair[1]].to_vec()).collect()
}

fn one_line(answer: &[u8]) {
    let text = std::str::from_utf8(answer).expect("UTF-8");
    assert!(text.len() <= MOST_ANSWER, "{text}");
    if !text.is_empty() {
        assert!(text.ends_with('\n') && text.matches('\n').count() == 1, "{text:?}");
        serde_json::from_str::<Reply>(text).expect("a reply");
    }
}

/// The same cases each time; TIPSTAFF_DRILL=full plays others, and more of them.
fn cases(cases: u32) -> ProptestConfig {
    let full = tipstaff_testkit::full_drill();
    let (cases, rng_seed) = if full { (cases * 50, RngSeed::Random) } else { (cases, RngSeed::Fixed(0x636f_6e74)) };
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn any_bytes_ask_nothing(bytes in vec(any::<u8>(), 0..200), line in any::<bool>(), long in 0..3_usize, cuts in vec(any::<prop::sample::Index>(), 0..4)) {
        let mut there = Box::new();
        let mut bytes = [bytes, vec![b' '; long * 3000]].concat();
        if line {
            bytes.push(b'\n');
        }
        let (answer, asked) = there.says(&pieces(&bytes, &cuts));
        one_line(&answer);
        prop_assert!(asked.is_empty());
        // And it still answers who has the key.
        let line = format!("{{\"key\":\"{}\",\"request\":\"status\"}}\n", there.key);
        prop_assert_eq!(there.says(&[line.into_bytes()]).1, [Request::Status]);
    }

    #[test]
    fn a_request_in_any_pieces_is_that_request(request in request(), cuts in vec(any::<prop::sample::Index>(), 0..6), more in "[ -~]{0,20}") {
        let mut there = Box::new();
        let line = serde_json::json!({"key": there.key, "request": request}).to_string() + "\n" + &more;
        let (answer, asked) = there.says(&pieces(line.as_bytes(), &cuts));
        // Who talks on while he is to listen is hung up on; what he asked for first may have been done.
        prop_assert!(asked.is_empty() && !more.is_empty() || asked == [request]);
        one_line(&answer);
    }

    #[test]
    fn a_damaged_request_is_never_another_box_s(request in request(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut there = Box::new();
        let mut line = serde_json::json!({"key": there.key, "request": request}).to_string().into_bytes();
        let whole = line.clone();
        let at = at.index(line.len());
        if cut { line.truncate(at) } else { line[at] = byte }
        let (answer, asked) = there.says(&[line.clone(), b"\n".to_vec()]);
        one_line(&answer);
        // Whoever is heard has said the key, letter by letter.
        prop_assert!(asked.is_empty() || String::from_utf8_lossy(&line).contains(&there.key), "{:?}", String::from_utf8_lossy(&line));
        prop_assert!(line != whole || asked == [request]);
    }

    #[test]
    fn what_is_written_is_read(request in request(), note in prop::option::of(".{0,20}"), why in ".{0,20}") {
        let text = serde_json::to_string(&request).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Request>(&text).expect("a request"), request);
        for reply in [Reply::Done { note }, Reply::Refused { why }] {
            let text = serde_json::to_string(&reply).expect("JSON");
            prop_assert!(!text.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<Reply>(&text).expect("a reply"), reply);
        }
    }
}
