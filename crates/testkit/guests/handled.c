/* handled: SIGUSR1, SIGALRM, SIGURG, SIGPIPE, SIGXCPU and SIGCHLD arrive and are handled; exit 0 when each was seen.
 * Proves that signals which the program handles itself change nothing (T2, T3). */
#include "guest.h"
static volatile sig_atomic_t seen[65];
static void note(int sig) { seen[sig] = 1; }
int main(void) {
  int signals[] = {SIGUSR1, SIGALRM, SIGURG, SIGPIPE, SIGXCPU, SIGCHLD};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) signal(signals[i], note);
  int pipes[2];
  if (pipe(pipes)) return 5;
  close(pipes[0]);
  if (write(pipes[1], "x", 1) != -1) return 6;
  kill(getpid(), SIGUSR1);
  kill(getpid(), SIGURG);
  kill(getpid(), SIGXCPU);
  if (fork() == 0) _exit(0);
  while (wait(NULL) < 0 && errno == EINTR) {
  }
  ualarm(10000, 0);
  while (!seen[SIGALRM]) usleep(1000);
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
    if (!seen[signals[i]]) return 10 + (int)i;
  return 0;
}
