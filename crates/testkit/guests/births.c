/* births FILE HOW: makes processes. FILE is shared memory: process N adds to counter N as soon as it runs. Proves that a process is known before its
 * first instruction (N6, P8), by every road: `fork` (libc), `raw` (SYS_fork), `vfork`, `clone`, `clone3`, which falls back, `spawn` (posix_spawn).
 * `failing`: a thousand clones that fail, and one that does not; `storm`: eight threads with eighty spawns each; `timer N`: N forks under a timer of
 * 300 microseconds without SA_RESTART; `traced`: a fork by a process with a tracer; `untraced`: CLONE_UNTRACED; `rate N`: microseconds per fork; `threads`:
 * eight threads. */
#include "guest.h"
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ptrace.h>
#include <sys/time.h>
extern char **environ;
static volatile long *slots;
static void wait_for(const char *how, pid_t child, int slot) {
  if (child < 0) die(3, "%s: %s", how, errname(child));
  int status;
  while (waitpid(child, &status, __WALL) < 0)
    if (errno != EINTR) die(4, "%s: wait: %s", how, errname(-1));
  if (slot >= 0 && slots[slot] == 0) die(5, "%s: it has not run", how);
  if (!WIFEXITED(status) || WEXITSTATUS(status)) die(6, "%s: status %#x", how, status);
}
static pid_t raw(const char *how) {
  if (strcmp(how, "fork") == 0) return fork();
  if (strcmp(how, "raw") == 0) return (pid_t)syscall(SYS_fork);
  if (strcmp(how, "clone") == 0) return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (strcmp(how, "untraced") == 0) return (pid_t)syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
  struct clone_args args = {.exit_signal = SIGCHLD};
  pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof args);
  if (child < 0 && errno == ENOSYS) return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  return child;
}
static pid_t spawn(void) {
  pid_t child;
  char *args[] = {"true", NULL};
  errno = posix_spawn(&child, "/bin/true", NULL, NULL, args, environ);
  return errno ? -1 : child;
}
static int good;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *spawner(void *unused) {
  for (int i = 0; i < 80; i++) {
    wait_for("storm", spawn(), -1);
    pthread_mutex_lock(&lock);
    good++;
    pthread_mutex_unlock(&lock);
  }
  return unused;
}
static void *idle(void *unused) { return unused; }
static void nothing(int unused) { (void)unused; }
int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int fd = open(argv[1], O_RDWR);
  slots = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (slots == MAP_FAILED) die(2, "%s: %s", argv[1], errname(-1));
  const char *how = argv[2];
  if (strcmp(how, "storm") == 0) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, spawner, NULL);
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    printf("%d spawns\n", good);
    return 0;
  }
  if (strcmp(how, "threads") == 0) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, idle, NULL);
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    printf("8 threads\n");
    return 0;
  }
  if (strcmp(how, "failing") == 0) {
    int refused = 0;
    for (int i = 0; i < 1000; i++) refused += syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0) == -1 && errno == EINVAL;
    pid_t child = fork();
    if (child == 0) _exit(slots[1]++ != 0);
    wait_for(how, child, 1);
    printf("%d refused\n", refused);
    return 0;
  }
  if (strcmp(how, "timer") == 0) {
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval every = {{0, 300}, {0, 300}};
    setitimer(ITIMER_REAL, &every, NULL);
    int made = 0, interrupted = 0;
    for (long i = number(argc, argv, 3, 100); i > 0; i--) {
      pid_t child = fork();
      if (child == 0) _exit(0);
      if (child > 0) made++;
      else if (errno == EINTR) interrupted++;
      else die(3, "fork: %s", errname(-1));
      while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR) {
      }
    }
    printf("%d made, %d EINTR\n", made, interrupted);
    return 0;
  }
  if (strcmp(how, "rate") == 0) {
    long n = number(argc, argv, 3, 1000), start = clock_ms(CLOCK_MONOTONIC);
    for (long i = n; i > 0; i--) {
      pid_t child = fork();
      if (child == 0) _exit(0);
      wait_for(how, child, -1);
    }
    printf("%ld\n", (clock_ms(CLOCK_MONOTONIC) - start) * 1000 / n);
    return 0;
  }
  if (strcmp(how, "traced") == 0) {
    pid_t child = fork();
    if (child == 0) {
      if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) _exit(9);
      pid_t grandchild = fork();
      if (grandchild == 0) _exit(0);
      printf("traced: %s\n", errname(grandchild));
      fflush(stdout);
      if (grandchild > 0) waitpid(grandchild, NULL, 0);
      _exit(0);
    }
    /* Whatever stops it, it goes on. */
    int status;
    while (waitpid(child, &status, __WALL) == child && WIFSTOPPED(status)) ptrace(PTRACE_CONT, child, 0, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 8;
  }
  if (strcmp(how, "untraced") == 0) {
    pid_t child = raw(how);
    if (child == 0) _exit(0);
    printf("untraced: %s\n", errname(child));
    if (child > 0) wait_for(how, child, -1);
    return 0;
  }
  if (strcmp(how, "vfork") == 0) {
    pid_t child = vfork();
    if (child == 0) {
      slots[1]++;
      _exit(0);
    }
    wait_for(how, child, 1);
  } else if (strcmp(how, "spawn") == 0) {
    wait_for(how, spawn(), -1);
  } else {
    pid_t child = raw(how);
    if (child == 0) _exit(slots[1]++ != 0);
    wait_for(how, child, 1);
  }
  printf("%s\n", how);
  return 0;
}
