/* listenrows [ROW]: seccomp listeners of the guest's own, one fact a row: outside and in a box that serves them they are told in the same words (ptrace.md 2A 11).
 * Without a row: the names. */
/* A busy machine takes its time over many processes. */
#define PATIENCE 100
#include "hand.h"
#include "rows.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define NEW SECCOMP_FILTER_FLAG_NEW_LISTENER
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV 32
#endif
#define ASK syscall(SYS_getpgid, 0, 1, 2, 3, 4, 5)

static int handled;
static void note(int sig) {
  (void)sig;
  handled++;
}
static void handle(int sig, int flags) {
  struct sigaction action = {.sa_handler = note, .sa_flags = flags};
  sigaction(sig, &action, NULL);
}

static long load(struct sock_filter *code, unsigned count, unsigned flags) {
  struct sock_fprog program = {(unsigned short)count, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
/* `number` is answered with `action`, all else allowed. */
static long install(unsigned number, unsigned action, unsigned flags) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  return load(code, 4, flags);
}
static int listen_to(unsigned number, unsigned flags) {
  long fd = install(number, SECCOMP_RET_USER_NOTIF, NEW | flags);
  if (fd < 0) die(9, "install: %m");
  return (int)fd;
}

static long recv_into(int fd, struct seccomp_notif *got) {
  memset(got, 0, sizeof *got);
  return ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, got);
}
static struct seccomp_notif take(int fd) {
  struct seccomp_notif got;
  while (recv_into(fd, &got))
    if (errno != ENOENT && errno != EINTR) die(9, "RECV: %m");
  return got;
}
static long reply(int fd, uint64_t id, long value, int error, unsigned flags) {
  struct seccomp_notif_resp resp = {.id = id, .val = value, .error = error, .flags = flags};
  return ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &resp);
}
static long add(int fd, uint64_t id, unsigned flags, int source, unsigned newfd) {
  struct seccomp_notif_addfd with = {.id = id, .flags = flags, .srcfd = (unsigned)source, .newfd = newfd};
  return ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &with);
}
static int valid(int fd, uint64_t id) { return ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0; }
static const char *ready(int fd, int wait) {
  struct pollfd one = {fd, POLLIN | POLLOUT, 0};
  static char text[32];
  int n = poll(&one, 1, wait);
  snprintf(text, sizeof text, "%d %x", n, (unsigned)one.revents);
  return text;
}
static void await(int fd, short events) {
  struct pollfd one = {fd, events, 0};
  while (poll(&one, 1, -1) < 0) {
  }
}

/* Who asks: a child under the filter, which tells what it got by its exit status or here. */
static int told[2], ready_pipe[2], channel[2];
static void plumb(void) {
  if (pipe2(told, O_CLOEXEC) || pipe2(ready_pipe, O_CLOEXEC) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel)) die(9, "pipes");
}
static void tell(long value) {
  long pair[3] = {value, value < 0 ? errno : 0, handled};
  if (write(told[1], pair, sizeof pair) != sizeof pair) _exit(9);
}
static void heard(const char *what) {
  long pair[3] = {0, 0, 0};
  if (read(told[0], pair, sizeof pair) != sizeof pair) die(9, "%s: nothing told", what);
  errno = (int)pair[1];
  printf("%s: %s %ld, handlers %ld\n", what, errname(pair[0]), pair[0] < 0 ? 0 : pair[0], pair[2]);
}
static void hand(int fd) { hand_over(channel[1], fd); }
static int handed(void) { return handed_over(channel[0]); }

static unsigned with_flags;
static int with_handler = -1;
static void asks_once(void) {
  if (with_handler >= 0) handle(SIGUSR1, with_handler);
  hand(listen_to(SYS_getpgid, with_flags));
  tell(ASK);
  _exit(0);
}
static pid_t asker(unsigned flags, int handler, int *fd) {
  plumb();
  with_flags = flags;
  with_handler = handler;
  pid_t pid = running(asks_once);
  *fd = handed();
  return pid;
}
static void gone(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  printf("ended %x\n", (unsigned)status);
}

