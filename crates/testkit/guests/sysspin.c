/* sysspin: CPU almost wholly in the kernel. Proves that system time counts against the CPU limit (T7). */
#include "guest.h"
int main(void) {
  for (;;) {
    char *p = mmap(NULL, 8 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED) die(3, "mmap: %s", errname(-1));
    munmap(p, 8 * MiB);
  }
}
