/* attackreach WHAT GOOD BAD [TRIES [both]]: connections to two ports of 127.0.0.1, of which a rule allows the first. Proves N1, N5, N15, N16, N19, W13, W14.
 *   once  one of each
 *   flip  the port changes in memory while the call is decided about, TRIES times: was the wrong one ever reached?
 *   own   a thread with a table of descriptors of its own connects one whose number is another socket in its leader's table
 *   edge  addresses and messages that end where memory does, and beyond
 *   relay a process that connects for another
 *   host  a request on the allowed connection that names another host
 *   moved a datagram socket that has asked the box's name server: what it can do then. BAD is a port of datagrams here */
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
static struct sockaddr_in shared;
static uint16_t ports[2];
static volatile int stop;
static struct sockaddr_in to(uint16_t port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return a;
}
static long reached(uint16_t port) {
  struct sockaddr_in a = to(port);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  long result = connect(fd, (void *)&a, sizeof a);
  int error = errno;
  close(fd);
  errno = error;
  return result;
}
static void *flip(void *unused) {
  (void)unused;
  for (unsigned i = 0; !stop; i++) *(volatile uint16_t *)&shared.sin_port = htons(ports[i & 1]);
  return NULL;
}
static void *own(void *number) {
  int fd = *(int *)number;
  if (unshare(CLONE_FILES)) die(5, "unshare: %s", errname(-1));
  for (int i = 0; i < 2; i++) {
    close(fd);
    int made = socket(AF_INET, SOCK_STREAM, 0);
    if (made != fd && dup2(made, fd) != fd) die(5, "dup2: %s", errname(-1));
    struct sockaddr_in a = to(ports[i]);
    way(i ? "thread_denied" : "thread_allowed", connect(fd, (void *)&a, sizeof a));
  }
  return NULL;
}
/* What the page's last bytes hold, then memory that is not there. */
static char *at_the_end(const void *bytes, size_t size) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || munmap(memory + page, page)) die(5, "memory: %s", errname(-1));
  return memcpy(memory + page - size, bytes, size);
}
static void edge(void) {
  struct sockaddr_in a = to(ports[0]);
  int fd = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
  way("address_cut", connect(fd, (void *)at_the_end(&a, 8), sizeof a));
  way("address_nowhere", connect(fd, (void *)0xffffffff81000000UL, sizeof a));
  struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
  way("address_of_28_cut", connect(fd, (void *)at_the_end(&mapped, 16), sizeof mapped));
  way("address_whole", connect(fd, (void *)at_the_end(&a, sizeof a), sizeof a));
  struct iovec part = {"x", 1}, cut = {at_the_end("abcd", 4), 4096};
  struct msghdr message = {.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &part, .msg_iovlen = 1};
  way("header_whole", sendmsg(udp, (void *)at_the_end(&message, sizeof message), 0));
  way("header_cut", sendmsg(udp, (void *)at_the_end(&message, 24), 0));
  message.msg_iov = (void *)at_the_end(&part, 8);
  way("vector_cut", sendmsg(udp, &message, 0));
  message.msg_iov = &cut;
  way("data_cut", sendmsg(udp, &message, 0));
  message.msg_iov = &part;
  message.msg_name = at_the_end(&a, 8);
  way("name_cut", sendmsg(udp, &message, 0));
  way("sendto_cut", sendto(udp, "x", 1, 0, (void *)at_the_end(&a, 8), sizeof a));
  way("sendto_data_cut", sendto(udp, cut.iov_base, 4096, 0, (void *)&a, sizeof a));
  struct mmsghdr two = {.msg_hdr = {.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &part, .msg_iovlen = 1}};
  way("messages_cut", sendmmsg(udp, (void *)at_the_end(&two, 32), 1, 0));
}
/* Whoever is asked connects, and tells what came of it. */
static void relay(void) {
  int p[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, p)) die(5, "pair: %s", errname(-1));
  pid_t pid = fork();
  if (pid == 0) {
    close(p[0]);
    uint16_t port;
    while (read(p[1], &port, sizeof port) == sizeof port) {
      int error = reached(port) ? errno : 0;
      if (write(p[1], &error, sizeof error) != sizeof error) _exit(5);
    }
    _exit(0);
  }
  close(p[1]);
  for (int i = 0; i < 2; i++) {
    int error = 0;
    if (write(p[0], &ports[i], sizeof ports[i]) != sizeof ports[i] || read(p[0], &error, sizeof error) != sizeof error) die(5, "relay");
    errno = error;
    way(i ? "wrong" : "right", error ? -1 : 0);
  }
  close(p[0]);
  waitpid(pid, NULL, 0);
}
static void host(void) {
  struct sockaddr_in a = to(ports[0]);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  char text[256], got[64] = "";
  long result = connect(fd, (void *)&a, sizeof a);
  int n = snprintf(text, sizeof text, "GET http://127.0.0.1:%u//x/%%2e%%2e/ HTTP/1.1\r\nHost: elsewhere.invalid\r\n\r\n", ports[1]);
  if (!result) result = write(fd, text, (size_t)n) == n && read(fd, got, sizeof got) > 0 ? 0 : -1;
  way("named", result);
  way("wrong", reached(ports[1]));
}
static void moved(void) {
  char text[4096] = {0}, address[64] = "";
  int file = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
  if (file < 0 || read(file, text, sizeof text - 1) < 0) die(3, "/etc/resolv.conf: %s", errname(-1));
  char *line = strstr(text, "nameserver ");
  if (!line || sscanf(line, "nameserver %63s", address) != 1) die(3, "no name server");
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53)}, other = to(ports[1]), own = {.sin_family = AF_INET};
  inet_pton(AF_INET, address, &server.sin_addr);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), kinds[2][3] = {{0}};
  static const int asked[3] = {SO_DOMAIN, SO_TYPE, SO_PROTOCOL};
  struct stat before, after;
  int status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD);
  socklen_t size = sizeof(int);
  for (int i = 0; i < 3; i++) getsockopt(fd, SOL_SOCKET, asked[i], &kinds[0][i], &size);
  fstat(fd, &before);
  static const unsigned char query[] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9, 'l', 'o', 'c', 'a', 'l', 'h', 'o', 's', 't', 0, 0, 1, 0, 1};
  way("asked", sendto(fd, query, sizeof query, 0, (void *)&server, sizeof server));
  fstat(fd, &after);
  for (int i = 0; i < 3; i++) getsockopt(fd, SOL_SOCKET, asked[i], &kinds[1][i], &size);
  errno = EBADF;
  way("is_another", before.st_ino != after.st_ino ? 0 : -1);
  errno = EBADF;
  way("same_kind", memcmp(kinds[0], kinds[1], sizeof kinds[0]) ? -1 : 0);
  errno = EBADF;
  way("same_status", fcntl(fd, F_GETFL) == status ? 0 : -1);
  errno = EBADF;
  way("same_flags", fcntl(fd, F_GETFD) == flags ? 0 : -1);
  errno = EBADF;
  way("one_descriptor", fcntl(fd + 1, F_GETFD) < 0 ? 0 : -1);
  way("to_other", sendto(fd, "x", 1, 0, (void *)&other, sizeof other));
  way("connect_other", connect(fd, (void *)&other, sizeof other));
  struct iovec part = {"x", 1};
  struct msghdr message = {.msg_name = &other, .msg_namelen = sizeof other, .msg_iov = &part, .msg_iovlen = 1};
  way("message_to_other", sendmsg(fd, &message, 0));
  way("bind", bind(fd, (void *)&own, sizeof own));
  way("fresh_to_other", sendto(socket(AF_INET, SOCK_DGRAM, 0), "x", 1, 0, (void *)&other, sizeof other));
}
int main(int argc, char **argv) {
  if (argc < 4) return 2;
  ports[0] = (uint16_t)number(argc, argv, 2, 0);
  ports[1] = (uint16_t)number(argc, argv, 3, 0);
  pthread_t t;
  if (!strcmp(argv[1], "once")) {
    way("right", reached(ports[0]));
    way("wrong", reached(ports[1]));
  } else if (!strcmp(argv[1], "edge")) {
    edge();
  } else if (!strcmp(argv[1], "relay")) {
    relay();
  } else if (!strcmp(argv[1], "host")) {
    host();
  } else if (!strcmp(argv[1], "moved")) {
    moved();
  } else if (!strcmp(argv[1], "own")) {
    /* In the leader's table the number is a pipe's, then a connected socket's. */
    int p[2];
    if (pipe(p)) return 5;
    if (pthread_create(&t, NULL, own, &p[0])) return 5;
    pthread_join(t, NULL);
  } else {
    long tries = number(argc, argv, 4, 100), right = 0, wrong = 0;
    shared = to(ports[0]);
    if (pthread_create(&t, NULL, flip, NULL)) return 5;
    /* As many as it takes to reach the right one once, and for the control (argument "both") the other. */
    int both = argc > 5;
    for (long i = 0; i < tries || ((!right || (both && !wrong)) && i < 1000 * tries); i++) {
      int fd = socket(AF_INET, SOCK_STREAM, 0);
      if (!connect(fd, (void *)&shared, sizeof shared)) {
        struct sockaddr_in there;
        socklen_t size = sizeof there;
        if (!getpeername(fd, (void *)&there, &size)) {
          right += there.sin_port == htons(ports[0]);
          wrong += there.sin_port != htons(ports[0]);
        }
        struct linger now = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      }
      close(fd);
    }
    stop = 1;
    pthread_join(t, NULL);
    errno = EACCES;
    way("right", right ? 0 : -1);
    errno = EACCES;
    way("wrong", wrong ? 0 : -1);
  }
  return 0;
}
