/* netrace HOW FLIPS ALLOWED OTHER [control]: connects (HOW is `address`, `shared` or `swap`), binds (`bind`) or sends (`sendto`, `sendmsg`; `-shared` behind any of
 * these: the flips are another process's) while somebody changes what is looked at: a thread the address,
 * another process the address in shared memory, a thread the socket under the number (dup2). Prints {"tries", "connected", "wrong"}: wrong are the
 * connections and binds to OTHER; what datagrams got there is the receiver's to say. `swap` has ALLOWED for UDP only. With `control` it runs under a supervisor that looks and then says CONTINUE, and must lose. */
#include "guest.h"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
static struct shared { struct sockaddr_in address; _Atomic long flips; _Atomic int stop; } *shared;
static uint16_t allowed, other;
static int sockets[2], number_of_both = 100;
static void *flip(void *how) {
  (void)how;
  while (!shared->stop) {
    *(volatile uint16_t *)&shared->address.sin_port = shared->flips & 1 ? allowed : other;
    shared->flips++;
  }
  return NULL;
}
static void *swap(void *how) {
  (void)how;
  while (!shared->stop) dup2(sockets[shared->flips++ & 1], number_of_both);
  return NULL;
}
static struct sockaddr_in local(uint16_t port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return a;
}
/* The mistake, on purpose: it judges what it has read, and lets the kernel read again. */
static void supervise(int listener, pid_t child) {
  for (;;) {
    struct seccomp_notif call = {0};
    if (waitpid(child, NULL, WNOHANG) == child) return;
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0) continue;
    struct sockaddr_in seen = {0};
    uint64_t where = call.data.args[call.data.nr == SYS_sendto ? 4 : 1];
    struct iovec word = {&where, sizeof where}, name = {(void *)where, sizeof where};
    if (call.data.nr == SYS_sendmsg) process_vm_readv((pid_t)call.pid, &word, 1, &name, 1, 0);
    struct iovec here = {&seen, sizeof seen}, there = {(void *)where, sizeof seen};
    process_vm_readv((pid_t)call.pid, &here, 1, &there, 1, 0);
    struct seccomp_notif_resp answer = {.id = call.id};
    struct timespec thinks = {0, 50000};
    nanosleep(&thinks, NULL);
    if (seen.sin_port == allowed) answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    else answer.error = -EACCES;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}
static int listen_to_connects(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_connect, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bind, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendto, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  if (fd < 0) die(3, "seccomp: %s", strerror(errno));
  return fd;
}
/* One try: 0 refused, 1 made, 2 made with OTHER. */
static int try_other(const char *how) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0), result = 0;
  struct sockaddr_in *to = &shared->address;
  if (!strncmp(how, "bind", 4)) {
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    if (bind(fd, (void *)to, sizeof *to) == 0 && getsockname(fd, (void *)&name, &length) == 0) result = name.sin_port == other ? 2 : 1;
    close(fd);
    return result;
  }
  struct iovec part = {"x", 1};
  struct msghdr message = {.msg_name = to, .msg_namelen = sizeof *to, .msg_iov = &part, .msg_iovlen = 1};
  long done = !strncmp(how, "sendto", 6) ? sendto(fd, "x", 1, 0, (void *)to, sizeof *to) : sendmsg(fd, &message, 0);
  close(fd);
  result = done == 1;
  return result;
}
static int race(const char *how, long flips) {
  pthread_t thread;
  pid_t peer = 0;
  int swaps = !strcmp(how, "swap");
  if (swaps) {
    sockets[0] = socket(AF_INET, SOCK_STREAM, 0);
    sockets[1] = socket(AF_INET, SOCK_DGRAM, 0);
    dup2(sockets[0], number_of_both);
  }
  if (strstr(how, "shared")) {
    peer = fork();
    if (peer == 0) {
      flip(NULL);
      _exit(0);
    }
  } else pthread_create(&thread, NULL, swaps ? swap : flip, NULL);
  long tries = 0, connected = 0, wrong = 0;
  struct linger reset = {1, 0};
  int simple = !strncmp(how, "bind", 4) || !strncmp(how, "send", 4);
  while (shared->flips < flips || tries < 500 || (connected == 0 && tries < 20000)) {
    if (simple) {
      int result = try_other(how);
      tries++;
      connected += result > 0;
      wrong += result == 2;
      continue;
    }
    int fd = swaps ? number_of_both : socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in *to = &shared->address, fixed = local(allowed), peer_name;
    if (swaps) to = &fixed;
    if (!swaps) setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    long done = connect(fd, (void *)to, sizeof *to);
    tries++;
    socklen_t length = sizeof peer_name;
    if (swaps) {
      /* The TCP socket must never be connected: only UDP may reach the port. */
      connected += done == 0;
      if (getpeername(sockets[0], (void *)&peer_name, &length) == 0) {
        wrong++;
        struct sockaddr none = {.sa_family = AF_UNSPEC};
        connect(sockets[0], &none, sizeof none);
      }
      continue;
    }
    if (done == 0 && getpeername(fd, (void *)&peer_name, &length) == 0) {
      connected++;
      wrong += peer_name.sin_port == other;
    }
    close(fd);
  }
  shared->stop = 1;
  if (peer) waitpid(peer, NULL, 0);
  else pthread_join(thread, NULL);
  printf("{\"flips\":%ld,\"tries\":%ld,\"connected\":%ld,\"wrong\":%ld}\n", shared->flips, tries, connected, wrong);
  return 0;
}
int main(int argc, char **argv) {
  long flips = number(argc, argv, 2, 1000);
  allowed = htons((uint16_t)number(argc, argv, 3, 0));
  other = htons((uint16_t)number(argc, argv, 4, 0));
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  shared->address = local(allowed);
  const char *how = argc > 1 ? argv[1] : "address";
  if (argc <= 5) return race(how, flips);
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) die(3, "socketpair");
  pid_t child = fork();
  if (child == 0) {
    int listener = listen_to_connects();
    /* The parent takes the descriptor by its number. */
    if (write(pair[1], &listener, sizeof listener) < 0) _exit(3);
    race(how, flips);
    fflush(NULL);
    _exit(0);
  }
  int theirs, pidfd = (int)syscall(SYS_pidfd_open, child, 0);
  if (read(pair[0], &theirs, sizeof theirs) < 0) die(3, "read");
  int listener = (int)syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
  if (listener < 0) die(3, "pidfd_getfd: %s", strerror(errno));
  fcntl(listener, F_SETFL, O_NONBLOCK);
  supervise(listener, child);
  return 0;
}
