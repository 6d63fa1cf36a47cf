/* pair [restart]: two threads call creat("/dev/null"), which a handler is expected to defer; then SIGUSR1 comes for the process, whose handler has SA_RESTART if
 * asked for. It comes when both are seen to wait. Prints what each thread got. Proves that a signal of the process interrupts nobody whom the kernel has not told of it. */
#include "guest.h"
#include <pthread.h>
static volatile sig_atomic_t signals;
/* In memory that the child which sends the signal shares. */
static volatile pid_t *second_tid;
static void note(int sig) { signals += sig > 0; }
static void *ask(void *name) {
  if (*(char *)name == 's') *second_tid = (pid_t)syscall(SYS_gettid);
  long got = syscall(SYS_creat, "/dev/null", 0600);
  if (got < 0) printf("%s %s\n", (char *)name, errname(got));
  else printf("%s %ld\n", (char *)name, got);
  fflush(stdout);
  return NULL;
}
/* The state letter of a task of this process; 0 if it cannot be read. */
static char state(pid_t process, pid_t tid) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%d/task/%d/stat", process, tid);
  int fd = open(path, O_RDONLY);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return 0;
  text[n] = 0;
  char *end = strrchr(text, ')');
  return end && end[1] ? end[2] : 0;
}
/* Both have slept for a while: there is nothing else here that they would wait for. */
static void await(pid_t process) {
  for (int asleep = 0; asleep < 5; usleep(20000)) {
    char first = state(process, process), second = *second_tid ? state(process, *second_tid) : 0;
    if (!first) return;
    asleep = strchr("SD", first) && second && strchr("SD", second) ? asleep + 1 : 0;
  }
}
int main(int argc, char **argv) {
  struct sigaction act = {.sa_handler = note, .sa_flags = argc > 1 && !strcmp(argv[1], "restart") ? SA_RESTART : 0};
  sigaction(SIGUSR1, &act, NULL);
  second_tid = mmap(NULL, sizeof *second_tid, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (second_tid == MAP_FAILED) return 5;
  pid_t process = getpid();
  pthread_t second;
  if (pthread_create(&second, NULL, ask, "second")) return 6;
  if (fork() == 0) {
    usleep(100000);
    await(process);
    kill(process, SIGUSR1);
    _exit(0);
  }
  ask("first");
  pthread_join(second, NULL);
  printf("signals %d\n", (int)signals);
  return 0;
}
