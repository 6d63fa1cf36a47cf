/* x32: getpid with the x32 bit in its number. Prints the errno's name; exit 0 if the call was answered, 7 if refused.
 * Proves that the x32 numbers are closed also where the kernel would know them (S2). */
#include "guest.h"
int main(void) {
  long result = syscall(0x40000000L | 39);
  puts(errname(result));
  return result > 0 ? 0 : 7;
}
