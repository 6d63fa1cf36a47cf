/* forkhog [N [MIB]]: N children hold MIB each at the same time, then all end well; exit 4 if a child was lost.
 * Proves that memory is summed over the tree: no single process is over the limit. */
#include "guest.h"
int main(int argc, char **argv) {
  long n = number(argc, argv, 1, 4), mib = number(argc, argv, 2, 40);
  int ready[2], go[2];
  if (pipe(ready) || pipe(go)) die(5, "pipe: %s", errname(-1));
  for (long i = 0; i < n; i++) {
    pid_t pid = fork();
    if (pid < 0) die(5, "fork: %s", errname(-1));
    if (pid == 0) {
      close(ready[0]);
      close(go[1]);
      char *p = mmap(NULL, (size_t)(mib * MiB), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (p == MAP_FAILED) _exit(3);
      touch(p, (size_t)(mib * MiB));
      char byte = 1;
      if (write(ready[1], &byte, 1) != 1) _exit(5);
      close(ready[1]);
      if (read(go[0], &byte, 1) != 0) _exit(5);
      _exit(0);
    }
  }
  close(ready[1]);
  close(go[0]);
  char byte;
  long held = 0;
  while (held < n && read(ready[0], &byte, 1) == 1) held++;
  /* Long enough for whoever samples on a busy machine. */
  usleep(1000000);
  close(go[1]);
  int status, lost = 0;
  while (wait(&status) > 0)
    if (status) lost++;
  return held == n && !lost ? 0 : 4;
}
