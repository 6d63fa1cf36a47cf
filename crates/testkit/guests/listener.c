/* listener facts | shadow CALL [PATH]: a seccomp listener of the guest's own.
 * `facts`: a child installs the filter and sends its listener; every request of seccomp_unotify(2), what poll(2) says, and each error, one line each:
 * outside and in a box they are the same lines.
 * `shadow`: whatever the child's filter notifies is continued at once; prints how often it was asked, and what the call answered. Proves that a
 * notification of a guest's lets nothing through that its box refuses (ptrace.md 2B 7 and 8). */
#include "hand.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/utsname.h>

/* Linux 6.6; the headers may be older. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1
#endif

static int commands[2], results[2], channel[2];
static pid_t child;
static void nothing(int sig) { (void)sig; }

static long install(unsigned number, unsigned flags) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

/* What the child tells of a call. */
struct told {
  long value;
  int error;
  char text[16];
};
static void tell(long value) {
  struct told told = {value, value < 0 ? errno : 0, ""};
  if (write(results[1], &told, sizeof told) != sizeof told) _exit(9);
}

static long made(const char *name, const char *path) {
  if (!strcmp(name, "mount")) return syscall(SYS_mount, 0, 0, 0, 0, 0);
  if (!strcmp(name, "keyctl")) return syscall(SYS_keyctl, 0, -3, 0, 0, 0);
  if (!strcmp(name, "unshare")) return syscall(SYS_unshare, CLONE_NEWNS);
  if (!strcmp(name, "openat")) return syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (!strcmp(name, "ptrace")) return syscall(SYS_ptrace, 0x4206, getppid(), 0, 0); /* PTRACE_SEIZE */
  die(2, "unknown call %s", name);
}
static unsigned number_of(const char *name) {
  return !strcmp(name, "mount")     ? SYS_mount
         : !strcmp(name, "keyctl")  ? SYS_keyctl
         : !strcmp(name, "unshare") ? SYS_unshare
         : !strcmp(name, "openat")  ? SYS_openat
                                    : SYS_ptrace;
}

static void child_of_facts(void) {
  struct sigaction action = {.sa_handler = nothing};
  sigaction(SIGUSR1, &action, NULL);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  tell(install(SYS_getpgid, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV));
  tell(install(SYS_getpgid, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC));
  tell(install(SYS_getpgid, SECCOMP_FILTER_FLAG_NEW_LISTENER | 0x4000));
  int fd = (int)install(SYS_getpgid, SECCOMP_FILTER_FLAG_NEW_LISTENER);
  int saved = errno;
  tell(fcntl(fd, F_GETFD) == FD_CLOEXEC);
  errno = saved;
  tell(fd < 0 ? -1 : 0);
  if (fd < 0) _exit(0);
  hand_over(channel[1], fd);
  tell(install(SYS_getpgid, SECCOMP_FILTER_FLAG_NEW_LISTENER));
  char command;
  while (read(commands[0], &command, 1) == 1) {
    long value = syscall(SYS_getpgid, 0, 1, 2, 3, 4, 5);
    struct told told = {value, value < 0 ? errno : 0, ""};
    if (command == 'f' && value >= 0 && pread((int)value, told.text, sizeof told.text - 1, 0) < 0) strcpy(told.text, "unreadable");
    if (write(results[1], &told, sizeof told) != sizeof told) _exit(9);
  }
  _exit(0);
}

