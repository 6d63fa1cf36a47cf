/* attackfilter WHAT: a guest that puts filters of its own on, or has a tracer against the filter. Proves S8 to S11, S13, S14.
 *   trace     getppid(2), then RET_TRACE for it without a tracer
 *   outrank   ERRNO 0 for keyctl(2), which a box refuses: the call is not made, and the box lives
 *   stack     as many filters as the kernel takes, then CPU time until the end
 *   threads   the filters and no_new_privs of each of eight threads
 *   rewrite   a tracee's getppid(2) becomes keyctl(2) behind the filter
 *   suspend   PTRACE_O_SUSPEND_SECCOMP for a child */
#include "guest.h"
#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
static int answer(long nr, unsigned action) {
  struct sock_filter code[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
                               {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (unsigned)nr},
                               {BPF_RET | BPF_K, 0, 0, action},
                               {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  struct sock_fprog program = {4, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
static void *hold(void *barrier) {
  pthread_barrier_wait(barrier);
  pause();
  return NULL;
}
static void threads(void) {
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, NULL, 9);
  for (int i = 0; i < 8; i++) {
    pthread_t t;
    if (pthread_create(&t, NULL, hold, &barrier)) die(5, "no thread");
  }
  pthread_barrier_wait(&barrier);
  DIR *d = opendir("/proc/self/task");
  if (!d) die(5, "/proc/self/task: %s", errname(-1));
  int seen = 0, bare = 0;
  for (struct dirent *e; (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    char path[300], line[256];
    int filtered = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", e->d_name);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) filtered += !strncmp(line, "Seccomp:\t2", 10) + !strncmp(line, "NoNewPrivs:\t1", 13);
    if (f) fclose(f);
    seen++;
    bare += filtered != 2;
  }
  printf("threads %d\nbare %d\n", seen, bare);
}
static void rewrite(void) {
#if defined(__x86_64__)
  pid_t pid = fork();
  if (pid == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0)) _exit(9);
    raise(SIGSTOP);
    long result = syscall(SYS_getppid, -3L, 0L, 0L);
    _exit(result == -1 && errno == EPERM ? 1 : 2);
  }
  int status;
  waitpid(pid, &status, 0);
  if (!WIFSTOPPED(status)) {
    way("rewrite", (errno = EPERM, -1));
    return;
  }
  ptrace(PTRACE_SYSCALL, pid, 0, 0);
  for (int changed = 0; waitpid(pid, &status, 0) == pid && WIFSTOPPED(status);) {
    struct user_regs_struct r;
    ptrace(PTRACE_GETREGS, pid, 0, &r);
    if (!changed && (long)r.orig_rax == SYS_getppid) {
      r.orig_rax = SYS_keyctl;
      r.rdi = 0;
      r.rsi = (unsigned long)-3L;
      ptrace(PTRACE_SETREGS, pid, 0, &r);
      changed = 1;
    }
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
  }
  errno = EPERM;
  way("rewrite", WIFEXITED(status) && WEXITSTATUS(status) == 2 ? 0 : -1);
#endif
}
static void suspend(void) {
  pid_t pid = fork();
  if (pid == 0) {
    pause();
    _exit(0);
  }
  long seized = ptrace(PTRACE_SEIZE, pid, 0, 0x200000 /* PTRACE_O_SUSPEND_SECCOMP */);
  way("suspend", seized);
  if (seized) way("seize", ptrace(PTRACE_SEIZE, pid, 0, 0));
  kill(pid, SIGKILL);
}
int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "trace")) {
    way("before", syscall(SYS_getppid));
    if (answer(SYS_getppid, SECCOMP_RET_TRACE | 7)) die(5, "filter: %s", errname(-1));
    way("trace", syscall(SYS_getppid));
  } else if (!strcmp(what, "outrank")) {
    if (answer(SYS_keyctl, SECCOMP_RET_ERRNO)) die(5, "filter: %s", errname(-1));
    printf("outrank %ld\n", syscall(SYS_keyctl, 0L, -3L, 1L));
  } else if (!strcmp(what, "stack")) {
    /* Long ones, so that the sum of all that a task may have is reached soon. */
    static struct sock_filter code[1000];
    for (int i = 0; i < 1000; i++) code[i] = (struct sock_filter){BPF_LD | BPF_W | BPF_ABS, 0, 0, 0};
    code[999] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    struct sock_fprog program = {1000, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    for (int n = 0; n < 100 && !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);) n++;
    printf("stacked %s\n", errname(-1));
    fflush(stdout);
    for (;;) getppid();
  } else if (!strcmp(what, "threads")) {
    threads();
  } else if (!strcmp(what, "rewrite")) {
    rewrite();
  } else if (!strcmp(what, "suspend")) {
    suspend();
  } else {
    return 2;
  }
  fflush(stdout);
  _exit(0);
}
