/* stopstorm ROUNDS: a child with two threads is stopped and continued ROUNDS times as fast as it goes, the last time continued, then
 * asked to end. Exit 0 if it did, by its own handler. Proves that no stop and no continue is lost (P1, P2). */
#include "guest.h"
#include <pthread.h>
static void finish(int unused) {
  (void)unused;
  _exit(9);
}
static void *work(void *unused) {
  for (;;) syscall(SYS_getppid);
  return unused;
}
int main(int argc, char **argv) {
  long rounds = number(argc, argv, 1, 100);
  int ready[2];
  char byte;
  if (pipe(ready)) return 2;
  pid_t child = fork();
  if (!child) {
    pthread_t thread;
    signal(SIGUSR1, finish);
    pthread_create(&thread, NULL, work, NULL);
    if (write(ready[1], "r", 1) != 1) _exit(3);
    for (;;) pause();
  }
  if (read(ready[0], &byte, 1) != 1) return 4;
  for (long i = 0; i < rounds; i++) {
    kill(child, i % 2 ? SIGTSTP : SIGSTOP);
    if (i % 3 == 0) syscall(SYS_getppid);
    kill(child, SIGCONT);
  }
  kill(child, SIGUSR1);
  int status;
  if (waitpid(child, &status, 0) != child) return 5;
  return !WIFEXITED(status) || WEXITSTATUS(status) != 9;
}