static void restarts(void) {
  int fd;
  pid_t pid = asker(0, SA_RESTART, &fd);
  struct seccomp_notif first = take(fd);
  kill(pid, SIGUSR1);
  struct seccomp_notif again = take(fd);
  printf("another id %d, the first valid %d, send %s\n", first.id != again.id, valid(fd, first.id), errname(reply(fd, first.id, 1, 0, 0)));
  SAY("send", reply(fd, again.id, 7, 0, 0));
  heard("made again");
  gone(pid);
}
static void restarts_unreceived(void) {
  int fd;
  pid_t pid = asker(0, SA_RESTART, &fd);
  await(fd, POLLIN);
  kill(pid, SIGUSR1);
  /* The handler runs, and the call is made again: two have asked, one is there. */
  struct seccomp_notif got = take(fd);
  if (reply(fd, got.id, 7, 0, 0)) {
    got = take(fd);
    reply(fd, got.id, 7, 0, 0);
  }
  heard("made again");
  gone(pid);
}
static void interrupted(void) {
  int fd;
  pid_t pid = asker(0, 0, &fd);
  struct seccomp_notif got = take(fd);
  kill(pid, SIGUSR1);
  heard("interrupted");
  printf("valid %d\n", valid(fd, got.id));
  gone(pid);
}
static void killable(void) {
  int fd;
  pid_t pid = asker(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0, &fd);
  struct seccomp_notif got = take(fd);
  for (int i = 0; i < 3; i++) kill(pid, SIGUSR1);
  usleep(30000);
  printf("valid %d\n", valid(fd, got.id));
  int file = memfd_create("x", MFD_CLOEXEC);
  SAY("addfd", add(fd, got.id, 0, file, 0));
  SAY("send", reply(fd, got.id, 7, 0, 0));
  heard("not interrupted");
  gone(pid);
}
static void killable_is_killed(void) {
  int fd;
  pid_t pid = asker(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0, &fd);
  struct seccomp_notif got = take(fd);
  kill(pid, SIGUSR1);
  kill(pid, SIGKILL);
  gone(pid);
  printf("valid %d, %s\n", valid(fd, got.id), ready(fd, 0));
}
static void killable_unreceived(void) {
  int fd;
  pid_t pid = asker(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0, &fd);
  await(fd, POLLIN);
  kill(pid, SIGUSR1);
  heard("interrupted");
  gone(pid);
  printf("%s\n", ready(fd, 0));
}
static int spared[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT, SIGUSR2};
static void ignored(void) {
  int fd;
  signal(SIGUSR2, SIG_IGN);
  pid_t pid = asker(0, 0, &fd);
  await(fd, POLLIN);
  for (unsigned i = 0; i < 5; i++) kill(pid, spared[i]);
  struct seccomp_notif got = take(fd);
  for (unsigned i = 0; i < 5; i++) kill(pid, spared[i]);
  usleep(20000);
  printf("valid %d\n", valid(fd, got.id));
  SAY("send", reply(fd, got.id, 7, 0, 0));
  heard("not interrupted");
  gone(pid);
}
static void stopped(void) {
  int fd;
  pid_t pid = asker(0, -1, &fd);
  struct seccomp_notif first = take(fd);
  kill(pid, SIGSTOP);
  int status = 0;
  waitpid(pid, &status, WUNTRACED);
  printf("stopped %x, valid %d\n", (unsigned)status, valid(fd, first.id));
  kill(pid, SIGCONT);
  struct seccomp_notif again = take(fd);
  SAY("send", reply(fd, again.id, 7, 0, 0));
  heard("made again");
  gone(pid);
}
static void killed_unreceived(void) {
  int fd;
  pid_t pid = asker(0, -1, &fd);
  await(fd, POLLIN);
  kill(pid, SIGKILL);
  gone(pid);
  struct seccomp_notif got;
  printf("%s\n", ready(fd, 0));
  SAY("recv", recv_into(fd, &got));
}
static void forks(void) {
  int fd = listen_to(SYS_getpgid, 0);
  if (fork() == 0) {
    if (fork() == 0) _exit(ASK == 5 ? 5 : 9);
    long value = ASK;
    int status;
    wait(&status);
    _exit(value == 6 && WEXITSTATUS(status) == 5 ? 0 : 9);
  }
  struct seccomp_notif got[2] = {take(fd), take(fd)};
  printf("two tasks %d\n", got[0].pid != got[1].pid && got[0].pid && got[1].pid);
  /* The child's number is the larger one. */
  int last = got[0].pid < got[1].pid;
  reply(fd, got[last].id, 5, 0, 0);
  reply(fd, got[!last].id, 6, 0, 0);
  int status = 0;
  wait(&status);
  printf("ended %x, %s\n", (unsigned)status, ready(fd, 0));
}
static void executes(void) {
  plumb();
  pid_t pid = fork();
  if (pid == 0) {
    hand(listen_to(SYS_exit_group, 0));
    execl("/proc/self/exe", "listenrows", "exit", NULL);
    _exit(9);
  }
  int fd = handed();
  struct seccomp_notif got = take(fd);
  printf("its program's end: %d %llu\n", got.data.nr == SYS_exit_group, got.data.args[0]);
  SAY("continue", reply(fd, got.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE));
  gone(pid);
}