static void start(void (*run)(void)) {
  if (pipe2(commands, O_CLOEXEC) || pipe2(results, O_CLOEXEC) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel)) die(9, "pipes: %m");
  fflush(stdout);
  child = fork();
  if (child == 0) {
    close(commands[1]);
    run();
  }
  close(commands[0]);
}
static struct told hear(const char *what) {
  struct told told;
  if (read(results[0], &told, sizeof told) != sizeof told) die(9, "%s: no answer", what);
  errno = told.error;
  return told;
}
static void call(char how) {
  if (write(commands[1], &how, 1) != 1) die(9, "command: %m");
}
static const char *ready(int fd, int wait) {
  static char text[64];
  struct pollfd poll_fd = {fd, wait ? POLLIN : POLLIN | POLLOUT, 0};
  int n = poll(&poll_fd, 1, wait ? -1 : 0);
  snprintf(text, sizeof text, "%d%s%s%s%s", n, poll_fd.revents & POLLIN ? " IN" : "", poll_fd.revents & POLLOUT ? " OUT" : "",
           poll_fd.revents & POLLHUP ? " HUP" : "", poll_fd.revents & POLLERR ? " ERR" : "");
  return text;
}
static int listener;
/* ENOENT: a call that a signal has ended still wakes one RECV. */
static struct seccomp_notif take(void) {
  struct seccomp_notif call = {0};
  while (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
    if (errno != EINTR && errno != ENOENT) die(9, "RECV: %m");
  return call;
}
static long reply(uint64_t id, long value, int error, unsigned flags) {
  struct seccomp_notif_resp resp = {.id = id, .val = value, .error = error, .flags = flags};
  return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
}
static long add(uint64_t id, unsigned flags, int source, unsigned fd, unsigned fd_flags) {
  struct seccomp_notif_addfd with = {.id = id, .flags = flags, .srcfd = (unsigned)source, .newfd = fd, .newfd_flags = fd_flags};
  return ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &with);
}
static const char *valid(uint64_t id) { return errname(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id)); }
static void outcome(const char *what) {
  struct told told = hear(what);
  printf("%s: %s %s\n", what, errname(told.value), told.text);
}

static void requests(void) {
  printf("idle: %s\n", ready(listener, 0));
  call('c');
  printf("a call waits: %s\n", ready(listener, 1));
  struct seccomp_notif got = take();
  printf("recv: nr %d pid %d arch %d args %llu %llu flags %u\n", got.data.nr == SYS_getpgid, got.pid == (unsigned)child,
         got.data.arch == AUDIT_ARCH_X86_64, got.data.args[0], got.data.args[5], got.flags);
  printf("received: %s, valid %s\n", ready(listener, 0), valid(got.id));
  printf("send: %s\n", errname(reply(got.id, 4242, 0, 0)));
  printf("value %ld\n", hear("value").value);
  printf("once more: %s, valid %s\n", errname(reply(got.id, 1, 0, 0)), valid(got.id));
  call('c');
  got = take();
  reply(got.id, 0, -EXDEV, 0);
  outcome("errno");
  call('c');
  got = take();
  printf("bad flags %s, continue with a value %s\n", errname(reply(got.id, 0, 0, 2)), errname(reply(got.id, 1, 0, 1)));
  printf("continue %s\n", errname(reply(got.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE)));
  printf("made %d\n", hear("made").value == getpgid(0));
  /* Ids are counted on: the next one, before anybody has received it. */
  call('c');
  ready(listener, 1);
  int file = memfd_create("text", MFD_CLOEXEC);
  printf("not received: send %s, addfd %s, valid %s\n", errname(reply(got.id + 1, 0, 0, 0)), errname(add(got.id + 1, 0, file, 0, 0)), valid(got.id + 1));
  struct seccomp_notif dirty = {.id = 1};
  printf("a buffer that is not zeroed %s\n", errname(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &dirty)));
  got = take();
  reply(got.id, 0, -EXDEV, 0);
  hear("not received");

  if (write(file, "hello", 5) != 5) die(9, "write");
  call('f');
  got = take();
  printf("addfd: flags %s, source %s, number %s, its flags %s, id %s\n", errname(add(got.id, 4, file, 0, 0)), errname(add(got.id, 0, -1, 0, 0)),
         errname(add(got.id, 0, file, 9, 0)), errname(add(got.id, 0, file, 0, 1)), errname(add(got.id + 7, 0, file, 0, 0)));
  long fd = add(got.id, 0, file, 0, O_CLOEXEC);
  printf("addfd %s\n", errname(fd));
  reply(got.id, fd, 0, 0);
  outcome("its descriptor");
  call('f');
  got = take();
  printf("setfd %ld\n", add(got.id, SECCOMP_ADDFD_FLAG_SETFD, file, 77, 0));
  reply(got.id, 77, 0, 0);
  outcome("number 77");
  call('f');
  got = take();
  printf("addfd and send %s\n", errname(add(got.id, SECCOMP_ADDFD_FLAG_SEND, file, 0, 0)));
  printf("answered: valid %s, send %s\n", valid(got.id), errname(reply(got.id, 0, 0, 0)));
  outcome("answered with it");

  long flags[] = {SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, 2, 0};
  for (int i = 0; i < 3; i++) printf("set_flags %ld %s\n", flags[i], errname(ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags[i])));
  printf("unknown request %s\n", errname(ioctl(listener, _IO('!', 99))));
  char byte;
  printf("read %s, write %s\n", errname(read(listener, &byte, 1)), errname(write(listener, "x", 1)));
}

