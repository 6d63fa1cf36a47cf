/* threadexec PROGRAM [ARG...]: a second thread executes PROGRAM while the first waits. Proves that an exec from a thread that is not
 * the leader keeps the run, its limits and its exit status (T20, P5). */
#include "guest.h"
#include <pthread.h>
static void *run(void *argv) {
  execv(((char **)argv)[0], argv);
  die(9, "execv: %s", errname(-1));
}
int main(int argc, char **argv) {
  if (argc < 2) return 2;
  pthread_t thread;
  pthread_create(&thread, NULL, run, argv + 1);
  pthread_join(thread, NULL);
  return 8;
}
