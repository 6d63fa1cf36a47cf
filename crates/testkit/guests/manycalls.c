/* manycalls THREADS CALLS: that many threads make that many getppid each, while signals interrupt them and children come and go. Prints how many calls
 * returned something. Proves that no call is lost or seen twice. */
#include "guest.h"
#include <pthread.h>
#include <sys/time.h>
static long calls, answered;
static void note(int sig) { (void)sig; }
static void *work(void *unused) {
  (void)unused;
  long mine = 0;
  for (long i = 0; i < calls; i++) {
    mine += syscall(SYS_getppid) >= 0;
    if (i % 500 == 0 && fork() == 0) _exit(0);
  }
  __atomic_fetch_add(&answered, mine, __ATOMIC_RELAXED);
  return NULL;
}
int main(int argc, char **argv) {
  long threads = number(argc, argv, 1, 4);
  calls = number(argc, argv, 2, 1000);
  struct sigaction act = {.sa_handler = note, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &act, NULL);
  signal(SIGCHLD, SIG_IGN);
  struct itimerval every = {{0, 1000}, {0, 1000}};
  setitimer(ITIMER_REAL, &every, NULL);
  pthread_t ids[256];
  if (threads > 256) return 2;
  for (long i = 0; i < threads; i++)
    if (pthread_create(&ids[i], NULL, work, NULL)) return 6;
  for (long i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  printf("%ld\n", answered);
  return 0;
}
