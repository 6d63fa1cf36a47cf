/* asks N [PAUSE]: N calls of getppid(2) with a number of its own each, PAUSE microseconds apart; a handler is expected to give that number back. Prints what
 * a call took, in nanoseconds, and how many answers were another's: {"calls","wrong","mean","p50","p99","max"}. Proves that one box's storm is no other's (N23). */
#include "guest.h"
static long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}
static int compare(const void *a, const void *b) {
  long x = *(const long *)a, y = *(const long *)b;
  return (x > y) - (x < y);
}
int main(int argc, char **argv) {
  long n = number(argc, argv, 1, 1000), pause = number(argc, argv, 2, 0), wrong = 0, sum = 0;
  long *took = calloc((size_t)n, sizeof *took), mark = getpid() * 1000003L;
  if (n < 1 || !took) return 2;
  memset(took, 1, (size_t)n * sizeof *took);
  for (long i = 0; i < n; i++) {
    long token = (mark + i) & 0x3fffffff, begun = now();
    wrong += syscall(SYS_getppid, token) != token;
    took[i] = now() - begun;
    if (pause) usleep((useconds_t)pause);
  }
  for (long i = 0; i < n; i++) sum += took[i];
  qsort(took, (size_t)n, sizeof *took, compare);
  printf("{\"calls\":%ld,\"wrong\":%ld,\"mean\":%ld,\"p50\":%ld,\"p99\":%ld,\"max\":%ld}\n", n, wrong, sum / n, took[n / 2],
         took[n - 1 - n / 100], took[n - 1]);
  return 0;
}
