/* observed WORD...: does what the words say, one after the other, and nothing else that could be mistaken for it. Proves that an observer counts every call and no
 * other. `wait`: reads a byte from standard input. `ppid=N`: N getppid. `odd=N`: N calls of number 1000. `int80=N`: N getpid by the 32-bit
 * gate. `fork`, `clone3`, `pidns`, `cgroup=PATH`: the words that follow
 * are the child's (in a new PID namespace, in that control group), the parent waits. `vfork=N`: N getppid of a vforked child.
 * `threads=N`: N threads with 10 getppid each. `hold=N`: N threads, and all wait. `prctls=N`: N prctl with different operations. `errno=N`, `trap=N`, `kill`, `killthread`: a filter
 * refuses getuid, which is then called (N times). `filter`: a filter that refuses nothing. `notify=N`: a filter sends getuid to a listener that a child thread
 * answers with EACCES. `threadexec`: 64 threads, one of which executes this program with the words that follow. `open=PATH`, `unread`: opens a path that lies in a
 * page that was never touched. `connect=PORT`, `unix=PATH`, `chroot`: asks for CAP_SYS_CHROOT. `exec`: this program with the words that follow. `pause`. */
#include "guest.h"
#include <arpa/inet.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
/* A page of the file that nothing else touches. */
__attribute__((aligned(4096))) static const char untouched[8192] = "/observed/never/touched";
static char **rest;
static void *ten(void *unused) {
  for (int i = 0; i < 10; i++) syscall(SYS_getppid);
  return unused;
}
static void *executes(void *unused) {
  execv("/proc/self/exe", rest);
  die(9, "execv: %s", errname(-1));
  return unused;
}
static void *sleeps(void *unused) {
  for (;;) pause();
  return unused;
}
static int filter(unsigned action, unsigned flags) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int result = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (result < 0) die(7, "seccomp: %s", errname(-1));
  return result;
}
static int listener;
static void *answers(void *unused) {
  struct seccomp_notif asked;
  for (;;) {
    memset(&asked, 0, sizeof asked);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked)) return unused;
    struct seccomp_notif_resp answer = {.id = asked.id, .error = -EACCES};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}
static void trapped(int sig) { (void)sig; }
static volatile pid_t refused_tid;
static void *refused(void *unused) {
  refused_tid = (pid_t)syscall(SYS_gettid);
  syscall(SYS_getuid);
  return unused;
}
static void parent(pid_t child) {
  if (child < 0) die(3, "fork: %s", errname(-1));
  if (child == 0) return;
  int status;
  while (waitpid(child, &status, __WALL) < 0)
    if (errno != EINTR) die(4, "wait: %s", errname(-1));
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}
int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    char *word = argv[i], *value = strchr(word, '=');
    if (value) *value++ = 0;
    long n = value ? strtol(value, NULL, 0) : 0;
    rest = argv + i;
    if (!strcmp(word, "wait")) {
      char byte;
      if (read(0, &byte, 1) != 1) return 2;
    } else if (!strcmp(word, "ppid")) {
      while (n-- > 0) syscall(SYS_getppid);
    } else if (!strcmp(word, "odd")) {
      while (n-- > 0) syscall(1000);
    } else if (!strcmp(word, "int80")) {
#if defined(__x86_64__)
      while (n-- > 0) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
        if (result <= 0) return 77;
      }
#else
      return 77;
