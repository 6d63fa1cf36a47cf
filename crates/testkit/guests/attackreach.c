/* attackreach once|flip|own GOOD BAD [TRIES [both]]: connections to two ports of 127.0.0.1, of which a rule allows the first. Proves N1, N5, N16.
 *   once  one of each
 *   flip  the port changes in memory while the call is decided about, TRIES times: was the wrong one ever reached?
 *   own   a thread with a table of descriptors of its own connects one whose number is another socket in its leader's table */
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
int main(int argc, char **argv) {
  if (argc < 4) return 2;
  ports[0] = (uint16_t)number(argc, argv, 2, 0);
  ports[1] = (uint16_t)number(argc, argv, 3, 0);
  pthread_t t;
  if (!strcmp(argv[1], "once")) {
    way("right", reached(ports[0]));
    way("wrong", reached(ports[1]));
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
