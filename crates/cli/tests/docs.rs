//! Every console block of the documentation is run and compared.
//!
//! Outputs hold as root and as an ordinary user, with and without control groups: what may differ is a wildcard there.

#[test]
fn the_documents_tell_the_truth() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    trycmd::TestCases::new().case(format!("{root}/docs/*.md")).case(format!("{root}/README.md"));
}
