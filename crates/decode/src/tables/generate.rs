//! Writes the tables from the kernel's headers and checks them against the headers.
//!
//! `UPDATE_TABLES=1 cargo test -p tipstaff-decode tables` writes them; without the variable the same test compares every constant of the committed
//! tables with the headers of this machine, and says so where there are none. What the tables are made of stands in `tables.list`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::Mutex,
};

const LIST: &str = include_str!("tables.list");

/// One table of the list.
struct Wanted<'a> {
    file: &'a str,
    name: &'a str,
    how: &'a str,
    headers: Vec<&'a str>,
    words: Vec<&'a str>,
}

fn wanted() -> Vec<Wanted<'static>> {
    let (mut file, mut headers) = ("", Vec::new());
    let mut all: Vec<Wanted> = Vec::new();
    for line in LIST.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        if let Some(name) = line.strip_prefix('[') {
            (file, headers) = (name.trim_end_matches(']'), Vec::new());
        } else if let Some(names) = line.strip_prefix('<') {
            headers = names.split_whitespace().collect();
        } else if line.starts_with(' ') {
            all.last_mut().expect("a table above").words.extend(line.split_whitespace());
        } else {
            let mut words = line.split_whitespace();
            let (name, how) = (words.next().expect("a name"), words.next().expect("how"));
            all.push(Wanted { file, name, how, headers: headers.clone(), words: words.collect() });
        }
    }
    all
}

/// `*` stands for any letters.
fn fits(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((front, "")) => name.starts_with(front),
        Some((front, back)) => {
            name.len() >= front.len() + back.len() && name.starts_with(front) && name.ends_with(back)
        }
    }
}

/// Runs gcc on a text; `None` when it cannot be run or finds a fault, with what it said.
fn gcc(args: &[&str], text: &str) -> Result<String, String> {
    let run =
        Command::new("gcc").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut run = run.map_err(|fault| fault.to_string())?;
    run.stdin.take().expect("a pipe").write_all(text.as_bytes()).map_err(|fault| fault.to_string())?;
    let out = run.wait_with_output().map_err(|fault| fault.to_string())?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&out.stderr).into_owned())
    }
}

fn includes(headers: &[&str]) -> String {
    let mut text = "#define _GNU_SOURCE\n#include <stddef.h>\n".to_owned();
    for header in headers {
        let _ = writeln!(text, "#include <{header}>");
    }
    text
}

/// What the headers define: macros with their text, and enumerators with none. Asked once for each choice of headers.
fn defined(headers: &[&str]) -> Result<Defined, String> {
    static KNOWN: Mutex<BTreeMap<String, Defined>> = Mutex::new(BTreeMap::new());
    let key = headers.join(" ");
    let mut known = KNOWN.lock().map_err(|fault| fault.to_string())?;
    if !known.contains_key(&key) {
        known.insert(key.clone(), look(headers)?);
    }
    Ok(known[&key].clone())
}

type Defined = BTreeMap<String, String>;

fn look(headers: &[&str]) -> Result<Defined, String> {
    let text = includes(headers);
    let mut found = BTreeMap::new();
    for line in gcc(&["-E", "-dM", "-"], &text)?.lines() {
        let rest = line.strip_prefix("#define ").unwrap_or(line);
        let (name, body) = rest.split_once(' ').unwrap_or((rest, ""));
        if !name.contains('(') && !body.is_empty() {
            found.insert(name.to_owned(), body.to_owned());
        }
    }
    let plain = gcc(&["-E", "-P", "-"], &text)?;
    let mut rest = plain.as_str();
    while let Some(at) = rest.find("enum") {
        rest = &rest[at + 4..];
        let Some(open) = rest.find(['{', ';', ')', ',', '*']) else { break };
        let Some(close) = rest[open..].find('}').filter(|_| rest[open..].starts_with('{')) else { continue };
        for item in rest[open + 1..open + close].split(',') {
            let name: String = item.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                found.entry(name).or_default();
            }
        }
        rest = &rest[open + close..];
    }
    Ok(found)
}

