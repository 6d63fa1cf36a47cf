/* execstorm COUNT: executes itself COUNT times from a thread that is not the leader, while other threads make calls and children
 * stop it, continue it, vfork and are killed. Exit 42. Proves that a tracer survives the collapse of thread ids (T20, P5). */
#include "guest.h"
#include <pthread.h>
static char **args;
static void *noise(void *unused) {
  for (;;) syscall(SYS_getppid);
  return unused;
}
static void *run(void *unused) {
  execv("/proc/self/exe", args);
  die(9, "execv: %s", errname(-1));
  return unused;
}
int main(int argc, char **argv) {
  long left = number(argc, argv, 1, 0);
  if (left == 0) _exit(42);
  /* Children are nobody's to wait for; the disposition outlives the exec. */
  signal(SIGCHLD, SIG_IGN);
  pid_t self = getpid();
  switch (left % 4) {
  case 0:
    if (!fork()) {
      kill(self, SIGSTOP);
      kill(self, SIGCONT);
      /* A traced thread that is killed with a SIGSTOP in its hands puts it back into the process's queue (ptrace_signal() in the
       * kernel), now behind the SIGCONT. No tracer can help that, so it is continued once more. */
      usleep(2000);
      kill(self, SIGCONT);
      _exit(0);
    }
    break;
  case 1:
    if (!vfork()) _exit(0);
    break;
  case 2: {
    pid_t victim = fork();
    if (!victim)
      for (;;) pause();
    kill(victim, SIGKILL);
    break;
  }
  }
  char count[24];
  snprintf(count, sizeof count, "%ld", left - 1);
  args = (char *[]){argv[0], count, NULL};
  pthread_t thread;
  for (int i = 0; i < 2; i++) pthread_create(&thread, NULL, noise, NULL);
  pthread_create(&thread, NULL, run, NULL);
  pthread_join(thread, NULL);
  return 8;
}
