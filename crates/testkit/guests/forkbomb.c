/* forkbomb: every process forks for ever. Proves that the process limit holds, and that the tree is killed whole (R1, R3).
 * Outside a box it ends by itself: a ten-thousandth process is never made. */
#include "guest.h"
int main(void) {
  long *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (count == MAP_FAILED) return 5;
  for (;;)
    if (__atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST) < 10000) fork();
}
