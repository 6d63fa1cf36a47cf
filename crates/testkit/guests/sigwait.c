/* sigwait: says "ready", waits for the first of INT, TERM, HUP, QUIT, WINCH, says its name, ends with 40 + its number.
 * Proves that signals sent to the launcher reach the box. */
#include "guest.h"
int main(void) {
  sigset_t set;
  sigemptyset(&set);
  int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaddset(&set, signals[i]);
  sigprocmask(SIG_BLOCK, &set, NULL);
  puts("ready");
  fflush(stdout);
  int sig;
  if (sigwait(&set, &sig)) return 5;
  puts(sigabbrev_np(sig));
  fflush(stdout);
  return 40 + sig;
}
