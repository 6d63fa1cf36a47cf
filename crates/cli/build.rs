//! Links the command statically where that is possible without ado: a launcher starts once per program, and the dynamic
//! linker would take longer than everything it does itself. It also leaves nothing in the supervisor that `LD_DEBUG` or
//! `LD_PRELOAD` of a hostile environment could steer.
//!
//! At a fixed address: the tables of calls and flags hold some 14,000 pointers, and relocating them at each start costs 0.14 ms and 300 KiB of memory of
//! its own. Stack, heap and mappings are still placed at random.
//!
//! `-C target-feature=+crt-static` would do the same, but then cargo could not build procedural macros for the same
//! target without another output directory.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=TIPSTAFF_DYNAMIC");
    if env("CARGO_CFG_TARGET_ENV") != "gnu" || !env("TIPSTAFF_DYNAMIC").is_empty() || env("HOST") != env("TARGET") {
        return;
    }
    let Some(out) = std::env::var_os("OUT_DIR").map(PathBuf::from) else { return };
    if let Err(missing) = scripts(&out) {
        println!("cargo:warning=no static {missing}: the command is linked dynamically");
        return;
    }
    println!("cargo:rustc-link-arg-bins=-L{}", out.display());
    println!("cargo:rustc-link-arg-bins=-static");
    println!("cargo:rustc-link-arg-bins=-no-pie");
    if links_with(&out, WRITTEN) {
        println!("cargo:rustc-link-arg-bins={WRITTEN}");
    }
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// lld writes its output through a mapping, page by page, and so it lies in the page cache until it is read from disk again. By write(2) it lies there in large
/// folios, of which a page fault maps sixteen pages at a third of the price: a start touches some 60 places of the text. The option that says
/// so is this one; lld 22 takes it and its opposite for each other.
const WRITTEN: &str = "-Wl,--mmap-output-file";

/// Whether this rustc's linker, whichever it is, knows the option.
fn links_with(out: &Path, option: &str) -> bool {
    let source = out.join("probe.rs");
    if std::fs::write(&source, "fn main() {}").is_err() {
        return false;
    }
    let mut rustc = Command::new(env("RUSTC"));
    rustc.args(env("CARGO_ENCODED_RUSTFLAGS").split('\x1f').filter(|flag| !flag.is_empty()));
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    rustc.arg(format!("-Clink-arg={option}")).arg("-o").arg(out.join("probe")).arg(source);
    rustc.output().is_ok_and(|output| output.status.success())
}

/// std's own link line asks for shared libraries by name. These linker scripts stand in front of them and lead to the
/// archives; the shared unwinder's functions are in libgcc_eh.
fn scripts(out: &Path) -> Result<(), &'static str> {
    const LIBRARIES: [(&str, &[&str]); 7] = [
        ("gcc_s", &["libgcc_eh.a", "libgcc.a"]),
        ("util", &["libutil.a"]),
        ("rt", &["librt.a"]),
        ("pthread", &["libpthread.a"]),
        ("m", &["libm.a"]),
        ("dl", &["libdl.a"]),
        ("c", &["libc.a"]),
    ];
    find("crt1.o").ok_or("start file (crt1.o)")?;
    for (name, archives) in LIBRARIES {
        let paths: Option<Vec<String>> = archives.iter().map(|archive| find(archive)).collect();
        let paths = paths.ok_or("C library (libc6-dev)")?;
        let script = format!("INPUT({})\n", paths.join(" "));
        std::fs::write(out.join(format!("lib{name}.so")), script).map_err(|_| "place to write")?;
    }
    Ok(())
}

fn find(name: &str) -> Option<String> {
    let output = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    Path::new(&path).is_absolute().then_some(path)
}
