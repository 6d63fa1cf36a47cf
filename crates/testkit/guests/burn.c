/* burn MS: uses MS of CPU and exits 0. Proves that the figures in the report are true. */
#include "guest.h"
int main(int argc, char **argv) {
  burn(number(argc, argv, 1, 100));
  return 0;
}
