/* interrupted CALL N [MICROSECONDS]: N calls under a timer signal every 300 microseconds whose handler has no SA_RESTART. Prints how many returned EINTR, and how many
 * signals came. CALL: getppid, open, openat, stat, close, dup, fork, vfork, clone, execve (that fails), socket, connect, bind, pipe, mmap, kill, none.
 * Shows what notification does to calls that natively never return EINTR (N7). */
#include "guest.h"
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
static volatile sig_atomic_t signals;
static void note(int sig) { signals += sig > 0; }
/* Its child is gone and waited for when this returns, however often the wait is interrupted. */
static long reaped(long pid) {
  int saved = errno;
  if (pid > 0)
    while (waitpid((pid_t)pid, NULL, __WALL) < 0 && errno == EINTR) {
    }
  errno = saved;
  return pid;
}
static long closed(long fd) {
  int saved = errno;
  if (fd >= 0) syscall(SYS_close, fd);
  errno = saved;
  return fd;
}
static long once(const char *call) {
  static struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = 0x0100};
  static int udp = -1;
  if (!strcmp(call, "getppid")) return syscall(SYS_getppid);
  if (!strcmp(call, "open")) return closed(syscall(SYS_open, "/dev/null", O_RDONLY));
  if (!strcmp(call, "openat")) return closed(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY));
  if (!strcmp(call, "stat")) {
    struct stat seen;
    return syscall(SYS_newfstatat, AT_FDCWD, "/dev/null", &seen, 0);
  }
  if (!strcmp(call, "close")) return syscall(SYS_close, syscall(SYS_dup, 0));
  if (!strcmp(call, "dup")) return closed(syscall(SYS_dup, 0));
  if (!strcmp(call, "fork")) {
    long pid = syscall(SYS_fork);
    if (pid == 0) syscall(SYS_exit_group, 0);
    return reaped(pid);
  }
  if (!strcmp(call, "vfork")) {
    pid_t pid = vfork();
    if (pid == 0) _exit(0);
    return reaped(pid);
  }
  if (!strcmp(call, "clone")) {
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) syscall(SYS_exit_group, 0);
    return reaped(pid);
  }
  if (!strcmp(call, "execve")) return syscall(SYS_execve, "/nowhere", NULL, NULL);
  if (!strcmp(call, "socket")) return closed(syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0));
  if (!strcmp(call, "connect") || !strcmp(call, "bind")) {
    if (udp < 0) udp = socket(AF_INET, SOCK_DGRAM, 0);
    if (call[0] == 'c') return syscall(SYS_connect, udp, &nobody, sizeof nobody);
    return syscall(SYS_bind, udp, &nobody, sizeof nobody);
  }
  if (!strcmp(call, "pipe")) {
    int ends[2];
    long got = syscall(SYS_pipe2, ends, 0);
    if (got == 0) closed(ends[0]), closed(ends[1]);
    return got;
  }
  if (!strcmp(call, "mmap")) {
    long got = syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got != -1) munmap((void *)got, 4096);
    return got;
  }
  if (!strcmp(call, "kill")) return syscall(SYS_kill, getpid(), 0);
  die(2, "interrupted: %s", call);
}
int main(int argc, char **argv) {
  if (argc < 3) return 2;
  long n = number(argc, argv, 2, 1), every = number(argc, argv, 3, 300), eintr = 0;
  struct sigaction act = {.sa_handler = note};
  sigaction(SIGALRM, &act, NULL);
  struct itimerval timer = {{0, every}, {0, every}};
  setitimer(ITIMER_REAL, &timer, NULL);
  for (long i = 0; i < n; i++) {
    errno = 0;
    eintr += once(argv[1]) == -1 && errno == EINTR;
  }
  printf("%s %ld EINTR %ld signals %ld\n", argv[1], n, eintr, (long)signals);
  return 0;
}
