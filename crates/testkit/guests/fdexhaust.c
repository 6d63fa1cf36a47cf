/* fdexhaust: opens until refused, prints "OPEN ERRNO" (those it started with included), holds them for MS, exits 0. Proves the limit of open files. */
#include "guest.h"
int main(int argc, char **argv) {
  int last = -1, fd;
  while (last < 100000 && (fd = dup(1)) >= 0) last = fd;
  char text[64];
  int n = snprintf(text, sizeof text, "%d %s\n", last + 1, errname(-1));
  if (argc > 1) usleep(1000 * (useconds_t)atoi(argv[1]));
  return write(1, text, (size_t)n) == n ? 0 : 5;
}
