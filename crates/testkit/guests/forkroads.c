/* forkroads ROAD [ROUNDS]: makes children that stay by fork, vfork, clone, clone3 or thread (raw calls, no C library in between) until one is
 * refused, prints "TASKS ERRNO"; then ends one, waits for it and makes another, ROUNDS times (10), and prints "again N" for those that
 * succeeded. Proves that the limit is exact on every road, and that a task that has been waited for makes room at once. */
#include "guest.h"
#include <linux/sched.h>
#include <sched.h>

static char stacks[512][16384] __attribute__((aligned(16)));
static volatile int ends[512];

static int stay(void *at) {
  volatile int *end = at;
  while (!*end) {
    struct timespec t = {0, 1000000};
    nanosleep(&t, NULL);
  }
  return 0;
}
/* The child of a vfork shares the stack: it must not return from where it was made. */
static long by_vfork(void) {
  /* A vforked child that stays would hold its parent: a helper makes it, and ends. */
  int ready[2];
  if (pipe(ready)) return -1;
  long pid = vfork();
  if (pid == 0) {
    char *arguments[] = {"forkroads", "stay", NULL};
    execv("/proc/self/exe", arguments);
    _exit(127);
  }
  close(ready[0]);
  close(ready[1]);
  return pid;
}
static long make(const char *road, int slot) {
  ends[slot] = 0;
  if (!strcmp(road, "vfork")) return by_vfork();
  if (!strcmp(road, "thread")) {
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    return clone(stay, stacks[slot] + sizeof stacks[slot], flags, (void *)&ends[slot]);
  }
  long pid;
  if (!strcmp(road, "fork")) pid = syscall(SYS_fork);
  else if (!strcmp(road, "clone")) pid = syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
  else {
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    /* Where it is absent, as a C library would. */
    if (pid < 0 && errno == ENOSYS) pid = syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
  }
  if (pid == 0)
    for (;;) pause();
  return pid;
}

int main(int argc, char **argv) {
  const char *road = argc > 1 ? argv[1] : "fork";
  long rounds = number(argc, argv, 2, 10);
  if (!strcmp(road, "stay"))
    for (;;) pause();
  static long pids[512];
  int made = 0;
  long pid = 0;
  while (made < 511 && (pid = make(road, made)) > 0) pids[made++] = pid;
  printf("%d %s\n", made + 1, errname(pid));
  fflush(stdout);
  int again = 0;
  if (strcmp(road, "thread"))
    for (long round = 0; round < rounds; round++) {
      int at = (int)(round % made);
      kill((pid_t)pids[at], SIGKILL);
      if (waitpid((pid_t)pids[at], NULL, 0) < 0) die(4, "waitpid: %s", errname(-1));
      pids[at] = make(road, at);
      if (pids[at] > 0) again++;
      if (pids[at] > 0 && make(road, 511) > 0) die(5, "one too many");
      if (pids[at] < 0) break;
    }
  printf("again %d\n", again);
  return 0;
}
