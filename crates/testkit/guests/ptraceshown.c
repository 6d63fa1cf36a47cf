/* ptraceshown [ROW]: what can be seen of tracing without ptrace(2): in proc(5), and by SIGCHLD where it is taken by sigtimedwait(2) or signalfd(2). One fact per row, in words that do
 * not differ from run to run. Without a name: the names. */
#include "rows.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

static void stops(void) {
  REQ(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
}
static void stops_and_holds(void) {
  stops();
  hold();
}

/* ---- proc(5) */
static char text[8192];
static int take(int fd) {
  ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
  text[n < 0 ? 0 : n] = 0;
  return (int)n;
}
static void who(const char *what) {
  const char *at = strstr(text, "TracerPid:\t");
  pid_t pid = at ? atoi(at + 11) : -1;
  const char *is = pid == 0 ? "nobody" : pid == getpid() ? "me" : pid == getppid() ? "my parent" : "somebody";
  printf("%s: %s\n", what, is);
}
static void state(const char *what) {
  const char *at = strstr(text, "State:\t");
  printf("%s: %.*s\n", what, at ? (int)strcspn(at + 7, "\n") : 0, at ? at + 7 : "");
}
static int file(pid_t pid, const char *name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  return open(path, O_RDONLY);
}
static void status_of(pid_t pid) {
  int fd = file(pid, "status");
  take(fd);
  close(fd);
}
static void all(const char *what, pid_t pid) {
  status_of(pid);
  printf("%s\n", what);
  who("  traced by");
  state("  state");
  int fd = file(pid, "stat");
  take(fd);
  close(fd);
  const char *at = strrchr(text, ')');
  printf("  stat: %c\n", at ? at[2] : '?');
}
/* Until it sleeps: what runs is in any state for a moment. */
static void sleeps(pid_t pid) {
  for (int i = 0; i < 20000; i++) {
    status_of(pid);
    if (strstr(text, "State:\tS")) return;
    usleep(100);
  }
  puts("does not sleep");
}
static void *thread_reads(void *arg) {
  int fd = open("/proc/thread-self/status", O_RDONLY);
  take(fd);
  close(fd);
  who("a thread");
  return arg;
}
static void p_nobody_traces(void) {
  status_of(getpid());
  who("self");
  pthread_t thread;
  pthread_create(&thread, NULL, thread_reads, NULL);
  pthread_join(thread, NULL);
}
static void reads_itself(void) {
  status_of(getpid());
  who("before");
  SAY("traceme", REQ(PTRACE_TRACEME, 0, 0, 0));
  status_of(getpid());
  who("after");
  SAY("twice", REQ(PTRACE_TRACEME, 0, 0, 0));
}
static void p_traceme(void) {
  pid_t pid = running(reads_itself);
  next(pid);
}
static void p_states(void) {
  pid_t pid = running(stops_and_holds);
  next(pid);
  all("stopped", pid);
  SAY("cont", REQ(PTRACE_CONT, pid, 0, 0));
  sleeps(pid);
  all("running", pid);
  kill(pid, SIGUSR1);
  next(pid);
  all("at a signal", pid);
  SAY("detach", REQ(PTRACE_DETACH, pid, 0, 0));
  sleeps(pid);
  all("let go", pid);
  kill(pid, SIGKILL);
  next(pid);
}
static void raises_and_holds(void) {
  raise(SIGSTOP);
  hold();
}
static void p_stopped(void) {
  pid_t pid = running(raises_and_holds);
  int status;
  printf("stopped %d\n", waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
  all("stopped", pid);
  SAY("seize", REQ(PTRACE_SEIZE, pid, 0, 0));
  next(pid);
  all("seized", pid);
  SAY("listen", REQ(PTRACE_LISTEN, pid, 0, 0));
  all("listening", pid);
  kill(pid, SIGCONT);
  next(pid);
  SAY("cont", REQ(PTRACE_CONT, pid, 0, 0));
  next(pid);
  SAY("cont", REQ(PTRACE_CONT, pid, 0, SIGCONT));
  sleeps(pid);
  all("continued", pid);
  kill(pid, SIGKILL);
  next(pid);
}
/* What was opened earlier tells in the stop that comes next. */
static void at_a_signal(pid_t pid, int fd) {
  REQ(PTRACE_CONT, pid, 0, 0);
  sleeps(pid);
  kill(pid, SIGUSR1);
  next(pid);
  take(fd);
  who("at a signal");
  state("at a signal");
}
static void p_read_again(void) {
  pid_t pid = running(stops_and_holds);
  next(pid);
  int fd = file(pid, "status");
  take(fd);
  who("first");
  state("first");
  at_a_signal(pid, fd);
  REQ(PTRACE_DETACH, pid, 0, 0);
  sleeps(pid);
  take(fd);
  who("let go");
  /* In pieces, and from the start again. */
  char piece[8];
  size_t length = 0;
  for (ssize_t n; (n = read(fd, piece, sizeof piece)) > 0; length += (size_t)n) {
  }
  printf("in pieces %d, again %d\n", length > 100, lseek(fd, 0, SEEK_SET) == 0 && read(fd, piece, 5) == 5 && !memcmp(piece, "Name:", 5));
  close(fd);
  kill(pid, SIGKILL);
  next(pid);
}
static void p_read_after_many(void) {
  pid_t pid = running(stops_and_holds);
  next(pid);
  int fd = file(pid, "status");
  for (int i = 0; i < 200; i++) close(file(pid, "status"));
  at_a_signal(pid, fd);
  close(fd);
  kill(pid, SIGKILL);
  next(pid);
}
static void road(const char *name, int fd) {
  take(fd);
  who(name);
  close(fd);
}
static void roads(void) {
  char path[64];
  REQ(PTRACE_TRACEME, 0, 0, 0);
  int before = dup(0);
  close(before);
  int proc = open("/proc", O_RDONLY | O_DIRECTORY), self = open("/proc/self", O_PATH | O_DIRECTORY);
  road("from proc", openat(proc, "self/status", O_RDONLY));
  road("from self", openat(self, "status", O_RDONLY | O_CLOEXEC));
  snprintf(path, sizeof path, "/proc/self/fd/%d/status", self);
  road("by a descriptor", open(path, O_RDONLY));
  snprintf(path, sizeof path, "self/task/%d/status", getpid());
  road("a task", openat(proc, path, O_RDONLY));
  road("thread-self", open("/proc/thread-self/status", O_RDONLY));
  road("slashes", open("//proc//self/.././self/status", O_RDONLY));
  struct { uint64_t flags, mode, resolve; } how = {O_RDONLY, 0, 0};
  road("openat2", (int)syscall(437 /* openat2 */, self, "status", &how, sizeof how));
  road("open", (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_NOFOLLOW));
  if (chdir("/proc/self")) puts("no chdir");
  road("here", open("status", O_RDONLY));
  road("cwd", open("/proc/self/cwd/status", O_RDONLY));
  int fd = openat(self, "status", O_RDONLY | O_CLOEXEC);
  printf("the lowest %d, close on exec %d\n", fd == self + 1, fcntl(fd, F_GETFD));
  close(fd);
  fd = openat(self, "status", O_RDONLY);
  printf("close on exec %d\n", fcntl(fd, F_GETFD));
  int after = dup(0);
  printf("none is left %d\n", after == fd + 1);
  SAY("a directory", openat(self, "status/", O_RDONLY));
  SAY("not there", openat(self, "task/0/status", O_RDONLY));
  SAY("no memory", openat(self, (char *)8, O_RDONLY));
}
static void p_roads(void) {
  pid_t pid = running(roads);
  next(pid);
}

/* ---- SIGCHLD */
static sigset_t chld;
static void block(int how) {
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  sigprocmask(how, &chld, NULL);
}
static void waits(pid_t pid, const char *what) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  struct timespec none = {0, 0}, *timeout = pid ? NULL : &none;
  int got = sigtimedwait(&chld, &info, timeout);
  if (got < 0) {
    SAY(what, got);
    return;
  }
  printf("%s: signal %d code %d status %d errno %d, %s\n", what, got, info.si_code, info.si_status, info.si_errno,
         info.si_pid == pid && info.si_uid == getuid() ? "the tracee's" : "another's");
}
static void leave(pid_t pid) {
  kill(pid, SIGKILL);
  next(pid);
}
static void s_sigwait_first(void) {
  block(SIG_BLOCK);
  pid_t pid = running(stops);
  waits(pid, "stopped");
  next(pid);
  waits(0, "nothing more");
  REQ(PTRACE_CONT, pid, 0, 0);
  waits(pid, "ended");
  next(pid);
  waits(0, "nothing more");
}
static void s_sigwait_last(void) {
  block(SIG_BLOCK);
  pid_t pid = running(stops);
  next(pid);
  waits(pid, "stopped");
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  waits(pid, "ended");
  waits(0, "nothing more");
}
static void s_sigwait_of_no_child(void) {
  int numbers[2];
  if (pipe(numbers)) return;
  pid_t child = fork();
  if (child == 0) {
    pid_t grandchild = running(hold);
    if (write(numbers[1], &grandchild, sizeof grandchild) != sizeof grandchild) _exit(1);
    hold();
  }
  pid_t pid;
  if (read(numbers[0], &pid, sizeof pid) != sizeof pid) return;
  block(SIG_BLOCK);
  SAY("seize", REQ(PTRACE_SEIZE, pid, 0, 0));
  SAY("interrupt", REQ(PTRACE_INTERRUPT, pid, 0, 0));
  waits(pid, "interrupted");
  next(pid);
  REQ(PTRACE_CONT, pid, 0, 0);
  kill(pid, SIGUSR2);
  waits(pid, "at a signal");
  next(pid);
  kill(pid, SIGKILL);
  waits(pid, "killed");
  next(pid);
  leave(child);
}
static void s_one_is_pending(void) {
  block(SIG_BLOCK);
  pid_t first = running(stops), second;
  siginfo_t info;
  waitid(P_PID, (id_t)first, &info, WSTOPPED | WNOWAIT);
  second = running(stops);
  waitid(P_PID, (id_t)second, &info, WSTOPPED | WNOWAIT);
  waits(first, "the first of two");
  waits(0, "nothing more");
  next(first);
  next(second);
  leave(second);
  waits(second, "the second one's end");
  leave(first);
}
static void pending(const char *what) {
  sigset_t set;
  sigpending(&set);
  printf("%s: %d\n", what, sigismember(&set, SIGCHLD));
}
static void s_pending(void) {
  block(SIG_BLOCK);
  pending("before");
  pid_t pid = running(stops);
  next(pid);
  pending("stopped");
  waits(pid, "taken");
  pending("after");
  leave(pid);
  pending("killed");
}
static void s_not_blocked(void) {
  pid_t pid = running(stops);
  next(pid);
  block(SIG_BLOCK);
  pending("it was not blocked");
  waits(0, "nothing");
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  waits(pid, "the end");
}
static volatile sig_atomic_t seen;
static siginfo_t last;
static void handler(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)context;
  last = *info;
  seen++;
}
static void s_handled_later(void) {
  block(SIG_BLOCK);
  struct sigaction action = {.sa_flags = SA_SIGINFO};
  action.sa_sigaction = handler;
  sigaction(SIGCHLD, &action, NULL);
  pid_t pid = running(stops);
  next(pid);
  printf("blocked %d\n", seen);
  block(SIG_UNBLOCK);
  printf("seen %d code %d status %d %d\n", seen, last.si_code, last.si_status, last.si_pid == pid);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  printf("seen %d code %d status %d %d\n", seen, last.si_code, last.si_status, last.si_pid == pid);
}
static void s_ignored_but_blocked(void) {
  block(SIG_BLOCK);
  signal(SIGCHLD, SIG_IGN);
  pid_t pid = running(stops);
  next(pid);
  pending("ignored and blocked");
  leave(pid);
}
static void *takes(void *arg) {
  waits(*(pid_t *)arg, "in a thread");
  return NULL;
}
static void s_a_thread_takes_it(void) {
  block(SIG_BLOCK);
  pthread_t thread;
  pid_t pid = running(stops);
  pthread_create(&thread, NULL, takes, &pid);
  pthread_join(thread, NULL);
  next(pid);
  leave(pid);
}
static void ready(int fd, pid_t pid, const char *what) {
  struct signalfd_siginfo info;
  ssize_t n = read(fd, &info, sizeof info);
  if (n != sizeof info) {
    SAY(what, n);
    return;
  }
  printf("%s: signal %u code %d status %d errno %d, %s\n", what, info.ssi_signo, info.ssi_code, info.ssi_status, info.ssi_errno,
         info.ssi_pid == (uint32_t)pid && info.ssi_uid == getuid() ? "the tracee's" : "another's");
}
static void s_signalfd(void) {
  block(SIG_BLOCK);
  int fd = signalfd(-1, &chld, SFD_NONBLOCK);
  pid_t pid = running(stops);
  next(pid);
  ready(fd, pid, "stopped");
  ready(fd, pid, "nothing more");
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  ready(fd, pid, "ended");
}
static void s_signalfd_first(void) {
  block(SIG_BLOCK);
  int fd = signalfd(-1, &chld, 0);
  pid_t pid = running(stops);
  ready(fd, pid, "stopped");
  next(pid);
  REQ(PTRACE_CONT, pid, 0, 0);
  ready(fd, pid, "ended");
  next(pid);
}
static void later(void) {
  REQ(PTRACE_TRACEME, 0, 0, 0);
  usleep(30000);
  raise(SIGSTOP);
  usleep(30000);
}
static void s_signalfd_polled(void) {
  block(SIG_BLOCK);
  int fd = signalfd(-1, &chld, SFD_NONBLOCK);
  pid_t pid = running(later);
  struct pollfd poll_it = {fd, POLLIN, 0};
  SAY("poll", poll(&poll_it, 1, -1));
  ready(fd, pid, "stopped");
  next(pid);
  REQ(PTRACE_CONT, pid, 0, 0);
  int set = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
  SAY("epoll", epoll_wait(set, &event, 1, -1));
  ready(fd, pid, "ended");
  next(pid);
}

