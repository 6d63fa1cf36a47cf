/* forkspin [N]: N forked spinners, the parent waits. Proves that CPU is summed over the tree. */
#include "guest.h"
int main(int argc, char **argv) {
  for (long i = number(argc, argv, 1, 4); i > 0; i--)
    if (fork() == 0)
      for (volatile unsigned long j = 0;; j++) {
      }
  while (wait(NULL) > 0 || errno == EINTR) {
  }
  return 0;
}
