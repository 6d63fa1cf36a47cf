//! The catalogue as a whole: nothing is missing, nothing is there twice, and the table.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tipstaff_testkit::User;

use crate::Item;
use crate::case::{cell, results};

/// Every group: letter, number of items, items.
const GROUPS: [(char, usize, &[Item]); 10] = [
    ('S', 32, crate::seccomp::ITEMS),
    ('N', 27, crate::notifications::ITEMS),
    ('P', 16, crate::tracing::ITEMS),
    ('R', 29, crate::resources::ITEMS),
    ('E', 14, crate::tasks::ITEMS),
    ('F', 35, crate::files::ITEMS),
    ('W', 18, crate::reach::ITEMS),
    ('L', 10, crate::leaks::ITEMS),
    ('J', 15, crate::judging::ITEMS),
    ('C', 4, crate::configuration::ITEMS),
];

const ENGINES: [&str; 3] = ["native", "notify", "ptrace"];
const USERS: [User; 2] = [User::Root, User::Ordinary];

fn items() -> impl Iterator<Item = &'static Item> {
    GROUPS.iter().flat_map(|(_, _, items)| items.iter())
}

#[test]
fn every_item_is_there_once() {
    for (letter, count, items) in GROUPS {
        let expected: Vec<_> = (1..=count).map(|number| format!("{letter}{number}")).collect();
        let found: Vec<_> = items.iter().map(|item| item.id).collect();
        assert_eq!(found, expected);
    }
    assert_eq!(items().count(), 200);
    assert_eq!(items().map(|item| item.title).collect::<BTreeSet<_>>().len(), 200, "two items have one title");
}

#[test]
fn every_item_says_how_it_is_known() {
    for item in items() {
        let known = !item.engines.is_empty() || !item.held.is_empty();
        assert_eq!(known, item.design.is_empty(), "{}: tried or held elsewhere, or else by design", item.id);
        assert!(item.engines.iter().all(|engine| ENGINES.contains(engine)), "{}: {:?}", item.id, item.engines);
    }
}

/// A test that is named here and was renamed there would leave an item that nobody tries.
#[test]
fn tests_elsewhere_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let mut missing = Vec::new();
    for item in items() {
        for (file, name) in item.held {
            let text =
                fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{}: {file}: {error}", item.id));
            if !is_a_test(&text, name) {
                missing.push(format!("{}: {name} in {file}", item.id));
            }
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

/// Is there a test of this name: a function, the first word of a macro's call (`both!(NAME, …)`), or an entry of a list that a macro takes?
fn is_a_test(text: &str, name: &str) -> bool {
    let other = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let after = |line: &str, what: &str| {
        line.trim_start().strip_prefix(what).is_some_and(|rest| rest.split(other).next() == Some(name))
    };
    let function = text.split("#[test]").skip(1).any(|rest| rest.lines().take(6).any(|line| after(line, "fn ")));
    let called = |line: &str| line.split_once("!(").is_some_and(|(_, rest)| rest.split(other).next() == Some(name));
    let entry = |line: &str| after(line, "") && line.contains(':');
    let list = |line: &str| !line.contains(|c| other(c) && c != ' ') && line.split(' ').any(|word| word == name);
    function
        || text.lines().any(|line| {
            called(line) || entry(line) || list(line) || after(line, "") && line.trim() == format!("{name},")
        })
}

/// Each function that tries something also does what the box refuses, outside of it or with the rule off, or it says in a comment where its control is.
#[test]
fn every_attack_has_its_control() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("attacks");
    let mut without = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(dir).expect("attacks") {
        let text = fs::read_to_string(entry.expect("entry").path()).unwrap_or_default();
        for body in text.split("\nfn ").chain(text.split("\npub(crate) fn ").skip(1)) {
            let name = body.split('(').next().unwrap_or_default();
            let body = body.split("\n}\n").next().unwrap_or_default();
            let attack = body.starts_with(&format!("{name}(case: &Case) {{"));
            seen += usize::from(attack);
            // `calls` makes each call outside too; of `few` of a thing nothing comes.
            let control =
                ["case.free(", "control", "calls(case", "works(&", "few(case"].iter().any(|word| body.contains(word));
            if attack && !control {
                without.push(name.to_owned());
            }
        }
    }
    assert!(seen > 80, "functions are not found: {seen}");
    assert!(without.is_empty(), "without a control: {without:#?}");
}

/// What is not tried is told to whoever reads the documents.
#[test]
fn what_is_by_design_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let text = fs::read_to_string(root.join("docs/security.md")).expect("the document");
    let known: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).collect();
    for item in items().filter(|item| !item.design.is_empty()) {
        let line = format!("| {} | {} |", item.id, item.design);
        assert!(known.contains(&line.as_str()), "docs/security.md lacks: {line}");
    }
    let first = |line: &&str| {
        line.split(' ').nth(1).is_some_and(|id| items().any(|item| item.id == id && item.design.is_empty()))
    };
    assert!(!known.iter().any(first), "docs/security.md says of an item that is tried that it is not");
}

