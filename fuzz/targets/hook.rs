//! What a runtime and a container's owner hand to the OCI hook: the state, an annotation, a bundle; and what hooks and the collector tell each other.
#![no_main]

use tipstaff_hook::anything;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    anything::state(bytes);
    anything::json(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let (value, id) = text.split_once('\n').unwrap_or((text, "c1"));
        // Files are not for a fuzzer to read.
        if !value.contains("if:") {
            anything::annotation(value, id, id);
        }
    }
});
