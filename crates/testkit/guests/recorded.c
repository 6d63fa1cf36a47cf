/* recorded WHAT: what recorders are apt to lose. Each ends with a call that nothing before it makes: the proof that it was followed to there.
 *   threads   64 threads run, and the last of them executes this program again, which asks sysinfo
 *   nested    a child makes a user namespace, and its own child, in there, asks getpgid
 *   unknown   a number that no kernel has, then getpriority
 *   families  sockets of three families
 *   words     asks personality with a word of 64 ones, and lseek for the end
 *   orphan    a grandchild that outlives its parents makes a directory (path in argv[2]) after a while */
#include "guest.h"
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <sys/wait.h>
enum { THREADS = 64 };
static pthread_barrier_t all;
static void *run(void *last) {
  pthread_barrier_wait(&all);
  if (last) {
    execl("/proc/self/exe", "recorded", "again", NULL);
    die(9, "execl: %s", errname(-1));
  }
  for (;;) pause();
}
int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "threads")) {
    pthread_barrier_init(&all, NULL, THREADS);
    pthread_t thread;
    for (int i = 0; i < THREADS; i++)
      if (pthread_create(&thread, NULL, run, i == THREADS - 1 ? "last" : NULL)) return 8;
    for (;;) pause();
  }
  if (!strcmp(what, "again")) {
    struct sysinfo info;
    return sysinfo(&info) ? 7 : 0;
  }
  if (!strcmp(what, "nested")) {
    if (!fork()) {
      /* Refused or not: it is asked for. */
      if (unshare(CLONE_NEWUSER)) errname(-1);
      if (!fork()) _exit(getpgid(0) < 0 ? 6 : 0);
      int status;
      wait(&status);
      _exit(WEXITSTATUS(status));
    }
    int status;
    wait(&status);
    return WEXITSTATUS(status);
  }
  if (!strcmp(what, "unknown")) {
    syscall(1000, 1, 2, 3);
    return getpriority(PRIO_PROCESS, 0) < -20 ? 5 : 0;
  }
  if (!strcmp(what, "families")) {
    socket(AF_UNIX, SOCK_STREAM, 0);
    socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socket(AF_INET6, SOCK_DGRAM, 0);
    return 0;
  }
  if (!strcmp(what, "words")) {
    syscall(SYS_personality, -1L);
    syscall(SYS_lseek, -1L, 0L, (long)SEEK_END);
    return 0;
  }
  if (!strcmp(what, "orphan") && argc > 2) {
    if (fork()) return 0;
    if (fork()) return 0;
    usleep(200 * 1000);
    return mkdir(argv[2], 0700) ? 4 : 0;
  }
  return 2;
}
