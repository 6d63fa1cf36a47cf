/* callcount THREADS CALLS: each thread makes CALLS calls of getpriority(0, 0), which nothing else here uses, and counts them itself.
 * Prints the sum. Proves that a tracer loses no event and doubles none. */
#include "guest.h"
#include <pthread.h>
static long calls;
static _Atomic long sum;
static void *work(void *unused) {
  long done = 0;
  for (long i = 0; i < calls; i++) done += syscall(SYS_getpriority, 0, 0) > 0;
  sum += done;
  return unused;
}
int main(int argc, char **argv) {
  long threads = number(argc, argv, 1, 1);
  calls = number(argc, argv, 2, 1);
  pthread_t *ids = calloc((size_t)threads, sizeof *ids);
  for (long i = 0; i < threads; i++)
    if (pthread_create(&ids[i], NULL, work, NULL)) return 1;
  for (long i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  printf("%ld\n", sum);
  return 0;
}
