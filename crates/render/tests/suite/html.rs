//! The page: safe whatever the guest says, and alive in a real browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tipstaff_decode::Value as Word;
use tipstaff_render::{Clock, Html, HtmlOptions, What};

use crate::samples::{Story, bytes, call, fd};

fn page_of(story: &Story, rows: usize) -> String {
    let mut out = Vec::new();
    let clock = Clock { began_unix_ns: 1_700_000_000_000_000_000, utc_offset_s: 0 };
    story.tell(&mut Html::new(&mut out, &HtmlOptions { rows, clock }));
    String::from_utf8(out).unwrap()
}

fn page(story: &Story) -> String {
    page_of(story, 1000)
}

/// What stands between two markers.
fn between<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    page.split_once(start).unwrap().1.split_once(end).unwrap().0
}

fn data(page: &str) -> Value {
    serde_json::from_str(between(page, "type=\"application/json\">", "</script>")).unwrap()
}

/// A story with a bit of everything.
fn story() -> Story {
    let mut story = Story::default();
    story.exec(7, &["/bin/sh", "-c", "cat /nope; curl"]).fork(7, 8).exec(8, &["/bin/cat", "/nope"]);
    story.open(8, "/etc/ld.so.cache", 3).call(
        8,
        "read",
        &[("fd", fd(3)), ("buf", bytes("x")), ("count", Word::Uint(9))],
        1,
    );
    story.open(8, "/nope", -2).write(8, 2, "cat: /nope: No such file or directory\n").exits(8, 1);
    story.wait(7, 8).signal(7, 17, vec![("si_signo", Word::Name("SIGCHLD"))]);
    let address = Word::Struct(vec![
        ("sa_family", Word::Name("AF_INET")),
        ("sin_port", Word::Uint(80)),
        ("sin_addr", bytes("127.0.0.1")),
    ]);
    story.call(7, "socket", &[("domain", Word::Name("AF_INET"))], 4);
    story.call(7, "connect", &[("sockfd", fd(4)), ("addr", address)], 0);
    let socket = Word::Fd { number: 4, path: Some(b"socket:[77]".to_vec()) };
    story.call(7, "write", &[("fd", socket), ("buf", bytes("GET")), ("count", Word::Uint(3))], 3).exits(7, 1);
    story
}

/// The policy lets run exactly what the page carries.
#[test]
fn the_policy_names_the_script_and_the_style() {
    let page = page(&story());
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    let style = hash(between(&page, "<style>", "</style>"));
    let script = hash(page.rsplit_once("<script>").unwrap().1.split_once("</script>").unwrap().0);
    let expected = format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/policy.txt");
    if std::env::var_os("UPDATE_POLICY").is_some() {
        std::fs::write(&file, format!("{expected}\n")).unwrap();
    }
    let policy = std::fs::read_to_string(&file).unwrap();
    assert_eq!(policy.trim_end(), expected, "set UPDATE_POLICY=1 to write it anew");
    assert!(page.contains(policy.trim_end()) || std::env::var_os("UPDATE_POLICY").is_some());
}

