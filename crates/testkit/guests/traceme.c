/* traceme [PROGRAM]: asks its parent to trace it, raises a signal that it handles, then executes PROGRAM or exits 7. Proves that a box's
 * init lets such a child go on. */
#include "guest.h"
#include <sys/ptrace.h>
static volatile sig_atomic_t got;
static void note(int signal) { got = signal; }
int main(int argc, char **argv) {
  signal(SIGUSR1, note);
  if (ptrace(PTRACE_TRACEME, 0, 0, 0)) return 3;
  raise(SIGUSR1);
  if (got != SIGUSR1) return 4;
  if (argc > 1) execv(argv[1], argv + 1);
  return 7;
}