static void waits(int set, int wait) {
  struct epoll_event said = {0};
  int n = epoll_wait(set, &said, 1, wait);
  printf("epoll %d %x\n", n, n > 0 ? said.events : 0);
}

static void signals_and_ends(void) {
  struct sigaction action = {.sa_handler = nothing};
  sigaction(SIGALRM, &action, NULL);
  struct itimerval often = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &often, NULL);
  struct seccomp_notif none = {0};
  long got_none = ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &none);
  int error = errno;
  setitimer(ITIMER_REAL, &never, NULL);
  errno = error;
  printf("a signal ends RECV: %s\n", errname(got_none));

  call('c');
  ready(listener, 1);
  kill(child, SIGUSR1);
  outcome("a signal before RECV");
  printf("nothing is left: %s\n", ready(listener, 0));
  call('c');
  struct seccomp_notif got = take();
  kill(child, SIGUSR1);
  outcome("a signal after RECV");
  printf("too late: send %s, valid %s, %s\n", errname(reply(got.id, 0, 0, 0)), valid(got.id), ready(listener, 0));

  int set = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
  call('c');
  waits(set, -1);
  got = take();
  waits(set, 0);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  printf("killed: valid %s, send %s, %s\n", valid(got.id), errname(reply(got.id, 0, 0, 0)), ready(listener, 1));
  waits(set, -1);
  int major = 0, minor = 0;
  struct utsname name;
  uname(&name);
  sscanf(name.release, "%d.%d", &major, &minor);
  /* Before Linux 6.11 it would wait for ever. */
  if (major > 6 || (major == 6 && minor >= 11)) {
    memset(&got, 0, sizeof got);
    printf("recv %s\n", errname(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &got)));
  }
  close(set);
}

static void install_facts(void) {
  const char *names[] = {"killable without a listener", "with tsync", "an unknown flag"};
  for (int i = 0; i < 3; i++) printf("%s: %s\n", names[i], errname(hear(names[i]).value));
  printf("close-on-exec: %ld\n", hear("close-on-exec").value);
  struct told told = hear("install");
  printf("install: %s\n", errname(told.value));
  if (told.value < 0) exit(0);
  listener = handed_over(channel[0]);
  printf("a second one: %s\n", errname(hear("second").value));
}

static void facts(void) {
  start(child_of_facts);
  install_facts();
  requests();
  signals_and_ends();
  close(listener);
  start(child_of_facts);
  printf("another child\n");
  install_facts();
  call('c');
  take();
  close(listener);
  outcome("the listener is closed");
  call('c');
  outcome("and after it");
  close(commands[1]);
  waitpid(child, NULL, 0);
  puts("done");
}

static const char *wanted, *path;
static void child_of_shadow(void) {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int fd = (int)install(number_of(wanted), SECCOMP_FILTER_FLAG_NEW_LISTENER);
  tell(fd < 0 ? -1 : 0);
  if (fd >= 0) hand_over(channel[1], fd);
  tell(made(wanted, path));
  _exit(0);
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  if (!strcmp(argv[1], "facts")) {
    facts();
    return 0;
  }
  if (argc < 3) return 2;
  wanted = argv[2];
  path = argc > 3 ? argv[3] : "/";
  start(child_of_shadow);
  struct told told = hear("install");
  printf("listener %s\n", errname(told.value));
  long asked = 0;
  if (told.value >= 0) {
    listener = handed_over(channel[0]);
    while (strstr(ready(listener, 1), "IN")) {
      struct seccomp_notif got = take();
      asked++;
      reply(got.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  printf("asked %ld\n", asked);
  if (WIFSIGNALED(status)) printf("%s: signal %d\n", wanted, WTERMSIG(status));
  else printf("%s: %s\n", wanted, errname(hear(wanted).value));
  return 0;
}
