/* xcpu: ignores SIGXCPU (and all else it can) and spins. Proves that the CPU limit does not rest on RLIMIT_CPU's signal (R15). */
#include "guest.h"
int main(void) {
  for (int sig = 1; sig < 65; sig++) signal(sig, SIG_IGN);
  for (volatile unsigned long i = 0;; i++) {
  }
}
