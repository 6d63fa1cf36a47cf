/* netsend hold | netsend refused | netsend part PORT | netsend bomb PROGRAM [ARG...]: messages that wait. hold: 24 threads that each send 64 messages of 253 descriptors and 1 MiB to who does not read; then single messages
 * on one's own. refused: the same, and a minute at most until 22 of them have been refused. part: 4 MiB of numbers to PORT, a signal while nobody reads, then a second connection, then the rest. bomb: a process does that without
 * end, while this one becomes PROGRAM. Prints what came of it. Proves N8, N13. */
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>
#define WORDS (1 << 20)
#define CARRIED 253
static unsigned words[WORDS];
static int left_fast;
static union { char bytes[CMSG_SPACE(CARRIED * sizeof(int))]; struct cmsghdr align; } control;
static void carry(struct msghdr *message) {
  struct cmsghdr *c = &control.align;
  c->cmsg_len = CMSG_LEN(CARRIED * sizeof(int));
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  memset(CMSG_DATA(c), 0, CARRIED * sizeof(int));
  message->msg_control = control.bytes;
  message->msg_controllen = sizeof control.bytes;
}
static void *hold(void *unused) {
  (void)unused;
  int s[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s)) return NULL;
  while (send(s[0], "x", 1, MSG_DONTWAIT) == 1) continue;
  struct iovec one = {words, 1};
  struct mmsghdr all[64];
  memset(all, 0, sizeof all);
  for (int i = 0; i < 64; i++) {
    all[i].msg_hdr.msg_iov = &one;
    all[i].msg_hdr.msg_iovlen = 1;
    carry(&all[i].msg_hdr);
  }
  if (sendmmsg(s[0], all, 64, 0) < 0 && errno == ENOBUFS) __atomic_add_fetch(&left_fast, 1, __ATOMIC_SEQ_CST);
  close(s[0]);
  close(s[1]);
  return NULL;
}
static void nothing(int signal) { (void)signal; }
static int part(int port) {
  struct sigaction act = {.sa_handler = nothing, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &act, NULL);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0), small = 65536;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  if (connect(fd, (void *)&to, sizeof to)) return 1;
  for (unsigned i = 0; i < WORDS; i++) words[i] = i;
  struct itimerval often = {{0, 300000}, {0, 300000}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &often, NULL);
  long gone = 0, first = 0, result = 0;
  while (gone < (long)sizeof words) {
    struct iovec rest = {(char *)words + gone, sizeof words - (size_t)gone};
    struct msghdr message = {.msg_iov = &rest, .msg_iovlen = 1};
    result = sendmsg(fd, &message, 0);
    if (result < 0) break;
    gone += result;
    if (first) continue;
    first = result;
    setitimer(ITIMER_REAL, &never, NULL);
    if (connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&to, sizeof to)) return 1;
  }
  printf("{\"first\":%ld,\"gone\":%ld,\"last\":\"%s\"}\n", first, gone, errname(result));
  return 0;
}
static void *again(void *unused) {
  for (;; usleep(1000)) hold(unused);
  return NULL;
}
static int bomb(char **program) {
  struct timespec some = {1, 0};
  pthread_t thread;
  if (fork() == 0) {
    for (int i = 0; i < 24; i++) pthread_create(&thread, NULL, again, NULL);
    for (;;) pause();
  }
  nanosleep(&some, NULL);
  printf("held\n");
  fflush(stdout);
  nanosleep(&some, NULL);
  execv(program[0], program);
  return 126;
}
int main(int argc, char **argv) {
  if (argc > 2) return strcmp(argv[1], "bomb") ? part((int)number(argc, argv, 2, 0)) : bomb(argv + 2);
  int s[2];
  long alone = 0;
  char read_[4096];
  struct iovec one = {words, 1};
  struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1};
  carry(&message);
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s)) return 1;
  for (int i = 0; i < 20; i++) alone += sendmsg(s[0], &message, 0) == 1 && recv(s[1], read_, sizeof read_, 0) == 1;
  pthread_t thread;
  for (int i = 0; i < 24; i++) pthread_create(&thread, NULL, hold, NULL);
  struct timespec some = {1, 0};
  nanosleep(&some, NULL);
  for (int i = 0; i < 60 && argc > 1 && !strcmp(argv[1], "refused") && __atomic_load_n(&left_fast, __ATOMIC_SEQ_CST) < 22; i++)
    nanosleep(&some, NULL);
  printf("{\"alone\":%ld,\"refused\":%d}\n", alone, left_fast);
  fflush(stdout);
  _exit(0);
}