#[test]
fn no_text_of_the_guest_leaves_its_block() {
    let evil = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>";
    let mut story = Story::default();
    story.exec(7, &[evil, evil]).open(7, evil, -2).open(7, "/\u{202e}gpj.exe", 3);
    story.call(7, "open", &[("pathname", bytes(b"/\xff</SCRIPT>"))], -2);
    let page = page(&story);
    assert_eq!(page.to_lowercase().matches("</script>").count(), 2, "the data's and the script's");
    assert_eq!(page.matches("<!--").count(), 0);
    assert_eq!(page.matches("<img").count(), 0);
    let data = data(&page);
    assert_eq!(data["processes"][0]["program"], evil);
    let names: Vec<_> =
        data["touched"]["files"]["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, [evil, "/\\342\\200\\256gpj.exe", "/\\377</SCRIPT>"]);
}

#[test]
fn files_and_addresses_are_counted() {
    let data = data(&page(&story()));
    let of = |list: &str, name: &str| {
        let list = &data["touched"][list];
        let place = list["names"].as_array().unwrap().iter().position(|listed| listed == name).unwrap();
        list["uses"][place].clone()
    };
    let cache = of("files", "/etc/ld.so.cache");
    assert_eq!((&cache["opened"], &cache["reads"], &cache["read_bytes"]), (&1.into(), &1.into(), &1.into()));
    let nope = of("files", "/nope");
    assert_eq!((&nope["failed"], &nope["errno"]), (&1.into(), &"ENOENT".into()));
    let peer = of("addresses", "127.0.0.1:80");
    assert_eq!((&peer["opened"], &peer["writes"], &peer["written_bytes"]), (&1.into(), &1.into(), &3.into()));
}

#[test]
fn beyond_the_limit_only_sums_grow() {
    let mut story = Story::default();
    for _ in 0..20 {
        story.open(7, "/a", 3);
    }
    let page = page_of(&story, 5);
    let data = data(&page);
    assert_eq!(data["rows"]["at"].as_array().unwrap().len(), 5);
    assert_eq!((&data["seen"], &data["sums"][0]["calls"]), (&20.into(), &20.into()));
    assert_eq!(data["touched"]["files"]["uses"][0]["opened"], 20);
}

#[test]
fn a_child_may_be_seen_before_its_parent_tells_of_it_and_an_id_may_come_again() {
    let mut story = Story::default();
    story.exec(7, &["/bin/sh"]).call(8, "getpid", &[], 8).fork(7, 8).exits(8, 1).fork(7, 8).exits(8, 0).exits(7, 0);
    let data = data(&page(&story));
    let all: Vec<_> =
        data["processes"].as_array().unwrap().iter().map(|one| (&one["pid"], &one["parent"], &one["status"])).collect();
    let (zero, one, seven, eight, null) = (0.into(), 1.into(), 7.into(), 8.into(), Value::Null);
    assert_eq!(all, [(&seven, &null, &zero), (&eight, &zero, &one), (&eight, &zero, &zero)]);
}

/// A browser that can be started without a screen.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name))).find(|file| file.is_file())
}

/// What the browser makes of a page at `#view`: the document afterwards, and what it had to say on the console.
fn opened(browser: &Path, page: &str, view: &str) -> (String, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page.html");
    std::fs::write(&file, page).unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
        ])
        .args(["--virtual-time-budget=2000", "--window-size=1280,900", "--dump-dom"])
        .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
        .arg(format!("file://{}{view}", file.display()))
        .env("HOME", dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let log = String::from_utf8_lossy(&output.stderr);
    let console = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), console)
}

/// A page as the browser shows it, which must have nothing to complain about: the policy makes an error of every request and of every foreign script.
fn quiet(browser: &Path, page: &str, view: &str) -> String {
    let (document, console) = opened(browser, page, view);
    assert!(console.is_empty(), "{view}: {console:#?}");
    document
}

/// The text of the elements that a marker begins, up to their end.
fn texts<'a>(document: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    document.split(start).skip(1).map(|rest| rest.split_once(end).unwrap().0).collect()
}

#[test]
fn a_browser_shows_tree_and_sums() {
    let Some(browser) = browser() else { tipstaff_testkit::skip!("no Chromium in PATH") };
    let document = quiet(&browser, &page(&story()), "");
    assert!(between(&document, "<title>", "</title>").starts_with("/bin/sh -c 'cat /nope; curl'"));
    let tree = between(&document, "<table id=\"tree\">", "</table>");
    assert_eq!(tree.matches("<tr>").count(), 3, "a head and two processes: {tree}");
    assert!(tree.contains("--depth: 1") && tree.contains("/bin/cat /nope</a>") && tree.contains("exit 1"), "{tree}");
    assert!(between(&document, "<table id=\"top\">", "</table>").contains(">openat</a>"));
    let failures = between(&document, "<table id=\"failures\">", "</table>");
    assert!(failures.contains("ENOENT") && failures.contains("/nope"), "{failures}");
}

