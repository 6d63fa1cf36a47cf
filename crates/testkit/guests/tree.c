/* tree MARK [STOPPED]: says "ready", then keeps making processes that try to get away: new sessions, double forks, ignored signals, stopped
 * ones, threads that fork. Without end, never more than some thirty at a time. Proves that nothing survives the box whenever its supervisor
 * is killed; MARK in the arguments is how survivors are found. */
#include "guest.h"
#include <sys/prctl.h>
static void away(int kind) {
  if (fork()) return;
  if (kind & 1) setsid();
  if (kind & 2 && fork()) _exit(0);
  if (kind & 4)
    for (int sig = 1; sig < 65; sig++) signal(sig, SIG_IGN);
  if (kind & 8) {
    prctl(PR_SET_PDEATHSIG, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
  if (kind & 16) raise(SIGSTOP);
  /* They end after a while outside a box, so that trying this guest by hand leaves nothing for long. */
  alarm(0);
  for (int i = 0; i < 200; i++) usleep(100000);
  _exit(0);
}
int main(int argc, char **argv) {
  int stopped = argc > 2 && argv[2][0];
  if (write(1, "ready\n", 6) != 6) return 5;
  for (int round = 0;; round++) {
    if (round < 30) away(round % 16 | (stopped && round % 3 == 0 ? 16 : 0));
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    usleep(1000);
  }
}
