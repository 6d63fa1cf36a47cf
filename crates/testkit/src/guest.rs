//! Small C programs that do one thing to a box: see `guests/`.
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::place;

/// Every guest and every tool: name and source.
pub const GUESTS: &[(&str, &str)] = &[
    ("account", include_str!("../guests/account.c")),
    ("args", include_str!("../guests/args.c")),
    ("asker", include_str!("../guests/asker.c")),
    ("asks", include_str!("../guests/asks.c")),
    ("attackcalls", include_str!("../guests/attackcalls.c")),
    ("attackentry", include_str!("../guests/attackentry.c")),
    ("attackfiles", include_str!("../guests/attackfiles.c")),
    ("attackfilter", include_str!("../guests/attackfilter.c")),
    ("attackgate", include_str!("../guests/attackgate.c")),
    ("attackhogs", include_str!("../guests/attackhogs.c")),
    ("attackreach", include_str!("../guests/attackreach.c")),
    ("attacktasks", include_str!("../guests/attacktasks.c")),
    ("bantracer", include_str!("../guests/bantracer.c")),
    ("bighole", include_str!("../guests/bighole.c")),
    ("births", include_str!("../guests/births.c")),
    ("burn", include_str!("../guests/burn.c")),
    ("burners", include_str!("../guests/burners.c")),
    ("callcount", include_str!("../guests/callcount.c")),
    ("callfuzz", include_str!("../guests/callfuzz.c")),
    ("calls", include_str!("../guests/calls.c")),
    ("copy", include_str!("../guests/copy.c")),
    ("crowd", include_str!("../guests/crowd.c")),
    ("custody", include_str!("../guests/custody.c")),
    ("daemonize", include_str!("../guests/daemonize.c")),
    ("deadfs", include_str!("../guests/deadfs.c")),
    ("deepdirs", include_str!("../guests/deepdirs.c")),
    ("environ", include_str!("../guests/environ.c")),
    ("execas", include_str!("../guests/execas.c")),
    ("execrace", include_str!("../guests/execrace.c")),
    ("execstorm", include_str!("../guests/execstorm.c")),
    ("exit", include_str!("../guests/exit.c")),
    ("fdexhaust", include_str!("../guests/fdexhaust.c")),
    ("filehog", include_str!("../guests/filehog.c")),
    ("flood", include_str!("../guests/flood.c")),
    ("forkbomb", include_str!("../guests/forkbomb.c")),
    ("forkhog", include_str!("../guests/forkhog.c")),
    ("forklimit", include_str!("../guests/forklimit.c")),
    ("forkrace", include_str!("../guests/forkrace.c")),
    ("forkroads", include_str!("../guests/forkroads.c")),
    ("forkspin", include_str!("../guests/forkspin.c")),
    ("fsprobe", include_str!("../guests/fsprobe.c")),
    ("handled", include_str!("../guests/handled.c")),
    ("hog", include_str!("../guests/hog.c")),
    ("hostlook", include_str!("../guests/hostlook.c")),
    ("i386", include_str!("../guests/i386.c")),
    ("inject", include_str!("../guests/inject.c")),
    ("int80", include_str!("../guests/int80.c")),
    ("interrupted", include_str!("../guests/interrupted.c")),
    ("leaderexit", include_str!("../guests/leaderexit.c")),
    ("leftover", include_str!("../guests/leftover.c")),
    ("lifecycle", include_str!("../guests/lifecycle.c")),
    ("listener", include_str!("../guests/listener.c")),
    ("listenrows", include_str!("../guests/listenrows.c")),
    ("manycalls", include_str!("../guests/manycalls.c")),
    ("memfd", include_str!("../guests/memfd.c")),
    ("memhog", include_str!("../guests/memhog.c")),
    ("napper", include_str!("../guests/napper.c")),
    ("netdns", include_str!("../guests/netdns.c")),
    ("netprobe", include_str!("../guests/netprobe.c")),
    ("netrace", include_str!("../guests/netrace.c")),
    ("netrules", include_str!("../guests/netrules.c")),
    ("netsend", include_str!("../guests/netsend.c")),
    ("netstall", include_str!("../guests/netstall.c")),
    ("netunix", include_str!("../guests/netunix.c")),
    ("observed", include_str!("../guests/observed.c")),
    ("onpty", include_str!("../guests/onpty.c")),
    ("orphans", include_str!("../guests/orphans.c")),
    ("outrank", include_str!("../guests/outrank.c")),
    ("overrule", include_str!("../guests/overrule.c")),
    ("pagecache", include_str!("../guests/pagecache.c")),
    ("pagetables", include_str!("../guests/pagetables.c")),
    ("pair", include_str!("../guests/pair.c")),
    ("peak", include_str!("../guests/peak.c")),
    ("peerexec", include_str!("../guests/peerexec.c")),
    ("posture", include_str!("../guests/posture.c")),
    ("ptracediff", include_str!("../guests/ptracediff.c")),
    ("ptracehold", include_str!("../guests/ptracehold.c")),
    ("ptracer", include_str!("../guests/ptracer.c")),
    ("ptracerewrite", include_str!("../guests/ptracerewrite.c")),
    ("ptracerows", include_str!("../guests/ptracerows.c")),
    ("ptraceshown", include_str!("../guests/ptraceshown.c")),
    ("race", include_str!("../guests/race.c")),
    ("raise", include_str!("../guests/raise.c")),
    ("reach", include_str!("../guests/reach.c")),
    ("recorded", include_str!("../guests/recorded.c")),
    ("recurse", include_str!("../guests/recurse.c")),
    ("resolver", include_str!("../guests/resolver.c")),
    ("restarts", include_str!("../guests/restarts.c")),
    ("rewriter", include_str!("../guests/rewriter.c")),
    ("say", include_str!("../guests/say.c")),
    ("segv", include_str!("../guests/segv.c")),
    ("shortlived", include_str!("../guests/shortlived.c")),
    ("signalout", include_str!("../guests/signalout.c")),
    ("sigwait", include_str!("../guests/sigwait.c")),
    ("sleeper", include_str!("../guests/sleeper.c")),
    ("sparse", include_str!("../guests/sparse.c")),
    ("spin", include_str!("../guests/spin.c")),
    ("stepper", include_str!("../guests/stepper.c")),
    ("steps", include_str!("../guests/steps.c")),
    ("stopself", include_str!("../guests/stopself.c")),
    ("stopstorm", include_str!("../guests/stopstorm.c")),
    ("stubborn", include_str!("../guests/stubborn.c")),
    ("swapexec", include_str!("../guests/swapexec.c")),
    ("swapopen", include_str!("../guests/swapopen.c")),
    ("sysprobe", include_str!("../guests/sysprobe.c")),
    ("sysspin", include_str!("../guests/sysspin.c")),
    ("threadbomb", include_str!("../guests/threadbomb.c")),
    ("threadexec", include_str!("../guests/threadexec.c")),
    ("threads", include_str!("../guests/threads.c")),
    ("tick", include_str!("../guests/tick.c")),
    ("traceme", include_str!("../guests/traceme.c")),
    ("tree", include_str!("../guests/tree.c")),
    ("unfilter", include_str!("../guests/unfilter.c")),
    ("unfollowed", include_str!("../guests/unfollowed.c")),
    ("untraced", include_str!("../guests/untraced.c")),
    ("waiting", include_str!("../guests/waiting.c")),
    ("whoruns", include_str!("../guests/whoruns.c")),
    ("without", include_str!("../guests/without.c")),
    ("x32", include_str!("../guests/x32.c")),
    ("xcpu", include_str!("../guests/xcpu.c")),
    ("xfsz", include_str!("../guests/xfsz.c")),
    ("yama", include_str!("../guests/yama.c")),
];

