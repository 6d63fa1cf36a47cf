/* fdexhaust: opens until refused, prints "OPEN ERRNO" (those it started with included), exits 0. Proves the limit of open files. */
#include "guest.h"
int main(void) {
  int last = -1, fd;
  while (last < 100000 && (fd = dup(1)) >= 0) last = fd;
  char text[64];
  int n = snprintf(text, sizeof text, "%d %s\n", last + 1, errname(-1));
  return write(1, text, (size_t)n) == n ? 0 : 5;
}
