/* guest noop | calls N | opens N | gate: what runs in the boxes, and says that it did.
 * noop says so. calls and opens say how many nanoseconds a getppid(2), or a pair of open(2) and close(2), took. gate says that it is there, and stays until its input ends. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "noop";
  long n = argc > 2 ? atol(argv[2]) : 0;
  if (!strcmp(what, "noop")) return puts("here") < 0;
  if (!strcmp(what, "gate")) {
    char byte;
    if (write(1, "here\n", 5) != 5) return 1;
    while (read(0, &byte, 1) > 0) {}
    return 0;
  }
  double begun = now();
  for (long i = 0; i < n; i++) {
    if (!strcmp(what, "calls")) {
      syscall(SYS_getppid);
    } else {
      int fd = open(argv[0], O_RDONLY);
      if (fd < 0 || close(fd)) return 2;
    }
  }
  return printf("%.1f\n", (now() - begun) / (double)n) < 0;
}