#[test]
fn no_file_is_forgotten() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("attacks");
    let main = fs::read_to_string(dir.join("main.rs")).expect("main.rs");
    for entry in fs::read_dir(dir).expect("attacks") {
        let name = entry.expect("entry").file_name().into_string().expect("name");
        let Some(module) = name.strip_suffix(".rs") else { continue };
        assert!(module == "main" || main.contains(&format!("mod {module};")), "{name} is not a module of main.rs");
    }
}

/// Not a test but the printer of what the tests found: `-- --ignored --nocapture the_table`.
#[test]
#[ignore = "prints what the other tests have found"]
fn the_table() {
    let mut totals = std::collections::BTreeMap::<String, usize>::new();
    let mut unexpected = Vec::new();
    println!("{:<5} {:<9} {:<9} {:<9} {:<9} {:<9} {:<9} attack", "item", "native", "", "notify", "", "ptrace", "");
    println!(
        "{:<5} {:<9} {:<9} {:<9} {:<9} {:<9} {:<9}",
        "", "root", "ordinary", "root", "ordinary", "root", "ordinary"
    );
    let mut notes = Vec::new();
    for item in items() {
        let mut row = format!("{:<5}", item.id);
        for engine in ENGINES {
            for user in USERS {
                let name = cell(item.id, engine, user);
                let mut word = String::new();
                if item.engines.contains(&engine) {
                    let result = fs::read_to_string(results().join(&name)).unwrap_or_else(|_| "not run\t".to_owned());
                    let (state, why) = result.split_once('\t').unwrap_or((&result, ""));
                    state.clone_into(&mut word);
                    *totals.entry(word.clone()).or_default() += 1;
                    match state {
                        "held" => {}
                        "skipped" => notes.push(format!("{name}: {why}")),
                        _ => unexpected.push(name),
                    }
                }
                row += &format!(" {word:<9}");
            }
        }
        println!("{row} {}", item.title);
        for (file, test) in item.held {
            println!("{:<65} by {file}: {test}", "");
        }
        if !item.left.is_empty() {
            println!("{:<65} NOT HELD: {}", "", item.left);
        }
        if !item.design.is_empty() {
            println!("{:<65} by design: {}", "", item.design);
        }
    }
    println!("\nskipped:");
    notes.iter().for_each(|note| println!("  {note}"));
    let count = |keep: fn(&&Item) -> bool| items().filter(keep).count();
    println!(
        "\n{} items: {} tried here, {} by tests elsewhere alone, {} by design; of {} something is known not to be held",
        items().count(),
        count(|item| !item.engines.is_empty()),
        count(|item| item.engines.is_empty() && !item.held.is_empty()),
        count(|item| !item.design.is_empty()),
        count(|item| !item.left.is_empty()),
    );
    let told: Vec<_> = totals.iter().map(|(state, count)| format!("{count} {state}")).collect();
    println!("cases: {}; {} unexpected", told.join(", "), unexpected.len());
    assert!(unexpected.is_empty(), "unexpected: {unexpected:?}");
}
