/* forklimit [CODE]: forks sleeping children until one is refused (at most 5,000), prints "TASKS ERRNO", ends them, exits CODE (0).
 * Proves that a fork at the limit is answered EAGAIN, and that the limit becomes the verdict only when the run ends otherwise than ok. */
#include "guest.h"
int main(int argc, char **argv) {
  static pid_t pids[5000];
  int made = 0;
  pid_t pid = 0;
  while (made < 5000 && (pid = fork()) > 0) pids[made++] = pid;
  if (pid == 0 && made < 5000)
    for (;;) pause();
  printf("%d %s\n", made + 1, errname(pid));
  fflush(stdout);
  for (int i = 0; i < made; i++) kill(pids[i], SIGKILL);
  for (int i = 0; i < made; i++) waitpid(pids[i], NULL, 0);
  return (int)number(argc, argv, 1, 0);
}
