/* int80: getpid through the 32-bit gate of a 64-bit program. Exit 0 if the kernel answered, 7 if it refused by errno.
 * Proves that the foreign table is closed: killed under every preset (S1, T23). */
#include "guest.h"
int main(void) {
#if defined(__x86_64__)
  int result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
  printf("%d\n", result);
  return result > 0 ? 0 : 7;
#else
  return 77;
#endif
}
