/* bighole: maps 1 TiB without touching it, exits 0. Proves that the memory limit counts what is used, not what is reserved
 * (a Java, Go or sanitizer start-up), so no RLIMIT_AS stands behind it. */
#include "guest.h"
int main(void) {
  char *p = mmap(NULL, 1L << 40, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) die(3, "mmap: %s", errname(-1));
  touch(p, MiB);
  return 0;
}
