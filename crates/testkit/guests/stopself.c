/* stopself: stops itself; exit 0 if anybody continues it. Proves that a stopped program still meets its wall limit (P3). */
#include "guest.h"
int main(void) {
  raise(SIGSTOP);
  return 0;
}
