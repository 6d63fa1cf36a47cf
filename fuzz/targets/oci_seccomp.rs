//! OCI seccomp JSON: read, evaluated, and all that the commands do with it.
#![no_main]

#[path = "../../crates/oci-seccomp/tests/anything/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|text: &str| {
    // For eight machines and dialects what is short, else one is enough.
    if text.len() < 512 { check::document(text) } else { check::document_here(text) }
});
