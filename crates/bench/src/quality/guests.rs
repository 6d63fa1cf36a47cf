//! Programs that no package has, compiled here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Executes a program under a filter that is in a file: `under FILTER PROGRAM [ARG…]`.
const UNDER: &str = r#"
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
  static struct sock_filter insns[65536];
  if (argc < 3) return 2;
  int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
  ssize_t size = read(fd, insns, sizeof insns);
  struct sock_fprog program = {.len = size / sizeof *insns, .filter = insns};
  if (fd < 0 || size <= 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) { perror(argv[1]); return 2; }
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) { perror("seccomp"); return 2; }
  execvp(argv[2], argv + 2);
  perror(argv[2]);
  return 2;
}
"#;

/// N times: 64 threads, and the last of them executes the program again.
const THREADS: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static pthread_barrier_t all;
static char **own;
static void *work(void *last) {
  pthread_barrier_wait(&all);
  if (last) {
    char left[16];
    snprintf(left, sizeof left, "%d", atoi(own[1]) - 1);
    execl(own[0], own[0], left, NULL);
    _exit(3);
  }
  for (;;) pause();
}
int main(int argc, char **argv) {
  if (argc != 2) return 2;
  if (atoi(argv[1]) == 0) { puts("done"); return 0; }
  own = argv;
  pthread_barrier_init(&all, NULL, 64);
  pthread_t thread;
  for (int i = 0; i < 64; i++)
    if (pthread_create(&thread, NULL, work, i == 63 ? argv : NULL)) return 4;
  pthread_join(thread, NULL);
  return 5;
}
"#;

/// Without a C library: write, getpid, time and exit of the 32-bit table, by the gate of 32-bit programs.
const I386: &str = r#"
static long call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
  return result;
}
static const char text[] = "32\n";
void _start(void) {
#if defined(__i386__)
  call(4, 1, (long)text, 3);
#endif
  call(20, 0, 0, 0);
  call(13, 0, 0, 0);
  call(1, 0, 0, 0);
  for (;;) {}
}
"#;

/// Where they are.
pub struct Guests {
    /// The directory that scripts know as `$GUESTS`.
    pub dir: PathBuf,
    /// Executes a program under a filter.
    pub under: PathBuf,
}

impl Guests {
    /// Compiles them into `dir`.
    pub fn build(dir: &Path) -> anyhow::Result<Self> {
        let build = |name: &str, text: &str, flags: &[&str]| -> anyhow::Result<PathBuf> {
            let (source, out) = (dir.join(format!("{name}.c")), dir.join(name));
            std::fs::write(&source, text)?;
            let mut cc = Command::new("gcc");
            cc.args(["-O1", "-static", "-pthread"]).args(flags).arg("-o").arg(&out).arg(&source);
            let output = cc.output().context("gcc is needed to build the guests (apt-get install gcc libc6-dev)")?;
            ensure!(output.status.success(), "gcc could not build {name}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(out)
        };
        let under = build("under", UNDER, &[])?;
        build("threads", THREADS, &[])?;
        // A 32-bit program needs no 32-bit C library here; where the compiler makes none, a 64-bit one takes the same gate.
        let bare = ["-nostdlib", "-nostartfiles", "-fno-stack-protector"];
        let narrow = [&bare[..], &["-m32"]].concat();
        build("i386", I386, &narrow).or_else(|_| build("i386", I386, &bare))?;
        Ok(Self { dir: dir.to_path_buf(), under })
    }
}
