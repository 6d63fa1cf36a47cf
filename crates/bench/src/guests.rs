//! The guests, compiled where they are measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// Static programs in a directory that goes with this value.
pub struct Guests {
    _dir: TempDir,
    /// A C program without a body.
    pub noop: PathBuf,
    /// The same without a C library: one system call.
    pub bare: PathBuf,
    /// Burns CPU.
    pub spin: PathBuf,
    /// Leaves a daemon, a file in /tmp and System V objects, and exits.
    pub leaver: PathBuf,
}

const NOOP: &str = "int main(void) { return 0; }";
const BARE: &str = "void _start(void) {
#if defined(__x86_64__)
    __asm__ volatile(\"xor %edi, %edi; mov $231, %eax; syscall\");
#elif defined(__aarch64__)
    __asm__ volatile(\"mov x0, #0; mov x8, #94; svc #0\");
#endif
    __builtin_unreachable();
}";
const SPIN: &str = "int main(void) { for (volatile unsigned long i = 0;; i++) {} }";
const LEAVER: &str = "#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>
int main(void) {
    shmget(IPC_PRIVATE, 4096, 0600 | IPC_CREAT);
    semget(IPC_PRIVATE, 1, 0600 | IPC_CREAT);
    msgget(IPC_PRIVATE, 0600 | IPC_CREAT);
    close(open(\"/tmp/tipstaff-bench-left\", O_CREAT | O_WRONLY, 0600));
    if (fork() == 0) {
        setsid();
        if (fork() == 0) sleep(1000);
        _exit(0);
    }
    return 0;
}";

impl Guests {
    /// Compiles them beside this binary, so that no private /tmp hides them.
    pub fn build() -> anyhow::Result<Self> {
        let exe = std::env::current_exe()?;
        let parent = exe.parent().unwrap_or(Path::new("."));
        let dir = tempfile::Builder::new().prefix("bench-guests-").tempdir_in(parent)?;
        let build = |name: &str, text: &str, flags: &[&str]| -> anyhow::Result<PathBuf> {
            let (source, out) = (dir.path().join(format!("{name}.c")), dir.path().join(name));
            std::fs::write(&source, text)?;
            let mut cc = Command::new("gcc");
            cc.args(["-O2", "-static"]).args(flags).arg("-o").arg(&out).arg(&source);
            let status = cc.status().context("gcc is needed to build the guests (apt-get install gcc libc6-dev)")?;
            ensure!(status.success(), "gcc could not build {name}");
            Ok(out)
        };
        // A guest may be another user.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Self {
            noop: build("noop", NOOP, &[])?,
            bare: build("bare", BARE, &["-nostdlib", "-nostartfiles"])?,
            spin: build("spin", SPIN, &[])?,
            leaver: build("leaver", LEAVER, &[])?,
            _dir: dir,
        })
    }
}
