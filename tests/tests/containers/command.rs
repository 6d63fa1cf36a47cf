//! A program that is recorded on the host, then run in a container under the profile.
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tipstaff_testkit::{Bundle, Runtime, Scratch, User, find, skip, tipstaff};

use super::{allowed, has, needs};

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// nginx's configuration: everything it writes is in one directory.
fn configure(dir: &Path, port: u16) {
    let at = dir.display();
    fs::create_dir_all(dir.join("www")).expect("a directory");
    fs::write(dir.join("www/index.html"), "hello\n").expect("a page");
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {at}/{kind};"));
    let text = format!(
        "worker_processes 2; user root; pid {at}/pid; error_log {at}/error.log notice; daemon off; events {{}}
         http {{ access_log {at}/access.log; {} server {{ listen 127.0.0.1:{port}; root {at}/www; }} }}",
        temporary.concat()
    );
    fs::write(dir.join("nginx.conf"), text).expect("a configuration");
}

/// Asks for a path; the status of the answer and its body.
fn get(port: u16, path: &str) -> (u16, String) {
    let begun = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(e) => assert!(begun.elapsed() < Duration::from_secs(60), "nobody listens: {e}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("a question");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    (status, text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
}

/// A page, one that is not there, the configuration again, a page; then an orderly end.
fn use_it(dir: &Path, port: u16, server: Child) {
    let signal = |name: &str| {
        let pid = fs::read_to_string(dir.join("pid")).expect("a pid");
        assert!(Command::new("kill").args([name, pid.trim()]).status().expect("kill").success());
    };
    assert_eq!(get(port, "/"), (200, "hello\n".to_owned()));
    assert_eq!(get(port, "/nothing").0, 404);
    signal("-HUP");
    let log = || fs::read_to_string(dir.join("error.log")).unwrap_or_default();
    let begun = Instant::now();
    // The two workers of before.
    while log().matches("exited with code 0").count() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the old workers do not end\n{}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(get(port, "/"), (200, "hello\n".to_owned()));
    signal("-QUIT");
    let output = server.wait_with_output().expect("wait");
    let log = log();
    assert!(output.status.success(), "{}\n{}\n{log}", output.status, String::from_utf8_lossy(&output.stderr));
}

/// The host's programs in a container, in the host's network and PID namespace, so that the same client can be used from outside.
fn on_the_host(bundle: Bundle, dir: &Path, args: &[&str]) -> Bundle {
    let root = bundle.root();
    for name in ["usr", "etc", "lib", "lib64", "sbin"] {
        fs::create_dir_all(root.join(name)).expect("a directory of the root");
    }
    let mut binds = vec![dir.to_str().expect("UTF-8").to_owned()];
    binds.extend(
        ["/usr", "/etc", "/lib", "/lib64"].into_iter().filter(|dir| Path::new(dir).exists()).map(str::to_owned),
    );
    bundle.args(args).with(|config| {
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts.extend(binds.iter().map(|path| {
            let write = if *path == dir.to_string_lossy() { "rw" } else { "ro" };
            json!({"destination": path, "source": path, "type": "bind", "options": ["rbind", write]})
        }));
        let spaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        spaces.retain(|space| !["network", "pid"].contains(&space["type"].as_str().unwrap_or_default()));
        // What nginx needs to begin as root.
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] =
                json!(["CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL"]);
        }
    })
}

#[test]
fn nginx_recorded_as_a_command_runs_in_a_container() {
    needs!(Runtime::Runc.unavailable());
    let Some(nginx) = find("nginx") else { skip!("nginx is not installed") };
    let scratch = Scratch::new(User::Root);
    let profile = scratch.join("p.json");
    let recorded = scratch.dir("recorded");
    let port = free_port();
    configure(&recorded, port);
    let conf = recorded.join("nginx.conf");
    let mut command = Command::new(tipstaff());
    command.args(["record", "--runtime", "runc", "-o"]).arg(&profile).arg("--").arg(&nginx).arg("-c").arg(&conf);
    let server = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("tipstaff");
    use_it(&recorded, port, server);
    let names = allowed(&profile);
    assert!(has(&names, "epoll_wait") && !has(&names, "unshare"), "{names:?}");

    let again = scratch.dir("again");
    let port = free_port();
    configure(&again, port);
    let nginx = nginx.to_str().expect("UTF-8");
    let conf = again.join("nginx.conf");
    let args = [nginx, "-c", conf.to_str().expect("UTF-8")];
    let bundle = on_the_host(Bundle::new(Runtime::Runc, ""), &again, &args).seccomp(&profile);
    let server = bundle.command().stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("runc");
    use_it(&again, port, server);

    // One call more: refused under the profile, and not without.
    let more = |bundle: Bundle| on_the_host(bundle, &again, &["/usr/bin/unshare", "-U", "true"]);
    more(Bundle::new(Runtime::Runc, "")).seccomp(&profile).run().expect_failure("Function not implemented");
    more(Bundle::new(Runtime::Runc, "")).run().expect_ok();
}
