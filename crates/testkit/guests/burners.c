/* burners unreaped|killed|ignored|nocldwait|orphan [MS]: one child after the other burns 20 ms, or MS; nobody waits for it, or it is killed in the middle, or
 * SIGCHLD is ignored, or SA_NOCLDWAIT is set, or it is double-forked. Without end. Proves that CPU of children that nobody reaps counts (R13). */
#include "guest.h"
int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "unreaped";
  long ms = number(argc, argv, 2, 20);
  if (!strcmp(mode, "ignored")) signal(SIGCHLD, SIG_IGN);
  if (!strcmp(mode, "nocldwait")) sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT}, NULL);
  for (int made = 0;; made++) {
    int done[2];
    if (pipe2(done, O_CLOEXEC)) return 5;
    pid_t pid = fork();
    if (pid < 0) {
      /* The dead that nobody reaps fill the limit: take the oldest one away and go on. */
      close(done[0]);
      close(done[1]);
      if (waitpid(-1, NULL, WNOHANG) < 0) usleep(1000);
      continue;
    }
    if (pid == 0) {
      if (!strcmp(mode, "orphan") && fork()) _exit(0);
      close(done[0]);
      burn(!strcmp(mode, "killed") ? 100000 : ms);
      _exit(0);
    }
    close(done[1]);
    if (!strcmp(mode, "killed")) {
      usleep(25000);
      kill(pid, SIGKILL);
      waitpid(pid, NULL, 0);
    }
    char byte;
    if (read(done[0], &byte, 1) < 0) return 6;
    close(done[0]);
    if (!strcmp(mode, "orphan")) waitpid(pid, NULL, 0);
  }
}
