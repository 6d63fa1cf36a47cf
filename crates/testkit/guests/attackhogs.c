/* attackhogs WHAT [DIR [MOST]]: takes of one kind of thing until there is none, "WHAT ERRNO" and how many on a line "count N"; or MOST of them, "WHAT OK". Proves R8, R9, R18, R27 and
 * others: everything is either charged to the box or has a limit.
 *   files DIR | directories DIR   empty ones in DIR
 *   pipes                         pipes of 1 MiB, full
 *   sockets                       pairs with full buffers
 *   inotify                       a watch on each of many files
 *   epoll                         instances that watch each other, as deep as the kernel lets
 *   timers | signals              POSIX timers; queued signals
 *   areas                         mappings of one page
 *   denied N                      N refused calls, each with other arguments, now and then by another process
 *   output N                      N bytes, for a reader that may be gone
 *   environment                   an exec with as many arguments as go */
#include "guest.h"
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
static long count, most = -1;
#define UNTIL(call) \
  do { \
    long result = 0; \
    while (count != most && (result = (call)) >= 0) count++; \
    way(what, result); \
    printf("count %ld\n", count); \
  } while (0)
static long make(const char *dir, int directory) {
  char name[4096];
  snprintf(name, sizeof name, "%s/%ld", dir, count);
  if (directory) return mkdir(name, 0700);
  int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (fd >= 0) close(fd);
  return fd;
}
static long one_pipe(void) {
  static char block[65536];
  int p[2];
  if (pipe2(p, O_NONBLOCK)) return -1;
  fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
  while (write(p[1], block, sizeof block) > 0) {
  }
  return 0;
}
static long one_pair(void) {
  static char block[65536];
  int p[2], room = 1 << 24;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p)) return -1;
  setsockopt(p[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  while (write(p[0], block, sizeof block) > 0) {
  }
  return 0;
}
static long one_watch(void) {
  static int fd = -1;
  char name[64];
  if (fd < 0) fd = inotify_init();
  snprintf(name, sizeof name, "/tmp/%ld", count);
  int file = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (file < 0) return -1;
  close(file);
  return inotify_add_watch(fd, name, IN_ALL_EVENTS);
}
static long one_nest(void) {
  static int last = -1;
  int fd = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  if (fd >= 0 && last >= 0 && epoll_ctl(fd, EPOLL_CTL_ADD, last, &event)) return -1;
  last = fd;
  return fd;
}
static long one_timer(void) {
  timer_t t;
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  return timer_create(CLOCK_MONOTONIC, &event, &t);
}
int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "", *dir = argc > 2 ? argv[2] : "/tmp";
  most = number(argc, argv, 3, -1);
  if (!strcmp(what, "files")) UNTIL(make(dir, 0));
  else if (!strcmp(what, "directories")) UNTIL(make(dir, 1));
  else if (!strcmp(what, "pipes")) UNTIL(one_pipe());
  else if (!strcmp(what, "sockets")) UNTIL(one_pair());
  else if (!strcmp(what, "inotify")) UNTIL(one_watch());
  else if (!strcmp(what, "epoll")) UNTIL(one_nest());
  else if (!strcmp(what, "timers")) UNTIL(one_timer());
  else if (!strcmp(what, "signals")) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    UNTIL(sigqueue(getpid(), SIGRTMIN, (union sigval){0}));
  } else if (!strcmp(what, "areas")) {
    UNTIL(mmap(NULL, 4096, count & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
  } else if (!strcmp(what, "denied")) {
    long n = number(argc, argv, 2, 1000);
    for (long i = 0; i < n; i++) {
      syscall(SYS_keyctl, i, i * 7, i * 13);
      if (i % 100) continue;
      pid_t pid = fork();
      if (pid == 0) _exit((int)syscall(SYS_add_key, i) & 1);
      if (pid > 0) waitpid(pid, NULL, 0);
    }
    printf("count %ld\n", n);
  } else if (!strcmp(what, "output")) {
    static char block[65536];
    signal(SIGPIPE, SIG_IGN);
    for (long left = number(argc, argv, 2, 1 << 20); left > 0;) {
      ssize_t n = write(1, block, sizeof block);
      if (n < 0) die(9, "%s", errname(-1));
      left -= n;
    }
  } else if (!strcmp(what, "environment")) {
    static char word[100000], *args[4000];
    memset(word, 'x', sizeof word - 1);
    for (int i = 0; i < 3999; i++) args[i] = word;
    way(what, execv("/proc/self/exe", args));
  } else return 2;
  return 0;
}
