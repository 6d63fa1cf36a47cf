/* steps: does what its standard input says, a line each, and prints what came of it: `open PATH`, `keep PATH` and `again` (reads what it keeps), `list
 * PATH`, `rename FROM TO`, `tcp IP PORT`, `udp IP PORT` (sendto), `msg IP PORT` (sendmsg), `many IP PORT` (sendmmsg), `bind IP PORT`, `listen IP PORT`, `pend IP PORT` and `apart IP PORT` (a
 * thread connects; the second has a descriptor table of its own), `over 1` (what became of the first), `send 1` (the second sends), `fork N` (children that stay, and how many
 * could be made), `touch MIB`, `pid`. Proves what is taken from a box that runs, and what a policy function is told (N1, N3). */
#include "guest.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
static int kept = -1;
static long reach(const char *how, const char *ip, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, ip, &to.sin_addr);
  int stream = strcmp(how, "tcp") == 0 || strcmp(how, "bind") == 0 || strcmp(how, "listen") == 0;
  int fd = socket(AF_INET, stream ? SOCK_STREAM : SOCK_DGRAM, 0);
  if (fd < 0) return -1;
  long result;
  struct iovec part = {(void *)"x", 1};
  struct mmsghdr all[2] = {{.msg_hdr = {&to, sizeof to, &part, 1, NULL, 0, 0}}};
  all[1] = all[0];
  if (strcmp(how, "tcp") == 0) result = connect(fd, (struct sockaddr *)&to, sizeof to);
  else if (strcmp(how, "bind") == 0) result = bind(fd, (struct sockaddr *)&to, sizeof to);
  else if (strcmp(how, "listen") == 0) result = bind(fd, (struct sockaddr *)&to, sizeof to) || listen(fd, 1) ? -1 : 0;
  else if (strcmp(how, "udp") == 0) result = sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
  else if (strcmp(how, "msg") == 0) result = sendmsg(fd, &all[0].msg_hdr, 0);
  else result = sendmmsg(fd, all, 2, 0);
  int error = errno;
  close(fd);
  errno = error;
  return result;
}
/* A thread that makes one connection, and sends when it is told. */
struct other {
  pthread_t thread;
  struct sockaddr_in to;
  int apart, tell[2], told[2];
};
static struct other pending, apart = {.apart = 1};
static void *connects(void *self) {
  struct other *own = self;
  char byte = 0;
  if (own->apart && unshare(CLONE_FILES)) byte = (char)errno;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&own->to, sizeof own->to)) byte = (char)errno;
  write(own->told[1], &byte, 1);
  read(own->tell[0], &byte, 1);
  byte = send(fd, "x", 1, MSG_NOSIGNAL) == 1 ? 0 : (char)errno;
  write(own->told[1], &byte, 1);
  return NULL;
}
static long answer(struct other *other) {
  char byte = 0;
  read(other->told[0], &byte, 1);
  errno = byte;
  return byte ? -1 : 0;
}
static long starts(struct other *other, const char *ip, int port) {
  other->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, ip, &other->to.sin_addr);
  if (pipe(other->tell) || pipe(other->told)) return -1;
  errno = pthread_create(&other->thread, NULL, connects, other);
  return errno ? -1 : 0;
}
static long forks(long n) {
  long made = 0;
  for (; made < n; made++) {
    pid_t child = fork();
    if (child < 0) break;
    if (child == 0)
      for (;;) pause();
  }
  return made;
}
int main(void) {
  char line[8192], how[16], a[4096], b[4096];
  while (fgets(line, sizeof line, stdin)) {
    a[0] = b[0] = 0;
    if (sscanf(line, "%15s %4095s %4095s", how, a, b) < 1) continue;
    char byte;
    long result = 0;
    if (strcmp(how, "open") == 0) {
      if ((result = open(a, O_RDONLY)) >= 0) close((int)result);
    } else if (strcmp(how, "keep") == 0) {
      result = kept = open(a, O_RDONLY);
    } else if (strcmp(how, "again") == 0) {
      result = pread(kept, &byte, 1, 0);
    } else if (strcmp(how, "list") == 0) {
      DIR *dir = opendir(a);
      result = dir ? 0 : -1;
      if (dir) closedir(dir);
    } else if (strcmp(how, "rename") == 0) {
      result = rename(a, b);
    } else if (strcmp(how, "fork") == 0) {
      printf("%ld\n", forks(atol(a)));
      fflush(stdout);
      continue;
    } else if (strcmp(how, "touch") == 0) {
      size_t size = (size_t)atol(a) * MiB;
      char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory == MAP_FAILED) result = -1;
      else touch(memory, size);
    } else if (strcmp(how, "pend") == 0) {
      result = starts(&pending, a, atoi(b));
    } else if (strcmp(how, "apart") == 0) {
      result = starts(&apart, a, atoi(b)) ? -1 : answer(&apart);
    } else if (strcmp(how, "over") == 0) {
      result = answer(&pending);
    } else if (strcmp(how, "send") == 0) {
      write(apart.tell[1], "", 1);
      result = answer(&apart);
    } else if (strcmp(how, "pid") == 0) {
      result = syscall(SYS_getppid);
    } else {
      result = reach(how, a, atoi(b));
    }
    printf("%s\n", errname(result));
    fflush(stdout);
  }
  return 0;
}
