/* lifecycle WAY: one of the ways in which tasks are made, stopped and ended; exit 0 if the program itself saw what it sees untraced.
 * fork, vfork, thread, signal, trap, stop, killed. Proves that a tracer tells each kind of stop apart, and that the program cannot
 * tell (T2, T4, P2, P6). */
#include "guest.h"
#include <pthread.h>
static void *thread(void *unused) {
  syscall(SYS_getppid);
  return unused;
}
static volatile int seen;
static void handler(int signal, siginfo_t *info, void *unused) {
  (void)unused;
  seen = signal == SIGUSR1 ? info->si_value.sival_int + (info->si_code == SI_QUEUE && info->si_pid == getpid()) : info->si_code;
}
int main(int argc, char **argv) {
  const char *way = argc > 1 ? argv[1] : "";
  int status;
  if (!strcmp(way, "fork")) {
    pid_t child = fork();
    if (!child) _exit(3);
    return waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 3;
  }
  if (!strcmp(way, "vfork")) {
    pid_t child = vfork();
    if (!child) {
      execl("/bin/true", "true", (char *)NULL);
      _exit(4);
    }
    return waitpid(child, &status, 0) != child || status != 0;
  }
  if (!strcmp(way, "thread")) {
    pthread_t id;
    return pthread_create(&id, NULL, thread, NULL) || pthread_join(id, NULL);
  }
  if (!strcmp(way, "signal") || !strcmp(way, "trap")) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGTRAP, &action, NULL);
    signal(SIGURG, SIG_IGN);
    raise(SIGURG);
    if (!strcmp(way, "trap")) {
      raise(SIGTRAP);
      return seen != SI_TKILL;
    }
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 41});
    return seen != 42;
  }
  int seen[2];
  if (pipe(seen)) return 9;
  pid_t child = fork();
  if (!strcmp(way, "stop")) {
    if (!child) {
      char byte;
      raise(SIGSTOP);
      /* Not over before its parent has seen that it goes on. */
      _exit(read(seen[0], &byte, 1) == 1 ? 5 : 6);
    }
    if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP) return 1;
    kill(child, SIGCONT);
    if (waitpid(child, &status, WCONTINUED) != child || !WIFCONTINUED(status)) return 2;
    if (write(seen[1], "", 1) != 1) return 3;
    return waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 5;
  }
  if (!strcmp(way, "killed")) {
    if (!child)
      for (;;) syscall(SYS_getppid);
    usleep(1000);
    kill(child, SIGKILL);
    return waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL;
  }
  return 9;
}
