/* pair [restart]: two threads call creat("/dev/null"), which a handler is expected to defer; then SIGUSR1 comes for the process, whose handler has SA_RESTART if
 * asked for. Prints what each thread got. Proves that a signal of the process interrupts nobody whom the kernel has not told of it. */
#include "guest.h"
#include <pthread.h>
static volatile sig_atomic_t signals;
static void note(int sig) { signals += sig > 0; }
static void *ask(void *name) {
  long got = syscall(SYS_creat, "/dev/null", 0600);
  if (got < 0) printf("%s %s\n", (char *)name, errname(got));
  else printf("%s %ld\n", (char *)name, got);
  fflush(stdout);
  return NULL;
}
int main(int argc, char **argv) {
  struct sigaction act = {.sa_handler = note, .sa_flags = argc > 1 && !strcmp(argv[1], "restart") ? SA_RESTART : 0};
  sigaction(SIGUSR1, &act, NULL);
  pid_t process = getpid();
  pthread_t second;
  if (pthread_create(&second, NULL, ask, "second")) return 6;
  if (fork() == 0) {
    usleep(100000);
    kill(process, SIGUSR1);
    _exit(0);
  }
  ask("first");
  pthread_join(second, NULL);
  printf("signals %d\n", (int)signals);
  return 0;
}
