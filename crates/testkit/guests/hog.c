/* hog [MIB]: touches memory in 1 MiB steps up to MIB (default without end), exit 3 when the allocator refuses.
 * Proves that growing past the limit is memory_limit also when the program itself ends with a status of its own. */
#include "guest.h"
int main(int argc, char **argv) {
  long most = number(argc, argv, 1, 1L << 30);
  for (long i = 0; i < most; i++) {
    char *p = malloc(MiB);
    if (!p) return 3;
    touch(p, MiB);
  }
  return 0;
}