/// The values of constants, by a C program. What is no constant after all is left out.
fn values(headers: &[&str], names: &[String]) -> Result<BTreeMap<String, u64>, String> {
    let mut names: Vec<&String> = names.iter().collect();
    loop {
        let mut text = includes(headers) + "int printf(const char *, ...);\nint main(void) {\n";
        let first = text.lines().count() + 1;
        for name in &names {
            // An int like 1 << 31 is meant as 32 bits.
            let _ = writeln!(
                text,
                "printf(\"{name} %llu\\n\", sizeof({name}) == 8 ? (unsigned long long)({name}) : (unsigned long long)(unsigned)({name}));"
            );
        }
        text += "return 0; }\n";
        let folder = tempfile::tempdir().map_err(|fault| fault.to_string())?;
        let program = folder.path().join("values");
        let path = program.to_str().ok_or("a path without UTF-8")?;
        match gcc(&["-w", "-x", "c", "-", "-o", path], &text) {
            Ok(_) => {
                let out = Command::new(path).output().map_err(|fault| fault.to_string())?;
                let lines = String::from_utf8_lossy(&out.stdout).into_owned();
                let pairs = lines.lines().filter_map(|line| line.split_once(' '));
                return Ok(pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect());
            }
            Err(fault) => {
                let bad = fault.lines().filter(|line| line.contains("error")).filter_map(|line| {
                    line.strip_prefix("<stdin>:")?.split(':').next()?.parse::<usize>().ok()?.checked_sub(first)
                });
                let bad: BTreeSet<usize> = bad.collect();
                let left: Vec<&String> =
                    names.iter().enumerate().filter(|(at, _)| !bad.contains(at)).map(|(_, name)| *name).collect();
                if left.len() == names.len() {
                    return Err(fault);
                }
                names = left;
            }
        }
    }
}

/// Names and values.
type Constants = Vec<(String, u64)>;

