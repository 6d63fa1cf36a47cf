/* orphans ROUNDS: in each round threads fork and vfork in a loop while another ends their process, by exit_group(2) or SIGKILL, or executes this program anew;
 * so many of them are killed in the very call, with their children just made. Each child ends at once, and all are waited for before the next round. Says how
 * many rounds there were. */
#include "guest.h"
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
static _Atomic int made;
static int child(void *unused) {
  (void)unused;
  _exit(0);
}
static void *maker(void *vforks) {
  char stack[16384] __attribute__((aligned(64)));
  for (;;) {
    pid_t pid;
    if (vforks)
      pid = clone(child, stack + sizeof stack - 64, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    else if ((pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)) == 0)
      _exit(0);
    if (pid > 0)
      made++;
    else
      usleep(100);
  }
  return NULL;
}
/* Until they have made some, and a moment more that is another in each round. */
static void make(int round) {
  pthread_t thread;
  made = 0;
  for (int i = 0; i < 2; i++)
    if (pthread_create(&thread, NULL, maker, i > 0 && round % 2 ? "" : NULL)) die(3, "pthread_create");
  while (made < 3) sched_yield();
  usleep((useconds_t)(round * 37 % 200));
}
int main(int argc, char **argv) {
  int rounds = (int)number(argc, argv, 1, 1), round = (int)number(argc, argv, 2, 0);
  alarm(200);
  while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR);
  if (errno != ECHILD) die(4, "waitpid");
  if (round == rounds) {
    printf("%d rounds\n", round);
    return 0;
  }
  /* Also those whose parent is killed. */
  if (prctl(PR_SET_CHILD_SUBREAPER, 1)) die(5, "prctl");
  pid_t family = fork();
  if (family == 0) {
    make(round);
    if (round % 3 == 0) kill(getpid(), SIGKILL);
    _exit(0);
  }
  make(round);
  char total[16], next[16];
  snprintf(total, sizeof total, "%d", rounds);
  snprintf(next, sizeof next, "%d", round + 1);
  execl("/proc/self/exe", argv[0], total, next, NULL);
  die(6, "execl");
}
