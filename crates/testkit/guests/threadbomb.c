/* threadbomb: threads until one is refused, prints how many ran, exit 8; at most 5,000. Proves that threads count as tasks (R2). */
#include "guest.h"
#include <pthread.h>
static void *idle(void *unused) {
  for (;;) pause();
  return unused;
}
int main(void) {
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 32768);
  for (int made = 0; made < 5000; made++) {
    pthread_t thread;
    int error = pthread_create(&thread, &attr, idle, NULL);
    if (error) {
      errno = error;
      printf("%d %s\n", made + 1, errname(-1));
      fflush(stdout);
      _exit(8);
    }
  }
  puts("5001 OK");
  fflush(stdout);
  _exit(0);
}
