/* daemonize close|hold [MARK]: leaves a process behind (fork, setsid, fork) that never ends, with its output closed or held open.
 * Exit 0 once the daemon runs. Proves that what is left behind is killed and delays nobody (E1, E2, E3, J9). */
#include "guest.h"
int main(int argc, char **argv) {
  int hold = argc > 1 && !strcmp(argv[1], "hold"), ready[2];
  if (pipe(ready)) return 5;
  pid_t child = fork();
  if (child < 0) return 6;
  if (child == 0) {
    setsid();
    if (fork()) _exit(0);
    for (int sig = 1; sig < 65; sig++) signal(sig, SIG_IGN);
    if (!hold)
      for (int fd = 0; fd < 3; fd++) close(fd);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  waitpid(child, NULL, 0);
  char byte;
  return read(ready[0], &byte, 1) == 1 ? 0 : 7;
}
