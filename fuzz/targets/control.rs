//! What a client says to a box's control socket.
#![no_main]

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use tipstaff_control::{Place, Reply, Server};

thread_local! {
    static SERVER: RefCell<(tempfile::TempDir, Server, String)> = RefCell::new({
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).expect("own directory");
        let server = Server::bind(Place::open(dir.path()).expect("ours"), "b").expect("bound");
        let card: serde_json::Value =
            serde_json::from_slice(&std::fs::read(dir.path().join(".b")).expect("a card")).expect("JSON");
        let key = card["key"].as_str().expect("a key").to_owned();
        (dir, server, key)
    });
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    SERVER.with_borrow_mut(|(dir, server, key)| {
        let mut client = UnixStream::connect(dir.path().join("b")).expect("connected");
        client.set_nonblocking(true).expect("non-blocking");
        // The key is random, so no fuzzer finds it: @ stands for it.
        let said: Vec<u8> =
            bytes.iter().flat_map(|byte| if *byte == b'@' { key.as_bytes().to_vec() } else { vec![*byte] }).collect();
        let known = bytes.contains(&b'@');
        for piece in said.chunks(1 + bytes.first().map_or(0, |byte| usize::from(*byte) * 8)) {
            let _ = client.write_all(piece);
            server.serve(&mut |_, _| {
                assert!(known, "asked without the key");
                Some(Reply::Done { note: None })
            });
        }
        let _ = client.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        for _ in 0..100 {
            server.serve(&mut |_, _| {
                assert!(known, "asked without the key");
                Some(Reply::Done { note: None })
            });
            match client.read_to_end(&mut answer) {
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                _ => break,
            }
        }
        if !answer.is_empty() {
            serde_json::from_slice::<Reply>(&answer).expect("a reply");
        }
    });
});