/// The constants of one table as the headers give them, in the order of the words, and those that the list adds.
fn constants(table: &Wanted) -> Result<(Constants, Constants), String> {
    if table.how == "ioctl" {
        return Ok((requests(table), Vec::new()));
    }
    let found = defined(&table.headers)?;
    let out: Vec<&str> = table.words.iter().filter_map(|word| word.strip_prefix('-')).collect();
    let mut names: Vec<String> = Vec::new();
    let mut added = Vec::new();
    for word in table.words.iter().filter(|word| !word.starts_with('-')) {
        let (pattern, value) = word.split_once('=').map_or((*word, None), |(name, value)| (name, Some(value)));
        if let Some(value) = value {
            added.push((pattern.to_owned(), number(value)));
        }
        // A constant that is named is wanted, even where a pattern would leave it out.
        let wanted = found.keys().filter(|name| {
            fits(name, pattern) && (!pattern.contains('*') || !out.iter().any(|pattern| fits(name, pattern)))
        });
        for name in wanted {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    let known = values(&table.headers, &names)?;
    let all = names.into_iter().filter_map(|name| known.get(&name).map(|&value| (name, value))).collect();
    Ok((all, added))
}

fn number(text: &str) -> u64 {
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
    parsed.expect("a number")
}

/// ioctl(2) requests: macros made by `_IO` and its kin, and those whose names the list gives after the header.
fn requests(table: &Wanted) -> Vec<(String, u64)> {
    let (out, headers): (Vec<&str>, Vec<&str>) = table.words.iter().partition(|word| word.starts_with('-'));
    let out: Vec<&str> = out.iter().map(|word| &word[1..]).collect();
    let mut all = Vec::new();
    for word in headers {
        let (header, patterns) = word.split_once(':').unwrap_or((word, ""));
        // Some headers need others, and some machines lack some.
        let headers = ["sys/types.h", "sys/time.h", "linux/types.h", "linux/ioctl.h", "asm/termbits.h", header];
        let Ok(found) = defined(&headers) else { continue };
        let names: Vec<String> = found
            .into_iter()
            .filter(|(name, body)| {
                let made =
                    ["_IO(", "_IO (", "_IOR(", "_IOR (", "_IOW(", "_IOW (", "_IOWR(", "_IOWR (", "_IOC(", "DRM_IO"]
                        .iter()
                        .any(|maker| body.contains(maker));
                (made || patterns.split(',').any(|pattern| !pattern.is_empty() && fits(name, pattern)))
                    && !name.starts_with('_')
                    && !out.iter().any(|pattern| fits(name, pattern))
            })
            .map(|(name, _)| name)
            .collect();
        let Ok(known) = values(&headers, &names) else { continue };
        all.extend(names.into_iter().filter_map(|name| known.get(&name).map(|&value| (name, value))));
    }
    // A request has 32 bits, and its number is not a small one: those are arguments that are named alike.
    all.retain(|&(_, value)| (0x100..=u64::from(u32::MAX)).contains(&value));
    all
}

/// Where a constant stands in a set: names for many bits before names for few, single bits (and zero) from the lowest on.
fn rank(value: u64) -> (u32, u64) {
    (u32::MAX - value.count_ones().max(1), value)
}

/// The lines of one table.
fn written(table: &Wanted, constants: Vec<(String, u64)>) -> String {
    let mut seen = BTreeSet::new();
    let mut rows: Vec<(u64, String)> = Vec::new();
    for (name, value) in constants {
        if seen.insert(value) {
            rows.push((value, name));
        }
    }
    if table.how == "bits" {
        rows.sort_by_key(|(value, _)| rank(*value));
    } else {
        rows.sort();
    }
    let mut out = format!("\n#[rustfmt::skip]\npub(crate) const {}: &[(u64, &str)] = &[\n", table.name);
    let mut line = String::from("   ");
    for (value, name) in rows {
        let item = format!(" ({value:#x}, \"{name}\"),");
        if line.len() + item.len() > 150 {
            out += &line;
            out.push('\n');
            line = String::from("   ");
        }
        line += &item;
    }
    if line.len() > 3 {
        out += &line;
        out.push('\n');
    }
    out + "];\n"
}

fn update() -> Result<(), String> {
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for table in wanted() {
        let (mut all, added) = constants(&table)?;
        // The headers' own spelling of a number goes first, unless only the list has it.
        all.extend(added);
        let file = files.entry(table.file).or_insert_with(|| {
            "//! From the kernel's headers; generated by `generate.rs` from `tables.list`, edit that instead.\n"
                .to_owned()
        });
        file.push_str(&written(&table, all));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tables");
    for (name, text) in files {
        fs::write(folder.join(format!("{name}.rs")), text).map_err(|fault| fault.to_string())?;
    }
    Ok(())
}

/// The committed tables: file and name of the table to its rows.
fn committed() -> BTreeMap<String, Vec<(u64, String)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tables");
    let files: BTreeSet<&str> = wanted().iter().map(|table| table.file).collect();
    let mut all = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(folder.join(format!("{file}.rs"))).expect("a committed table");
        let mut name = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("pub(crate) const ") {
                name = format!("{file}::{}", rest.split(':').next().unwrap_or_default());
                all.insert(name.clone(), Vec::new());
            }
            for item in line.split("(0x").skip(1) {
                let (value, rest) = item.split_once(", \"").expect("a row");
                let value = u64::from_str_radix(value, 16).expect("a number");
                let row = (value, rest.split('"').next().expect("a name").to_owned());
                all.get_mut(&name).expect("a table").push(row);
            }
        }
    }
    all
}

#[test]
fn tables_agree_with_the_headers() {
    if defined(&["linux/fs.h", "linux/sched.h", "sys/socket.h"]).is_err() {
        tipstaff_testkit::skip!("no gcc, or no kernel headers");
    }
    if std::env::var_os("UPDATE_TABLES").is_some() {
        update().expect("the tables");
        return;
    }
    let committed = committed();
    let (mut checked, mut newer) = (0, 0);
    for table in wanted() {
        let key = format!("{}::{}", table.file, table.name);
        let rows = &committed[&key];
        assert!(!rows.is_empty() || table.how == "ioctl", "{key} is empty");
        // An older machine may lack a header altogether.
        let Ok((known, _)) = constants(&table) else { continue };
        let known: BTreeMap<String, u64> = known.into_iter().collect();
        for (value, name) in rows {
            match known.get(name) {
                Some(real) => assert_eq!(real, value, "{key} {name}"),
                None => newer += 1,
            }
            checked += 1;
        }
    }
    assert!(checked > 1000 && newer * 2 < checked, "{checked} constants, of which the headers lack {newer}");
}

#[test]
fn numbers_are_sorted_and_sets_put_several_bits_first() {
    let committed = committed();
    for table in wanted() {
        let rows = &committed[&format!("{}::{}", table.file, table.name)];
        if table.how == "bits" {
            assert!(rows.is_sorted_by_key(|(value, _)| rank(*value)), "{}", table.name);
        } else {
            assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0), "{}", table.name);
        }
    }
}