#endif
    } else if (!strcmp(word, "fork")) {
      parent(fork());
    } else if (!strcmp(word, "clone3")) {
      struct clone_args args = {.exit_signal = SIGCHLD};
      parent((pid_t)syscall(SYS_clone3, &args, sizeof args));
    } else if (!strcmp(word, "pidns")) {
      if (unshare(CLONE_NEWPID)) return 77;
      parent(fork());
    } else if (!strcmp(word, "cgroup")) {
      int group = open(value, O_PATH | O_DIRECTORY);
      struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)group};
      pid_t child = group < 0 ? -1 : (pid_t)syscall(SYS_clone3, &args, sizeof args);
      if (child < 0) return 77;
      parent(child);
    } else if (!strcmp(word, "vfork")) {
      pid_t child = vfork();
      if (child == 0) {
        for (volatile long left = n; left > 0; left--) syscall(SYS_getppid);
        _exit(0);
      }
      waitpid(child, NULL, 0);
    } else if (!strcmp(word, "threads")) {
      pthread_t ids[256];
      for (long k = 0; k < n; k++) pthread_create(&ids[k], NULL, ten, NULL);
      for (long k = 0; k < n; k++) pthread_join(ids[k], NULL);
    } else if (!strcmp(word, "hold")) {
      pthread_t id;
      while (n-- > 0) pthread_create(&id, NULL, sleeps, NULL);
      for (;;) pause();
    } else if (!strcmp(word, "prctls")) {
      for (long k = 0; k < n; k++) prctl((int)(10000 + k), 0, 0, 0, 0);
    } else if (!strcmp(word, "filter")) {
      filter(SECCOMP_RET_ALLOW, 0);
    } else if (!strcmp(word, "errno")) {
      filter(SECCOMP_RET_ERRNO | EXDEV, 0);
      while (n-- > 0) syscall(SYS_getuid);
    } else if (!strcmp(word, "trap")) {
      signal(SIGSYS, trapped);
      filter(SECCOMP_RET_TRAP, 0);
      while (n-- > 0) syscall(SYS_getuid);
    } else if (!strcmp(word, "kill")) {
      filter(SECCOMP_RET_KILL_PROCESS, 0);
      syscall(SYS_getuid);
    } else if (!strcmp(word, "killthread")) {
      filter(SECCOMP_RET_KILL_THREAD, 0);
      pthread_t id;
      pthread_create(&id, NULL, refused, NULL);
      /* A thread that was killed cannot be joined: nobody wakes its joiner with a result. Its number is nobody's when it has gone. */
      while (!refused_tid || !syscall(SYS_tgkill, getpid(), refused_tid, 0)) usleep(1000);
    } else if (!strcmp(word, "notify")) {
      pthread_t id;
      int pair[2];
      if (pipe(pair)) return 5;
      listener = -1;
      listener = filter(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
      pthread_create(&id, NULL, answers, NULL);
      while (n-- > 0) syscall(SYS_getuid);
      _exit(0);
    } else if (!strcmp(word, "threadexec")) {
      pthread_t id;
      for (int k = 0; k < 63; k++) pthread_create(&id, NULL, sleeps, NULL);
      pthread_create(&id, NULL, executes, NULL);
      for (;;) pause();
    } else if (!strcmp(word, "exec")) {
      execv("/proc/self/exe", rest);
      return 9;
    } else if (!strcmp(word, "open")) {
      int fd = open(value, O_RDONLY);
      if (fd >= 0) close(fd);
    } else if (!strcmp(word, "unread")) {
      madvise((void *)(uintptr_t)untouched, sizeof untouched, MADV_DONTNEED);
      syscall(SYS_openat, AT_FDCWD, untouched, O_RDONLY);
    } else if (!strcmp(word, "connect")) {
      int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)n), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
      connect(fd, (struct sockaddr *)&to, sizeof to);
      close(fd);
    } else if (!strcmp(word, "unix")) {
      int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
      struct sockaddr_un to = {.sun_family = AF_UNIX};
      strncpy(to.sun_path, value, sizeof to.sun_path - 1);
      connect(fd, (struct sockaddr *)&to, sizeof to);
      close(fd);
    } else if (!strcmp(word, "chroot")) {
      if (chroot("/")) return 6;
    } else if (!strcmp(word, "pause")) {
      for (;;) pause();
    } else {
      return 2;
    }
  }
  return 0;
}