#[test]
fn a_browser_filters_the_calls_as_the_address_says() {
    let Some(browser) = browser() else { tipstaff_testkit::skip!("no Chromium in PATH") };
    let page = page(&story());
    let calls = |query: &str| {
        let document = quiet(&browser, &page, &format!("#calls{query}"));
        let count = between(&document, "<output id=\"count\" aria-live=\"polite\">", "<").to_owned();
        let rows = between(&document, "<div id=\"space\"", "</section>");
        let names: Vec<_> = texts(rows, "class=\"call\"><b>", "</b>").into_iter().map(str::to_owned).collect();
        (count, names)
    };
    assert_eq!(calls("?q=openat"), ("2 of 18 rows".to_owned(), vec!["openat".to_owned(); 2]));
    assert_eq!(calls("?q=openat+enoent"), ("1 of 18 rows".to_owned(), vec!["openat".to_owned()]));
    assert_eq!(calls("?failed=1"), ("1 of 18 rows".to_owned(), vec!["openat".to_owned()]));
    assert_eq!(calls("?q=sigchld&pid=7").0, "1 of 18 rows");
    assert_eq!(calls("?q=sigchld&pid=8").0, "0 of 18 rows");
    assert_eq!(calls("").1.len(), 18);
}

#[test]
fn a_browser_shows_files_addresses_and_the_timeline() {
    let Some(browser) = browser() else { tipstaff_testkit::skip!("no Chromium in PATH") };
    let page = page(&story());
    let files = quiet(&browser, &page, "#files?q=cache");
    let list = between(&files, "<div id=\"files-list\">", "</section>");
    assert!(list.contains("/etc/ld.so.cache") && !list.contains("/nope"), "{list}");
    let addresses = quiet(&browser, &page, "#addresses");
    assert!(between(&addresses, "<div id=\"addresses-list\">", "</section>").contains("127.0.0.1:80"));
    let timeline = quiet(&browser, &page, "#timeline");
    let canvas = between(&timeline, "<canvas id=\"canvas\"", "</canvas>");
    assert!(canvas.contains("Timeline of 2 threads") && canvas.contains("height: 70px"), "{canvas}");
}

#[test]
fn a_browser_shows_hostile_text_as_text() {
    let Some(browser) = browser() else { tipstaff_testkit::skip!("no Chromium in PATH") };
    let evil = "<img src=http://127.0.0.1:9/ onerror=\"document.title='broken'\"></script><script>document.title='broken'</script>";
    let mut story = Story::default();
    story.exec(7, &[evil, evil]).open(7, evil, -2);
    for view in ["", "#calls", "#files"] {
        let document = quiet(&browser, &page(&story), view);
        assert!(!document.contains("<img"), "{view}");
        assert!(!between(&document, "<title>", "</title>").contains("broken</title>"), "{view}");
    }
}

/// The control: what the other tests rely on to notice a request or a foreign script does notice them.
#[test]
fn a_browser_complains_about_a_request_and_a_foreign_script() {
    let Some(browser) = browser() else { tipstaff_testkit::skip!("no Chromium in PATH") };
    for foreign in ["<img src=\"http://127.0.0.1:9/x.png\">", "<script>document.title = 'broken'</script>"] {
        let page = page(&story()).replace("<main>", &format!("<main>{foreign}"));
        let (document, console) = opened(&browser, &page, "");
        assert!(console.iter().any(|line| line.contains("Content Security Policy")), "{foreign}: {console:?}");
        assert_ne!(between(&document, "<title>", "</title>"), "broken");
    }
}

#[test]
fn a_browser_opens_a_large_trace_and_an_empty_one() {
    let Some(browser) = browser() else { tipstaff_testkit::skip!("no Chromium in PATH") };
    let mut story = Story::default();
    for index in 0..100_000 {
        story.push(7, 7, What::Returned { call: call("read", &[("fd", fd(index % 64))], Some(0)), took_ns: 100 });
    }
    let document = quiet(&browser, &page_of(&story, 90_000), "#calls?q=read");
    assert!(document.contains(">90,000 of 90,000 rows<"));
    let rows = texts(&document, "role=\"row\" class=\"row ok", ">").len();
    assert!((5..200).contains(&rows), "{rows} rows are on the page");
    assert!(document.contains("10,000 later ones are only in the sums"));
    assert!(quiet(&browser, &page(&Story::default()), "").contains("An empty trace"));
}