const HEADERS: &[(&str, &str)] = &[
    ("guest.h", include_str!("../guests/guest.h")),
    ("hand.h", include_str!("../guests/hand.h")),
    ("rows.h", include_str!("../guests/rows.h")),
];
const FLAGS: &[&str] = &["-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"];

/// The guest as a static program: needs nothing of the box but itself.
pub fn guest(name: &str) -> PathBuf {
    built(name, true)
}

/// The guest as a dynamic program: needs the loader and the C library of the system.
pub fn guest_dynamic(name: &str) -> PathBuf {
    built(name, false)
}

/// The guest as a static 32-bit program without a C library, whose development files few machines have. `None` where the compiler
/// cannot make one.
pub fn guest_32(name: &str) -> Option<PathBuf> {
    const FLAGS_32: &[&str] = &["-m32", "-nostdlib", "-static", "-fno-pic", "-fno-stack-protector"];
    let path = dir().join(format!("{name}-32"));
    let source = source(name);
    let mut made = true;
    place::once(&path, 0o755, |part| {
        let work = tempfile::tempdir().expect("temporary directory");
        let main = work.path().join(format!("{name}.c"));
        fs::write(&main, source).expect("source");
        let out = Command::new("gcc").args(FLAGS).args(FLAGS_32).arg("-o").arg(part).arg(&main).output();
        made = out.is_ok_and(|out| out.status.success());
        if !made {
            // An empty file takes its place, so that the attempt is not made again.
            fs::write(part, b"").expect("placeholder");
        }
    });
    (made && fs::metadata(&path).is_ok_and(|meta| meta.len() > 0)).then_some(path)
}

fn source(name: &str) -> &'static str {
    let source = GUESTS.iter().find(|(known, _)| *known == name).map(|(_, source)| source);
    source.unwrap_or_else(|| panic!("no guest {name:?} in crates/testkit/guests"))
}

/// The directory of all guests that have been compiled.
pub(crate) fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let mut hash = DefaultHasher::new();
        (GUESTS, HEADERS, FLAGS).hash(&mut hash);
        let dir = place::shared().join(format!("guests-{:016x}", hash.finish()));
        place::make_dir(&dir);
        dir
    })
}

/// Is there a guest of this name?
pub(crate) fn exists(name: &str) -> bool {
    GUESTS.iter().any(|(known, _)| *known == name)
}

fn built(name: &str, linked_static: bool) -> PathBuf {
    let source = source(name);
    let path = dir().join(if linked_static { name.to_owned() } else { format!("{name}-dynamic") });
    place::once(&path, 0o755, |part| {
        let work = tempfile::tempdir().expect("temporary directory");
        for (name, text) in HEADERS {
            fs::write(work.path().join(name), text).expect("header");
        }
        let main = work.path().join(format!("{name}.c"));
        fs::write(&main, source).expect("source");
        let mut gcc = Command::new("gcc");
        gcc.args(FLAGS).args(linked_static.then_some("-static")).arg("-o").arg(part).arg(&main);
        let out = gcc.output().unwrap_or_else(|error| panic!("gcc: {error}: the tests need a C compiler"));
        assert!(out.status.success(), "gcc {name}.c: {}", String::from_utf8_lossy(&out.stderr));
    });
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_source_is_forgotten() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
        let mut files: Vec<_> = fs::read_dir(dir)
            .expect("guests")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("name"))
            .filter_map(|name| name.strip_suffix(".c").map(str::to_owned))
            .collect();
        files.sort();
        let known: Vec<_> = GUESTS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files, known);
    }

    #[test]
    fn every_guest_compiles_without_a_warning() {
        for (name, _) in GUESTS {
            assert!(guest(name).is_file());
        }
    }
}
