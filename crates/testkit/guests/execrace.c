/* execrace: thirty threads that pause, made while three others execute `sh -c 'exit 42'` at once. One of them wins; the makers and the made are
 * killed in the middle of a clone. Ends with 42. */
#include "guest.h"
#include <pthread.h>
static void *idle(void *unused) {
  pause();
  return unused;
}
static void *run(void *unused) {
  execl("/bin/sh", "sh", "-c", "exit 42", (char *)NULL);
  return unused;
}
int main(void) {
  pthread_t thread;
  for (int i = 0; i < 30; i++) pthread_create(&thread, NULL, idle, NULL);
  for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, run, NULL);
  for (;;) pause();
}