static int other_go[2];
static void *other(void *unused) {
  char byte;
  if (read(other_go[0], &byte, 1) == 1) tell(ASK);
  return unused;
}
static void *server(void *at) {
  int fd = *(int *)at;
  for (;;) {
    struct seccomp_notif got;
    if (recv_into(fd, &got)) continue;
    reply(fd, got.id, 40 + (got.pid != (unsigned)getpid()), 0, 0);
  }
  return NULL;
}
static void syncs(void) {
  plumb();
  pthread_t one, two;
  static int fd;
  if (pipe(other_go)) die(9, "pipe");
  pthread_create(&one, NULL, other, NULL);
  fd = listen_to(SYS_getpgid, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH);
  pthread_create(&two, NULL, server, &fd);
  printf("mine %ld\n", ASK);
  if (write(other_go[1], "x", 1) != 1) die(9, "write");
  heard("the other's");
}
static void *filtered(void *unused) {
  install(SYS_getpgid, SECCOMP_RET_ALLOW, 0);
  tell(0);
  hold();
  return unused;
}
static void syncs_not(void) {
  plumb();
  pthread_t one;
  pthread_create(&one, NULL, filtered, NULL);
  heard("it has a filter of its own");
  int before = dup(0);
  close(before);
  SAY("install", install(SYS_getpgid, SECCOMP_RET_USER_NOTIF, NEW | SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH));
  int after = dup(0);
  printf("no descriptor %d, not in force %d\n", before == after, ASK == getpgid(0));
}
/* A filter that comes later is synchronised with all that the caller is under. */
static void syncs_later(void) {
  plumb();
  pthread_t one, two;
  static int fd;
  if (pipe(other_go)) die(9, "pipe");
  pthread_create(&one, NULL, other, NULL);
  fd = listen_to(SYS_getpgid, 0);
  pthread_create(&two, NULL, server, &fd);
  if (install(SYS_mkdir, SECCOMP_RET_ERRNO | EXDEV, SECCOMP_FILTER_FLAG_TSYNC)) die(9, "tsync: %m");
  if (write(other_go[1], "x", 1) != 1) die(9, "write");
  heard("the other's");
}
static void computed(void) {
  plumb();
  pid_t pid = fork();
  if (pid == 0) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 2),
        BPF_STMT(BPF_LD | BPF_IMM, SECCOMP_RET_USER_NOTIF | 9),
        BPF_STMT(BPF_RET | BPF_A, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdir, 0, 2),
        BPF_STMT(BPF_LD | BPF_IMM, SECCOMP_RET_ERRNO | EXDEV),
        BPF_STMT(BPF_RET | BPF_A, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    hand((int)load(code, sizeof code / sizeof *code, NEW));
    tell(ASK);
    tell(syscall(SYS_mkdir, "/", 0));
    _exit(0);
  }
  int fd = handed();
  struct seccomp_notif got = take(fd);
  reply(fd, got.id, 7, 0, 0);
  heard("notified");
  heard("an errno");
  gone(pid);
}
/* How two filters of a guest's go together. */
static void after(unsigned action) {
  plumb();
  pid_t pid = fork();
  if (pid == 0) {
    int fd = listen_to(SYS_getpgid, 0);
    install(SYS_getpgid, action, 0);
    hand(fd);
    tell(ASK);
    _exit(0);
  }
  int fd = handed();
  await(fd, POLLIN);
  printf("%s\n", ready(fd, 0));
  if (strcmp(ready(fd, 0), "1 1") == 0) {
    struct seccomp_notif got = take(fd);
    reply(fd, got.id, 7, 0, 0);
  }
  heard("it got");
  gone(pid);
}
static void a_later_trace(void) { after(SECCOMP_RET_TRACE | 0x5453); }
static void a_later_trace_of_our_mark(void) { after(SECCOMP_RET_TRACE | 0x4e4c); }
static void a_later_allow(void) { after(SECCOMP_RET_ALLOW); }
static void a_later_errno(void) { after(SECCOMP_RET_ERRNO | EXDEV); }
static void the_mark_without_a_listener(void) {
  install(SYS_getpgid, SECCOMP_RET_TRACE | 0x4e4c, 0);
  SAY("asked", ASK);
  install(SYS_getpgid, SECCOMP_RET_TRACE | 0x5453, 0);
  SAY("asked", ASK);
}
static void nobody_listens(void) {
  SAY("install", install(SYS_getpgid, SECCOMP_RET_USER_NOTIF, 0));
  SAY("asked", ASK);
}
static void bad_programs(void) {
  struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), jump = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 5, 6);
  struct sock_filter unknown = BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), outside = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64);
  struct sock_filter *long_one = calloc(4097, sizeof allow);
  for (int i = 0; i < 4097; i++) long_one[i] = allow;
  SAY("empty", load(&allow, 0, NEW));
  SAY("too long", load(long_one, 4097, NEW));
  SAY("nowhere", load((struct sock_filter *)8, 3, NEW));
  SAY("no structure", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, NEW, 8));
  struct sock_filter two[2] = {jump, allow};
  SAY("a jump", load(two, 2, NEW));
  two[0] = unknown;
  SAY("an instruction", load(two, 2, NEW));
  two[0] = outside;
  SAY("a load", load(two, 2, NEW));
  SAY("no end", load(&jump, 1, NEW));
  SAY("flags", load(&allow, 1, NEW | 0x40));
  SAY("the longest", load(long_one, 4096, NEW));
}
static void no_descriptor_left(void) {
  struct rlimit limit = {3, 3};
  close_range(3, ~0U, 0);
  setrlimit(RLIMIT_NOFILE, &limit);
  SAY("install", install(SYS_getpgid, SECCOMP_RET_USER_NOTIF, NEW));
  printf("not in force %d\n", ASK == getpgid(0));
}
static void one_after_another(void) {
  int fd = listen_to(SYS_getpgid, 0);
  SAY("a second one", install(SYS_getpgid, SECCOMP_RET_USER_NOTIF, NEW));
  close(fd);
  SAY("nobody's", ASK);
  long second = install(SYS_getpgid, SECCOMP_RET_USER_NOTIF, NEW);
  SAY("the next one", second);
  pid_t pid = fork();
  if (pid == 0) _exit((int)ASK);
  fd = (int)second;
  struct seccomp_notif got = take(fd);
  reply(fd, got.id, 7, 0, 0);
  gone(pid);
}
static void descriptors(void) {
  int fd;
  pid_t pid = asker(0, -1, &fd);
  int copy = dup(fd);
  close(fd);
  struct seccomp_notif got = take(copy);
  pid_t closes = fork();
  if (closes == 0) _exit(close(copy));
  gone(closes);
  printf("valid %d, %s\n", valid(copy, got.id), ready(copy, 0));
  close(copy);
  heard("closed by all");
  gone(pid);
}
static void a_full_table(void) {
  plumb();
  pid_t pid = fork();
  if (pid == 0) {
    hand(listen_to(SYS_getpgid, 0));
    struct rlimit limit = {0, 0};
    setrlimit(RLIMIT_NOFILE, &limit);
    tell(ASK);
    _exit(0);
  }
  int fd = handed(), file = memfd_create("x", MFD_CLOEXEC);
  struct seccomp_notif got = take(fd);
  SAY("addfd", add(fd, got.id, 0, file, 0));
  SAY("setfd", add(fd, got.id, SECCOMP_ADDFD_FLAG_SETFD, file, 50));
  SAY("and send", add(fd, got.id, 2, file, 0));
  printf("valid %d\n", valid(fd, got.id));
  reply(fd, got.id, 7, 0, 0);
  heard("it got");
  gone(pid);
}
static void sizes(void) {
  int fd;
  pid_t pid = asker(0, -1, &fd);
  struct seccomp_notif got = take(fd);
  struct { struct seccomp_notif_addfd add; char more[40]; } with = {.add = {.id = got.id, .srcfd = (unsigned)memfd_create("x", 0)}};
  unsigned request = SECCOMP_IOCTL_NOTIF_ADDFD & ~(0x3fffU << 16);
  SAY("smaller", ioctl(fd, request | 16U << 16, &with));
  SAY("larger", ioctl(fd, request | 64U << 16, &with));
  with.more[5] = 1;
  SAY("larger, and used", ioctl(fd, request | 64U << 16, &with));
  SAY("a page", ioctl(fd, request | 4096U << 16, &with));
  SAY("nowhere", ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, 8));
  SAY("send from nowhere", ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, 8));
  SAY("recv to nowhere", ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, 8));
  SAY("the other direction", ioctl(fd, _IOR('!', 2, __u64), &got.id));
  reply(fd, got.id, 7, 0, 0);
  heard("it got");
  gone(pid);
}
static void *asks(void *unused) {
  return (void *)ASK;
  (void)unused;
}
static void many(void) {
  enum { COUNT = 48 };
  plumb();
  pid_t pid = fork();
  if (pid == 0) {
    hand(listen_to(SYS_getpgid, 0));
    pthread_t threads[COUNT];
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    for (int i = 0; i < COUNT; i++)
      if (pthread_create(&threads[i], &attr, asks, NULL)) _exit(8);
    long sum = 0;
    for (int i = 0; i < COUNT; i++) {
      void *value;
      pthread_join(threads[i], &value);
      sum += (long)value;
    }
    tell(sum);
    _exit(0);
  }
  int fd = handed();
  static struct seccomp_notif got[COUNT];
  /* All but a few wait at once, and are answered from the last one on. */
  for (int i = 0; i < 40; i++) got[i] = take(fd);
  for (int i = 39; i >= 0; i--) reply(fd, got[i].id, 1, 0, 0);
  for (int i = 40; i < COUNT; i++) {
    got[i] = take(fd);
    reply(fd, got[i].id, 1, 0, 0);
  }
  heard("all answered");
  gone(pid);
}
static void beside_each_other(void) {
  int one, two;
  pid_t first = asker(0, -1, &one);
  int told_first = told[0];
  pid_t second = asker(0, -1, &two);
  struct seccomp_notif a = take(one), b = take(two);
  printf("not the other's: %s\n", errname(reply(two, a.id, 1, 0, 0)));
  SAY("one", reply(one, a.id, 3, 0, 0));
  SAY("two", reply(two, b.id, 4, 0, 0));
  heard("two");
  told[0] = told_first;
  heard("one");
  gone(first);
  gone(second);
}
static void a_listener_of_a_listener(void) {
  /* Who answers is under a filter with a listener himself. */
  int outer = listen_to(SYS_mkdir, 0);
  pid_t pid = fork();
  if (pid == 0) {
    SAY("another", install(SYS_getpgid, SECCOMP_RET_USER_NOTIF, NEW));
    fflush(stdout);
    _exit(syscall(SYS_mkdir, "/", 0) == 9 ? 0 : 9);
  }
  struct seccomp_notif got = take(outer);
  reply(outer, got.id, 9, 0, 0);
  gone(pid);
}
static void ends_while_asked(void) {
  int fd;
  asker(0, -1, &fd);
  take(fd);
  asker(0, -1, &fd);
  await(fd, POLLIN);
  /* Whoever waits goes with the box. */
}

