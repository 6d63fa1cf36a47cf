/* napper MS: says "ready", sleeps MS milliseconds in one nanosleep, and prints its result and whether it slept long enough. Exit 0 if
 * both are well. Proves that attaching and detaching disturbs a blocking call no more than signal(7) allows. */
#include "guest.h"
int main(int argc, char **argv) {
  long ms = number(argc, argv, 1, 300);
  puts("ready");
  fflush(stdout);
  long start = clock_ms(CLOCK_MONOTONIC);
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  long result = syscall(SYS_nanosleep, &time, NULL);
  int long_enough = clock_ms(CLOCK_MONOTONIC) - start >= ms;
  printf("%s %s\n", errname(result), long_enough ? "long" : "short");
  return result || !long_enough;
}
