//! What must hold whatever somebody hands in as an OCI seccomp profile. The fuzzer (`fuzz/`) and the tests beside ask the same.

use tipstaff_abi::Arch;
use tipstaff_oci_seccomp::compare::compare;
use tipstaff_oci_seccomp::explain::explain;
use tipstaff_oci_seccomp::libseccomp::Version;
use tipstaff_oci_seccomp::{Document, Env, Error, Form, evaluate, lint, merge, parse, systemd};
use tipstaff_seccomp::check;

/// The most instructions that the kernel takes (BPF_MAXINSNS).
const MOST: usize = 4096;

/// An error is one line that names its place.
pub fn one_line(error: &Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
    match error {
        Error::Json { line, .. } => assert!(*line >= 1 || text.contains("EOF"), "{text}"),
        Error::Value { path, .. } => assert!(!path.is_empty(), "{text}"),
        Error::Filter(_) => {}
    }
}

/// Reads a text, and does with it what the commands do, for machines and dialects that differ.
pub fn document(text: &str) {
    let Some(document) = read(text) else { return };
    let caps = ["CAP_SYS_ADMIN".to_owned(), "CAP_SYS_PTRACE".to_owned()];
    for (arch, kernel, caps) in [(Arch::X86_64, (6, 18), &caps[..]), (Arch::Aarch64, (4, 3), &[])] {
        for form in [None, Some(Form::Strict), Some(Form::Docker), Some(Form::Containers)] {
            evaluated(&document, &Env { arch, kernel, caps, form });
        }
    }
}

/// The same for one machine.
pub fn document_here(text: &str) {
    if let Some(document) = read(text) {
        evaluated(&document, &Env { arch: Arch::X86_64, kernel: (6, 18), caps: &[], form: None });
    }
}

fn read(text: &str) -> Option<Document> {
    let document = parse(text).map_err(|error| one_line(&error)).ok()?;
    let written = document.to_json();
    assert_eq!(parse(&written).as_ref(), Ok(&document), "what is written is what was read: {written}");
    Some(document)
}

fn evaluated(document: &Document, env: &Env<'_>) {
    let filter = match evaluate(document, env) {
        Ok(imported) => imported.filter,
        Err(error) => return one_line(&error),
    };
    let program = filter.compile().expect("what is imported has been compiled");
    assert!(program.len() <= MOST, "{} instructions", program.len());
    assert_eq!(check(program.insns()), Ok(()));
    // What is said of it: each is an answer or an error, never more.
    let told = |result: Result<(), Error>| result.unwrap_or_else(|error| one_line(&error));
    told(lint::document(document, env, Some(Version(2, 5, 4))).map(drop));
    for call in ["clone", "socket", "openat", "no such call"] {
        told(explain(document, call, env).map(drop));
    }
    told(compare(&filter, &filter).map(|same| assert!(same.is_empty(), "a filter differs from itself")));
    told(systemd::unit(&filter).map(drop));
    told(merge::union(&[filter.clone(), filter.clone()]).map(drop));
    told(merge::documents(std::slice::from_ref(document), env, Form::Docker).map(drop));
    for form in Form::ALL {
        let Ok(made) = Document::of_filter(&filter, form) else { continue };
        if made.warnings.is_empty()
            && let Ok(again) = evaluate(&made.document, &Env { form: Some(form), ..*env })
            && let Ok(differences) = compare(&filter, &again.filter)
        {
            assert!(differences.calls.is_empty(), "a filter changes by being written: {:?}", differences.calls);
        }
    }
}