/* Tasks that wait for a supervisor that never answers; others do as they like, and all ends with the box. */
static void floods(void) {
  int fd;
  for (int i = 0; i < 14; i++) {
    pid_t pid = asker(i % 2 ? SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV : 0, 0, &fd);
    if (i % 3 == 0) take(fd);
    if (i % 5 == 0) kill(pid, SIGKILL);
    if (i % 7 == 0) close(fd);
  }
  for (int i = 0; i < 40; i++) {
    pid_t pid = fork();
    if (pid == 0) _exit(i & 127);
    int status;
    if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != (i & 127)) die(9, "held up");
  }
  puts("nobody is held up");
}

static const struct row rows[] = {
    ROW(restarts), ROW(restarts_unreceived), ROW(interrupted), ROW(killable), ROW(killable_is_killed), ROW(killable_unreceived), ROW(ignored), ROW(stopped),
    ROW(killed_unreceived), ROW(forks), ROW(executes), ROW(syncs), ROW(syncs_not), ROW(syncs_later), ROW(computed), ROW(a_later_trace),
    ROW(a_later_trace_of_our_mark), ROW(a_later_allow), ROW(a_later_errno), ROW(the_mark_without_a_listener), ROW(nobody_listens), ROW(bad_programs),
    ROW(no_descriptor_left), ROW(one_after_another), ROW(descriptors), ROW(a_full_table), ROW(sizes), ROW(many), ROW(beside_each_other),
    ROW(a_listener_of_a_listener), ROW(ends_while_asked), ROW(floods),
};
int main(int argc, char **argv) { return run_rows(rows, sizeof rows / sizeof *rows, argc, argv); }
