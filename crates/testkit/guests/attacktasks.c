/* attacktasks WHAT …: processes that mean to outlive the box, or to reach others. Proves most of E and some of P and R.
 *   leave exit|stay MARK KIND…   a process of each kind, a line "KIND OK" when it stands; then the end, or none
 *   everybody SIGNAL             kill(-1), kill(0), and the process group of number 1; "alive" after that (SIGNAL is one that is ignored)
 *   exitsignal                   children whose end is told by SIGKILL and SIGSTOP, to a parent that is gone
 *   realtime                     schedulers, nice values, affinity and priorities above what was given
 *   memory                       locks, huge pages, and advice that changes pages of the machine
 *   numbers                      "gone N": a child that led a group of number N is no more; then it stays
 *   first                        the very first call that makes a process */
#include "guest.h"
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
static int told[2];
__attribute__((noreturn)) static void stand(void) {
  close(told[0]);
  if (write(told[1], "x", 1) != 1) _exit(5);
  close(told[1]);
  for (;;) pause();
}
static void *other_thread(void *unused) {
  (void)unused;
  stand();
}
__attribute__((noreturn)) static void become(const char *kind) {
  if (!strcmp(kind, "session")) {
    setsid();
  } else if (!strcmp(kind, "group")) {
    setpgid(0, 0);
  } else if (!strcmp(kind, "daemon")) {
    setsid();
    if (fork()) _exit(0);
    for (int fd = 0; fd < 3; fd++) close(fd);
  } else if (!strcmp(kind, "subreaper")) {
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (!fork()) {
      if (fork()) _exit(0);
      stand();
    }
    for (;;) pause();
  } else if (!strcmp(kind, "deaf")) {
    for (int s = 1; s < 65; s++) signal(s, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
  } else if (!strcmp(kind, "stopped")) {
    if (write(told[1], "x", 1) != 1) _exit(5);
    for (;;) raise(SIGSTOP);
  } else if (!strcmp(kind, "traced")) {
    pid_t pid = fork();
    if (!pid) {
      ptrace(PTRACE_TRACEME, 0, 0, 0);
      if (write(told[1], "x", 1) != 1) _exit(5);
      for (;;) raise(SIGSTOP);
    }
    for (;;) pause();
  } else if (!strcmp(kind, "vfork")) {
    if (vfork() == 0) {
      if (write(told[1], "x", 1) != 1) _exit(5);
      for (;;) pause();
    }
  } else if (!strcmp(kind, "leaderless")) {
    pthread_t t;
    if (pthread_create(&t, NULL, other_thread, NULL)) _exit(5);
    pthread_exit(NULL);
  } else if (!strcmp(kind, "pdeathsig")) {
    prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
    setsid();
  } else if (!strcmp(kind, "sibling")) {
    /* A child of the one that started us. */
    long pid = syscall(SYS_clone, (long)(CLONE_PARENT | SIGCHLD), 0L, 0L, 0L, 0L);
    if (pid < 0) _exit(6);
    if (pid) _exit(0);
  } else if (!strcmp(kind, "untraced")) {
    long pid = syscall(SYS_clone, (long)(CLONE_UNTRACED | SIGCHLD), 0L, 0L, 0L, 0L);
    if (pid < 0) _exit(6);
    if (pid) _exit(0);
  } else {
    _exit(7);
  }
  stand();
}
static void leave(int argc, char **argv) {
  for (int i = 4; i < argc; i++) {
    if (pipe(told)) die(5, "pipe");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) become(argv[i]);
    close(told[1]);
    char byte;
    errno = ECHILD;
    way(argv[i], pid > 0 && read(told[0], &byte, 1) == 1 ? 0 : -1);
    close(told[0]);
  }
  puts("ready");
  fflush(stdout);
  if (!strcmp(argv[2], "stay"))
    for (;;) pause();
  /* Children end before their maker here only if they choose to. */
  _exit(0);
}
static void everybody(int signal_number) {
  signal(signal_number, SIG_IGN);
  way("all", kill(-1, signal_number));
  way("group", kill(0, signal_number));
  way("init_group", kill(-1 * 1, signal_number));
  way("queue_init", syscall(SYS_rt_sigqueueinfo, 1, signal_number, &(siginfo_t){.si_code = SI_QUEUE, .si_signo = signal_number}));
  puts("alive OK");
}
static void exit_signals(void) {
  static const int all[] = {SIGKILL, SIGSTOP, SIGTERM, SIGSEGV};
  for (unsigned i = 0; i < 4; i++) {
    fflush(stdout);
    pid_t middle = fork();
    if (middle == 0) {
      for (int parent = 0; parent < 2; parent++) {
        long pid = syscall(SYS_clone, (long)((parent ? CLONE_PARENT : 0) | all[i]), 0L, 0L, 0L, 0L);
        if (pid == 0) {
          nanosleep(&(struct timespec){0, 20000000}, NULL);
          _exit(0);
        }
      }
      _exit(0);
    }
    waitpid(middle, NULL, __WALL);
  }
  nanosleep(&(struct timespec){0, 60000000}, NULL);
  puts("alive OK");
}
static void realtime(void) {
  struct sched_param one = {.sched_priority = 1}, none = {0};
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attr = {48, 6 /* SCHED_DEADLINE */, 0, 0, 0, 10000000, 30000000, 30000000};
  way("fifo", sched_setscheduler(0, SCHED_FIFO, &one));
  way("round_robin", sched_setscheduler(0, SCHED_RR, &one));
  way("fifo_reset_on_fork", sched_setscheduler(0, SCHED_FIFO | 0x40000000, &one));
  way("deadline", syscall(SYS_sched_setattr, 0, &attr, 0));
  way("nice", setpriority(PRIO_PROCESS, 0, -5));
  way("nice_group", setpriority(PRIO_PGRP, 0, -5));
  way("io_realtime", syscall(SYS_ioprio_set, 1, 0, 1 << 13));
  struct rlimit r = {99, 99};
  way("rtprio", setrlimit(RLIMIT_RTPRIO, &r));
  way("nice_limit", setrlimit(RLIMIT_NICE, &(struct rlimit){40, 40}));
  (void)none;
}
static void memory(void) {
  size_t size = 256 * MiB;
  char *big = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (big == MAP_FAILED) die(5, "map: %s", errname(-1));
  way("mlock", mlock(big, size));
  way("mlock2", syscall(SYS_mlock2, big, size, 0));
  way("hwpoison", madvise(big, 4096, 100 /* MADV_HWPOISON */));
  way("soft_offline", madvise(big, 4096, 101 /* MADV_SOFT_OFFLINE */));
  way("hugetlb", mmap(NULL, 2 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0) == MAP_FAILED ? -1 : 0);
  way("shm_hugetlb", syscall(SYS_memfd_create, "huge", MFD_HUGETLB) < 0 ? -1 : 0);
}
static void numbers(void) {
  pid_t pid = fork();
  if (pid == 0)
    for (;;) pause();
  if (pid < 0 || setpgid(pid, pid) || kill(pid, SIGKILL) || waitpid(pid, NULL, 0) != pid) die(5, "child: %s", errname(-1));
  printf("gone %d\n", pid);
  fflush(stdout);
  for (;;) pause();
}
int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "leave") && argc > 4) leave(argc, argv);
  else if (!strcmp(what, "everybody")) everybody((int)number(argc, argv, 2, SIGURG));
  else if (!strcmp(what, "exitsignal")) exit_signals();
  else if (!strcmp(what, "realtime")) realtime();
  else if (!strcmp(what, "memory")) memory();
  else if (!strcmp(what, "numbers")) numbers();
  else if (!strcmp(what, "first")) {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    way("first", pid);
    if (pid > 0) waitpid(pid, NULL, 0);
  } else return 2;
  return 0;
}
