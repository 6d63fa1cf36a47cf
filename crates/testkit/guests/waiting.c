/* waiting [leave]: one thread calls getppid and says what came of it; meanwhile the first calls getuid a hundred times and says so. With an argument the
 * first then ends the process as soon as the other is in its call. Proves that a decision that takes its time holds up its caller alone. */
#include "guest.h"
#include <pthread.h>
static void say(const char *line) {
  if (write(1, line, strlen(line)) < 0) _exit(5);
}
static volatile int asking;
static void *ask(void *unused) {
  (void)unused;
  char line[64];
  say("asking\n");
  asking = 1;
  long result = syscall(SYS_getppid);
  snprintf(line, sizeof line, "answered %s\n", errname(result));
  say(line);
  return NULL;
}
int main(int argc, char **argv) {
  (void)argv;
  pthread_t thread;
  if (pthread_create(&thread, NULL, ask, NULL)) return 6;
  for (int i = 0; i < 100; i++) syscall(SYS_getuid);
  say("others done\n");
  while (argc > 1 && !asking) usleep(1000);
  if (argc > 1) usleep(50000), _exit(0);
  pthread_join(thread, NULL);
  return 0;
}
