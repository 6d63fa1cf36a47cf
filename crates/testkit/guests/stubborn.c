/* stubborn: says "ready", answers every SIGINT with a line and ends for none of INT, TERM, HUP, QUIT.
 * Proves that a second SIGINT kills the box. */
#include "guest.h"
static void line(int sig) {
  (void)sig;
  if (write(1, "again\n", 6) != 6) _exit(5);
}
int main(void) {
  signal(SIGINT, line);
  signal(SIGTERM, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGQUIT, SIG_IGN);
  if (write(1, "ready\n", 6) != 6) return 5;
  for (;;) pause();
}