/* A leader that leaves before its threads, and one whose thread executes a program. */
static void *holds(void *arg) {
  hold();
  return arg;
}
static void leader_leaves(void) {
  pthread_t thread;
  stops();
  pthread_create(&thread, NULL, holds, NULL);
  syscall(SYS_exit, 3);
}
static void s_leader_leaves_first(void) {
  block(SIG_BLOCK);
  pid_t pid = running(leader_leaves);
  waits(pid, "stopped");
  next(pid);
  REQ(PTRACE_CONT, pid, 0, 0);
  waits(pid, "the leader has left");
  int status;
  printf("nobody can wait for it %d\n", waitpid(pid, &status, WNOHANG));
  kill(pid, SIGKILL);
  next(pid);
  printf("told again %d\n", sigtimedwait(&chld, NULL, &(struct timespec){1, 0}));
}
static void *executes(void *arg) {
  execl("/proc/self/exe", "ptraceshown", "exit", (char *)NULL);
  return arg;
}
static void thread_executes(void) {
  pthread_t thread;
  stops();
  pthread_create(&thread, NULL, executes, NULL);
  hold();
}
static void s_thread_executes(void) {
  block(SIG_BLOCK);
  pid_t pid = running(thread_executes);
  waits(pid, "stopped");
  next(pid);
  SAY("options", REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC));
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  waits(pid, "makes a thread");
  unsigned long thread;
  REQ(PTRACE_GETEVENTMSG, pid, 0, &thread);
  next((pid_t)thread);
  sigtimedwait(&chld, NULL, &(struct timespec){1, 0});
  REQ(PTRACE_CONT, pid, 0, 0);
  REQ(PTRACE_CONT, (pid_t)thread, 0, 0);
  /* It is in its stop when the wait can tell of it; until it has, the number may be meant for the former leader. */
  siginfo_t info;
  do waitid(P_PID, (id_t)pid, &info, WSTOPPED | WEXITED | WNOWAIT | __WALL);
  while (info.si_code != CLD_TRAPPED);
  SAY("before the wait", REQ(PTRACE_PEEKUSER, pid, 0, &thread));
  next(pid);
  SAY("after it", REQ(PTRACE_PEEKUSER, pid, 0, &thread));
  waits(pid, "the former leader's end");
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  waits(pid, "the end");
}

static const struct row rows[] = {
    ROW(p_nobody_traces), ROW(p_traceme), ROW(p_states), ROW(p_stopped), ROW(p_read_again), ROW(p_read_after_many),
    ROW(p_roads),
    ROW(s_sigwait_first), ROW(s_sigwait_last), ROW(s_sigwait_of_no_child), ROW(s_one_is_pending), ROW(s_pending), ROW(s_not_blocked),
    ROW(s_handled_later), ROW(s_ignored_but_blocked), ROW(s_a_thread_takes_it), ROW(s_signalfd), ROW(s_signalfd_first), ROW(s_signalfd_polled),
    ROW(s_leader_leaves_first), ROW(s_thread_executes),
};

int main(int argc, char **argv) { return run_rows(rows, sizeof rows / sizeof *rows, argc, argv); }
