/* threads COUNT: COUNT threads beside the first, all of which make a call each millisecond; says "ready" when they all run. Ends when it
 * is killed. */
#include "guest.h"
#include <pthread.h>
static _Atomic long running;
static void *work(void *unused) {
  running++;
  for (;;) usleep(1000);
  return unused;
}
int main(int argc, char **argv) {
  long count = number(argc, argv, 1, 1);
  pthread_t thread;
  for (long i = 0; i < count; i++)
    if (pthread_create(&thread, NULL, work, NULL)) return 1;
  while (running < count) usleep(1000);
  puts("ready");
  fflush(stdout);
  work(NULL);
}
