/* shortlived COUNT HOW: makes COUNT children that end at once, at most four at a time, and never hears of some: HOW is wait (waits for each),
 * nohang (waits with WNOHANG until it has them), ignored (SIGCHLD is ignored: the kernel takes them), crash (they die of SIGSEGV),
 * orphan (each makes a grandchild and ends first), thread (threads), alarm (wait, under a signal every
 * millisecond without SA_RESTART). Then counts how many stay possible at once, and prints "COUNT AT_ONCE ERRNO".
 * Proves that nothing drifts: the limit is the same after them as before. */
#include "guest.h"
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/time.h>

static void *nothing(void *unused) { return unused; }
static void heard(int sig) { (void)sig; }
static void retry(void) {
  struct timespec t = {0, 200000};
  nanosleep(&t, NULL);
}

int main(int argc, char **argv) {
  long count = number(argc, argv, 1, 1000), done = 0, alive = 0;
  const char *how = argc > 2 ? argv[2] : "wait";
  if (!strcmp(how, "ignored")) signal(SIGCHLD, SIG_IGN);
  if (!strcmp(how, "alarm")) {
    struct sigaction act = {.sa_handler = heard};
    struct itimerval every = {{0, 1000}, {0, 1000}};
    sigaction(SIGALRM, &act, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
  }
  if (!strcmp(how, "orphan")) prctl(PR_SET_CHILD_SUBREAPER, 1);
  while (done < count) {
    if (!strcmp(how, "thread")) {
      pthread_t thread;
      int error = pthread_create(&thread, NULL, nothing, NULL);
      if (error == EAGAIN) {
        retry();
        continue;
      }
      pthread_join(thread, NULL);
      done++;
      continue;
    }
    pid_t pid = fork();
    if (pid < 0) {
      /* Others still have to be taken: that is no drift. */
      while (waitpid(-1, NULL, WNOHANG) > 0) alive--;
      retry();
      continue;
    }
    if (pid == 0) {
      if (!strcmp(how, "crash")) raise(SIGSEGV);
      if (!strcmp(how, "orphan")) _exit(fork() == 0 ? 0 : 0);
      _exit(0);
    }
    done++;
    alive++;
    if (!strcmp(how, "nohang")) {
      while (waitpid(-1, NULL, WNOHANG) > 0) alive--;
      while (alive >= 4)
        if (waitpid(-1, NULL, WNOHANG) > 0) alive--;
    } else if (strcmp(how, "ignored"))
      while (waitpid(-1, NULL, alive >= 4 ? 0 : WNOHANG) > 0) alive--;
  }
  setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
  }
  long at_once = 0;
  pid_t pid = 0;
  while (at_once < 1000 && (pid = fork()) > 0) at_once++;
  if (pid == 0)
    for (;;) pause();
  printf("%ld %ld %s\n", done, at_once + 1, errname(pid));
  return 0;
}
