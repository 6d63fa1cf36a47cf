/* tick ROUNDS: a little CPU every 20 ms, then exit 0. Proves that the idle limit leaves a program alone that works now and then. */
#include "guest.h"
int main(int argc, char **argv) {
  for (long i = number(argc, argv, 1, 50); i > 0; i--) {
    burn(3);
    usleep(20000);
  }
  return 0;
}
