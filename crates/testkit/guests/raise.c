/* raise SIGNAL: sends itself SIGNAL with its default action; exit 64 if it lives on.
 * Proves that a signal the program sent to itself (SIGKILL, SIGXCPU, SIGSYS included) is told apart from ours (J10). */
#include "guest.h"
int main(int argc, char **argv) {
  int sig = (int)number(argc, argv, 1, SIGKILL);
  sigset_t all;
  sigfillset(&all);
  signal(sig, SIG_DFL);
  sigprocmask(SIG_UNBLOCK, &all, NULL);
  kill(getpid(), sig);
  return 64;
}
