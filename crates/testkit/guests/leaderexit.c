/* leaderexit [CODE]: the first thread ends, the second works on and ends the program with CODE. Proves that the run lasts until the
 * thread group is gone, and that the status is the group's (P12). */
#include "guest.h"
#include <pthread.h>
static int code;
static void *work(void *unused) {
  usleep(100000);
  puts("done");
  fflush(stdout);
  _exit(code);
  return unused;
}
int main(int argc, char **argv) {
  code = (int)number(argc, argv, 1, 0);
  pthread_t thread;
  pthread_create(&thread, NULL, work, NULL);
  syscall(SYS_exit, 0);
}
