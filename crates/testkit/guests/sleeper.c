/* sleeper [SECONDS]: uses no CPU. Proves that wall and idle limits end what the CPU limit cannot see. */
#include "guest.h"
int main(int argc, char **argv) {
  long seconds = number(argc, argv, 1, 0);
  if (seconds > 0) {
    sleep((unsigned)seconds);
    return 0;
  }
  for (;;) pause();
}
