/* ptracerows [ROW]: one fact of ptrace(2) per row, in words that do not differ from run to run. Without a name: the names. */
#include "rows.h"

#include <elf.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/user.h>

/* A child that asks to be traced and stops. */
static pid_t child(void (*then)(void)) {
  pid_t pid = fork();
  if (pid == 0) {
    REQ(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    then();
    _exit(5);
  }
  next(pid);
  return pid;
}

static void nothing(void) {}
static void twice(void) {
  syscall(SYS_getppid);
  syscall(SYS_getuid);
}
static void forks(void) {
  pid_t pid = fork();
  if (pid == 0) _exit(6);
  waitpid(pid, NULL, 0);
}
static void vforks(void) {
  pid_t pid = vfork();
  if (pid == 0) _exit(6);
  waitpid(pid, NULL, 0);
}
static void executes(void) { execl("/proc/self/exe", "ptracerows", "exit", (char *)NULL); }
static void *thread_exec(void *arg) {
  executes();
  return arg;
}
static void executes_elsewhere(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, thread_exec, NULL);
  hold();
}
static void signals(void) {
  signal(SIGUSR1, SIG_IGN);
  raise(SIGUSR1);
  raise(SIGUSR2);
}
static void *leaver(void *arg) {
  syscall(SYS_exit, 3);
  return arg;
}
static void makes_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, leaver, NULL);
  pthread_join(thread, NULL);
}

/* ---- requests */
static void r1_unknown(void) {
  pid_t pid = child(nothing);
  SAY("in a stop", REQ(9999, pid, 0, 0));
  SAY("nobody", REQ(9999, 1 << 22, 0, 0));
  REQ(PTRACE_CONT, pid, 0, 0);
  SAY("running", REQ(9999, pid, 0, 0));
  next(pid);
}
static void *asks(void *arg) {
  struct user_regs_struct regs;
  SAY("another thread", REQ(PTRACE_GETREGS, *(pid_t *)arg, 0, &regs));
  return NULL;
}
static void r2_state_and_thread(void) {
  struct user_regs_struct regs;
  pid_t pid = running(hold);
  SAY("not ours", REQ(PTRACE_GETREGS, pid, 0, &regs));
  SAY("seize", REQ(PTRACE_SEIZE, pid, 0, 0));
  SAY("running", REQ(PTRACE_GETREGS, pid, 0, &regs));
  SAY("interrupt", REQ(PTRACE_INTERRUPT, pid, 0, 0));
  next(pid);
  SAY("stopped", REQ(PTRACE_GETREGS, pid, 0, &regs));
  pthread_t thread;
  pthread_create(&thread, NULL, asks, &pid);
  pthread_join(thread, NULL);
  kill(pid, SIGKILL);
  next(pid);
  SAY("gone", REQ(PTRACE_GETREGS, pid, 0, &regs));
}
static void r3_traceme(void) {
  pid_t pid = fork();
  if (pid == 0) {
    SAY("first", REQ(PTRACE_TRACEME, 0, 0, 0));
    SAY("second", REQ(PTRACE_TRACEME, 0, 0, 0));
    fflush(stdout);
    _exit(0);
  }
  next(pid);
}
static void r4_attach(void) {
  SAY("self", REQ(PTRACE_ATTACH, getpid(), 0, 0));
  SAY("nobody", REQ(PTRACE_ATTACH, 1 << 22, 0, 0));
  pid_t pid = running(hold);
  SAY("child", REQ(PTRACE_ATTACH, pid, 0, 0));
  SAY("again", REQ(PTRACE_ATTACH, pid, 0, 0));
  next(pid);
  siginfo_t info;
  SAY("siginfo", REQ(PTRACE_GETSIGINFO, pid, 0, &info));
  printf("signo %d code %d pid %d\n", info.si_signo, info.si_code, info.si_pid);
  SAY("detach", REQ(PTRACE_DETACH, pid, 0, SIGKILL));
  next(pid);
}
static void r5_seize(void) {
  pid_t pid = running(hold);
  SAY("address", REQ(PTRACE_SEIZE, pid, 1, 0));
  SAY("options", REQ(PTRACE_SEIZE, pid, 0, 1 << 8));
  SAY("seize", REQ(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL));
  int status;
  printf("no stop %d\n", (int)waitpid(pid, &status, WNOHANG | __WALL));
  kill(pid, SIGKILL);
  next(pid);
}
static void r6_interrupt(void) {
  pid_t pid = child(nothing);
  SAY("not seized", REQ(PTRACE_INTERRUPT, pid, 0, 0));
  kill(pid, SIGKILL);
  next(pid);
  pid = running(hold);
  REQ(PTRACE_SEIZE, pid, 0, 0);
  SAY("seized", REQ(PTRACE_INTERRUPT, pid, 0, 0));
  next(pid);
  SAY("in a stop", REQ(PTRACE_INTERRUPT, pid, 0, 0));
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  kill(pid, SIGKILL);
  next(pid);
}
static void r7_listen(void) {
  pid_t pid = running(hold);
  REQ(PTRACE_SEIZE, pid, 0, 0);
  kill(pid, SIGSTOP);
  next(pid);
  SAY("in a signal stop", REQ(PTRACE_LISTEN, pid, 0, 0));
  REQ(PTRACE_CONT, pid, 0, SIGSTOP);
  next(pid);
  SAY("in a group stop", REQ(PTRACE_LISTEN, pid, 0, 0));
  SAY("then", REQ(PTRACE_CONT, pid, 0, 0));
  kill(pid, SIGCONT);
  next(pid);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  kill(pid, SIGKILL);
  next(pid);
}
static void r8_signals(void) {
  pid_t pid = child(signals);
  SAY("no signal", REQ(PTRACE_CONT, pid, 0, 65));
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  REQ(PTRACE_CONT, pid, 0, SIGUSR1);
  next(pid);
  REQ(PTRACE_SYSCALL, pid, 0, SIGWINCH);
  next(pid);
  REQ(PTRACE_CONT, pid, 0, SIGWINCH);
  next(pid);
  siginfo_t info = {0};
  REQ(PTRACE_GETSIGINFO, pid, 0, &info);
  printf("signo %d code %d pid %d\n", info.si_signo, info.si_code, info.si_pid);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
}
static void r9_singleblock(void) {
  pid_t pid = child(twice);
  for (int i = 0; i < 3; i++) {
    SAY("block", REQ(33, pid, 0, 0));
    next(pid);
  }
  kill(pid, SIGKILL);
  next(pid);
}
static void r10_detach(void) {
  pid_t pid = child(nothing);
  SAY("no signal", REQ(PTRACE_DETACH, pid, 0, 99));
  SAY("detach", REQ(PTRACE_DETACH, pid, 0, SIGTERM));
  next(pid);
}
static void r11_kill(void) {
  pid_t pid = running(hold);
  SAY("not ours", REQ(PTRACE_KILL, pid, 0, 0));
  REQ(PTRACE_SEIZE, pid, 0, 0);
  SAY("running", REQ(PTRACE_KILL, pid, 0, 0));
  next(pid);
}
static long word = 77;
static void r12_peek_poke(void) {
  pid_t pid = child(nothing);
  long seen = 0;
  SAY("peek", REQ(PTRACE_PEEKDATA, pid, &word, &seen));
  printf("%ld\n", seen);
  SAY("text", REQ(PTRACE_POKETEXT, pid, (unsigned long)nothing & ~7ul, 0x1122334455667788));
  REQ(PTRACE_PEEKTEXT, pid, (unsigned long)nothing & ~7ul, &seen);
  printf("%lx\n", seen);
  SAY("nowhere", REQ(PTRACE_PEEKDATA, pid, 8, &seen));
  SAY("to nowhere", REQ(PTRACE_PEEKDATA, pid, &word, 8));
  kill(pid, SIGKILL);
  next(pid);
}
static void writes(void) { *(volatile long *)&word = 5; }
static void r13_debug_registers(void) {
  pid_t pid = child(writes);
  SAY("address", REQ(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), &word));
  SAY("control", REQ(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]), 0xd0001));
  SAY("unaligned", REQ(PTRACE_PEEKUSER, pid, 3, &word));
  SAY("beyond", REQ(PTRACE_PEEKUSER, pid, sizeof(struct user) + 8, &word));
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  siginfo_t info;
  REQ(PTRACE_GETSIGINFO, pid, 0, &info);
  printf("code %d\n", info.si_code);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
}
static void r14_registers(void) {
  struct user_regs_struct regs;
  struct user_fpregs_struct fp;
  pid_t pid = child(nothing);
  SAY("get", REQ(PTRACE_GETREGS, pid, 0, &regs));
  SAY("set", REQ(PTRACE_SETREGS, pid, 0, &regs));
  regs.fs_base = -1ul;
  SAY("bad base", REQ(PTRACE_SETREGS, pid, 0, &regs));
  SAY("get", REQ(PTRACE_GETFPREGS, pid, 0, &fp));
  SAY("set", REQ(PTRACE_SETFPREGS, pid, 0, &fp));
  SAY("to nowhere", REQ(PTRACE_GETREGS, pid, 0, 8));
  kill(pid, SIGKILL);
  next(pid);
}
static void r15_sets(void) {
  static char bytes[1 << 16];
  pid_t pid = child(nothing);
  const long sets[] = {NT_PRSTATUS, NT_PRFPREG, NT_X86_XSTATE, 0x1234};
  const size_t sizes[] = {sizeof bytes, 216, 64, 7, 0};
  for (int s = 0; s < 4; s++)
    for (int n = 0; n < 5; n++) {
      struct iovec iov = {bytes, sizes[n]};
      SAY("get", REQ(PTRACE_GETREGSET, pid, sets[s], &iov));
      printf("%zu\n", iov.iov_len);
      SAY("set", REQ(PTRACE_SETREGSET, pid, sets[s], &iov));
      printf("%zu\n", iov.iov_len);
    }
  kill(pid, SIGKILL);
  next(pid);
}
static void r16_siginfo(void) {
  siginfo_t info;
  pid_t pid = child(signals);
  SAY("signal", REQ(PTRACE_GETSIGINFO, pid, 0, &info));
  REQ(PTRACE_CONT, pid, 0, SIGSTOP);
  next(pid);
  SAY("group", REQ(PTRACE_GETSIGINFO, pid, 0, &info));
  SAY("group", REQ(PTRACE_SETSIGINFO, pid, 0, &info));
  kill(pid, SIGKILL);
  next(pid);
}
static void r17_mask(void) {
  unsigned long mask = 0;
  pid_t pid = child(signals);
  SAY("size", REQ(PTRACE_GETSIGMASK, pid, 4, &mask));
  mask = -1ul;
  SAY("set", REQ(PTRACE_SETSIGMASK, pid, 8, &mask));
  SAY("get", REQ(PTRACE_GETSIGMASK, pid, 8, &mask));
  printf("%lx\n", mask);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
}
static void r18_peeksiginfo(void) {
  struct { unsigned long off; unsigned flags; int nr; } args = {0, 0, 4};
  siginfo_t many[4];
  pid_t pid = child(nothing);
  syscall(SYS_tgkill, pid, pid, SIGUSR1);
  syscall(SYS_tgkill, pid, pid, SIGTERM);
  kill(pid, SIGUSR2);
  printf("own %ld\n", REQ(PTRACE_PEEKSIGINFO, pid, &args, many));
  args.flags = 1;
  printf("shared %ld\n", REQ(PTRACE_PEEKSIGINFO, pid, &args, many));
  args.flags = 2;
  SAY("flags", REQ(PTRACE_PEEKSIGINFO, pid, &args, many));
  args.nr = -1;
  SAY("negative", REQ(PTRACE_PEEKSIGINFO, pid, &args, many));
  /* Room for one, and for none. */
  char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(pages + 4096, 4096, PROT_READ);
  args.flags = 0;
  args.nr = 4;
  printf("room for one %ld\n", REQ(PTRACE_PEEKSIGINFO, pid, &args, pages + 4096 - sizeof many[0]));
  SAY("room for none", REQ(PTRACE_PEEKSIGINFO, pid, &args, pages + 4096));
  kill(pid, SIGKILL);
  next(pid);
}
/* A thread that is born into a stopped process stops with it first: the SIGSTOP that every new tracee begins with is still to come then, and stands in no queue. */
static void r18_peeksiginfo_of_a_new_thread(void) {
  struct __ptrace_peeksiginfo_args args = {0, 0, 2};
  siginfo_t infos[2] = {0};
  unsigned long made = 0;
  pid_t pid = child(makes_thread);
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE);
  SAY("stops", REQ(PTRACE_CONT, pid, 0, SIGSTOP));
  next(pid);
  SAY("goes on", REQ(PTRACE_CONT, pid, 0, 0));
  next(pid);
  SAY("message", REQ(PTRACE_GETEVENTMSG, pid, 0, &made));
  pid_t thread = (pid_t)made;
  next(thread);
  printf("none %ld\n", REQ(PTRACE_PEEKSIGINFO, thread, &args, infos));
  syscall(SYS_tgkill, pid, thread, SIGUSR1);
  printf("one %ld", REQ(PTRACE_PEEKSIGINFO, thread, &args, infos));
  printf(" signo %d\n", infos[0].si_signo);
  args.off = 1;
  printf("behind it %ld\n", REQ(PTRACE_PEEKSIGINFO, thread, &args, infos));
  SAY("its first", REQ(PTRACE_CONT, thread, 0, 0));
  next(thread);
  args.off = 0;
  printf("then %ld\n", REQ(PTRACE_PEEKSIGINFO, thread, &args, infos));
  kill(pid, SIGKILL);
}
static void info_of(pid_t pid) {
  unsigned char info[88] = {0};
  long size = REQ(0x420e, pid, sizeof info, info);
  unsigned long message = 0;
  REQ(PTRACE_GETEVENTMSG, pid, 0, &message);
  printf("op %d size %ld message %lu short %ld\n", info[0], size, message, REQ(0x420e, pid, 4, info));
}
static void r19_r20_messages(void) {
  pid_t pid = child(twice);
  info_of(pid);
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXIT);
  for (int i = 0; i < 4; i++) {
    REQ(PTRACE_SYSCALL, pid, 0, 0);
    next(pid);
    info_of(pid);
  }
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  info_of(pid);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
}
static void r21_set_syscall_info(void) {
  unsigned char info[88] = {0};
  pid_t pid = child(twice);
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
  do REQ(PTRACE_SYSCALL, pid, 0, 0);
  while (next(pid) >> 8 != (SIGTRAP | 0x80));
  REQ(0x420e, pid, sizeof info, info);
  SAY("same", REQ(0x4212, pid, sizeof info, info));
  SAY("size", REQ(0x4212, pid, 8, info));
  info[0] = 2;
  SAY("another op", REQ(0x4212, pid, sizeof info, info));
  kill(pid, SIGKILL);
  next(pid);
}
static void r23_r24_configurations(void) {
  unsigned char bytes[64] = {0};
  pid_t pid = child(nothing);
  SAY("rseq", REQ(0x420f, pid, 24, bytes));
  SAY("rseq size", REQ(0x420f, pid, 8, bytes));
  SAY("dispatch", REQ(0x4211, pid, 32, bytes));
  SAY("dispatch size", REQ(0x4211, pid, 8, bytes));
  SAY("set dispatch", REQ(0x4210, pid, 32, bytes));
  SAY("base", REQ(30, pid, bytes, 0x1003));
  SAY("no such", REQ(30, pid, bytes, 0x1009));
  SAY("area", REQ(25, pid, 12, bytes));
  kill(pid, SIGKILL);
  next(pid);
}
/* ---- options */
static void events_of(void (*what)(void), long options, int turns) {
  pid_t pid = child(what);
  SAY("options", REQ(PTRACE_SETOPTIONS, pid, 0, options));
  pid_t made = 0;
  int signal = 0;
  for (int i = 0; i < turns; i++) {
    REQ(PTRACE_CONT, pid, 0, signal);
    int status = next(pid);
    signal = 0;
    if (!WIFSTOPPED(status)) break;
    int event = status >> 16;
    unsigned long message = 0;
    SAY("message", REQ(PTRACE_GETEVENTMSG, pid, 0, &message));
    if (event >= 1 && event <= 3) {
      made = (pid_t)message;
      printf("child %d\n", made > 0);
      next(made);
      siginfo_t info;
      REQ(PTRACE_GETSIGINFO, made, 0, &info);
      printf("signo %d code %d pid %d\n", info.si_signo, info.si_code, info.si_pid);
      REQ(PTRACE_CONT, made, 0, 0);
      next(made);
    } else if (event == 4)
      printf("former %s\n", (pid_t)message == pid ? "the same" : "another");
    else if (event == 5)
      printf("done %s\n", (made != 0 ? (pid_t)message == made : (pid_t)message > 0) ? "right" : "wrong");
    else if (event == 0)
      signal = WSTOPSIG(status) == SIGCHLD ? 0 : WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
  }
}
static void o2_fork(void) { events_of(forks, PTRACE_O_TRACEFORK, 8); }
static void o2_vfork(void) { events_of(vforks, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE, 8); }
static void o2_clone(void) { events_of(makes_thread, PTRACE_O_TRACECLONE, 8); }
static void o3_vforkdone(void) { events_of(vforks, PTRACE_O_TRACEVFORKDONE, 8); }
static void o4_exec(void) { events_of(executes, PTRACE_O_TRACEEXEC, 4); }
static void o4_exec_without(void) { events_of(executes, 0, 4); }
static void o5_exit(void) { events_of(nothing, PTRACE_O_TRACEEXIT, 4); }
static void o_bad(void) {
  pid_t pid = child(nothing);
  SAY("bit 8", REQ(PTRACE_SETOPTIONS, pid, 0, 1 << 8));
  SAY("bit 33", REQ(PTRACE_SETOPTIONS, pid, 0, 1ul << 33));
  SAY("old number", REQ(21, pid, 0, 1));
  kill(pid, SIGKILL);
  next(pid);
}
static void o7_tracer_dies(int options) {
  pid_t pid = running(hold);
  pid_t tracer = fork();
  if (tracer == 0) {
    REQ(PTRACE_SEIZE, pid, 0, options);
    _exit(0);
  }
  waitpid(tracer, NULL, 0);
  usleep(50000);
  int status = 0;
  printf("alive %d\n", waitpid(pid, &status, WNOHANG) == 0);
  kill(pid, SIGKILL);
}
static void o7_exitkill(void) { o7_tracer_dies(PTRACE_O_EXITKILL); }
static void o7_no_exitkill(void) { o7_tracer_dies(0); }
/* ---- stops and waits */
static void w4_group_stop(void) {
  pid_t pid = child(nothing);
  REQ(PTRACE_CONT, pid, 0, SIGSTOP);
  next(pid);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
}
static void w5_attach_to_stopped(void) {
  pid_t pid = running(hold);
  kill(pid, SIGSTOP);
  int status;
  waitpid(pid, &status, WUNTRACED);
  SAY("attach", REQ(PTRACE_ATTACH, pid, 0, 0));
  printf("at once %d\n", waitpid(pid, &status, WNOHANG) == pid);
  printf("status %x\n", status);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  kill(pid, SIGCONT);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  kill(pid, SIGKILL);
  next(pid);
}
static pid_t waited;
static void *waits(void *arg) {
  int status = 0;
  printf("any thread %d\n", waitpid(waited, &status, __WALL) == waited);
  printf("own only %d %s\n", (int)waitpid(waited, &status, __WALL | __WNOTHREAD | WNOHANG), errname(-1));
  return arg;
}
static void w6_threads_wait(void) {
  pid_t pid = child(nothing);
  waited = pid;
  REQ(PTRACE_SINGLESTEP, pid, 0, 0);
  pthread_t thread;
  pthread_create(&thread, NULL, waits, NULL);
  pthread_join(thread, NULL);
  kill(pid, SIGKILL);
  next(pid);
}
static void w7_selection(void) {
  pid_t pid = child(nothing);
  setpgid(pid, pid);
  int status = 0;
  siginfo_t info = {0};
  int fd = (int)syscall(SYS_pidfd_open, pid, 0);
  for (int way = 0; way < 7; way++) {
    REQ(PTRACE_SINGLESTEP, pid, 0, 0);
    waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT);
    memset(&info, 0, sizeof info);
    long got = 0;
    switch (way) {
    case 0: got = waitpid(-1, &status, WNOHANG); break;
    case 1: got = waitpid(pid, &status, WNOHANG); break;
    case 2: got = waitpid(-pid, &status, WNOHANG); break;
    case 3: got = waitpid(0, &status, WNOHANG); break;
    case 4: got = waitid(P_PIDFD, (id_t)fd, &info, WSTOPPED | WNOHANG); break;
    case 5: got = waitid(P_PGID, (id_t)pid, &info, WEXITED | WNOHANG); break;
    default: got = waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT | WNOHANG);
    }
    printf("way %d %s code %d status %x\n", way, got < 0 ? errname(-1) : got == pid ? "pid" : got == 0 ? "0" : "?", info.si_code,
           (unsigned)info.si_status);
  }
  SAY("flags", waitid(P_ALL, 0, &info, WNOHANG));
  SAY("flags", waitpid(-1, &status, 0x100000));
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
}
static void w8_told_once(void) {
  pid_t pid = child(nothing);
  int status;
  REQ(PTRACE_SINGLESTEP, pid, 0, 0);
  next(pid);
  printf("again %d\n", (int)waitpid(pid, &status, WNOHANG));
  kill(pid, SIGKILL);
  next(pid);
}
static void w9_waitid(void) {
  siginfo_t info = {0};
  struct rusage usage;
  memset(&usage, 0xff, sizeof usage);
  pid_t pid = child(twice);
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXIT);
  REQ(PTRACE_CONT, pid, 0, 0);
  SAY("waitid", syscall(SYS_waitid, P_PID, pid, &info, WEXITED, &usage));
  printf("signo %d code %d status %x pid %d uid %d rss %d\n", info.si_signo, info.si_code, (unsigned)info.si_status, info.si_pid == pid,
         info.si_uid == getuid(), usage.ru_maxrss >= 0);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
}
static volatile int told[3];
static void tell(int signal, siginfo_t *info, void *context) {
  (void)signal;
  (void)context;
  told[0]++;
  told[1] = info->si_code;
  told[2] = info->si_status;
}
static void w10_sigchld_with(int flags) {
  struct sigaction action = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO | SA_RESTART | flags};
  sigaction(SIGCHLD, &action, NULL);
  pid_t pid = child(signals);
  printf("told %d code %d status %d\n", told[0], told[1], told[2]);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  printf("told %d code %d status %d\n", told[0], told[1], told[2]);
  kill(pid, SIGKILL);
  next(pid);
  printf("told %d code %d status %d\n", told[0], told[1], told[2]);
}
static void w10_sigchld(void) { w10_sigchld_with(0); }
static void w10_no_stops(void) { w10_sigchld_with(SA_NOCLDSTOP); }
static void tell_other(int fd) {
  if (write(fd, "", 1) != 1) die(2, "write");
}
static void hear_other(int fd) {
  char byte;
  if (read(fd, &byte, 1) != 1) die(2, "read");
}
/* What its real parent sees of an end that somebody else traced. */
static void look_at(pid_t pid, const char *when) {
  siginfo_t info = {0};
  int r = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
  printf("%s: %s code %d status %d\n", when, errname(r), info.si_code, info.si_status);
}
static void w11_with(void (*disposition)(int), int flags) {
  struct sigaction action = {.sa_handler = disposition, .sa_flags = flags};
  int to[2], from[2];
  siginfo_t info = {0};
  if (pipe(to) || pipe(from)) die(2, "pipe");
  pid_t pid = running(hold);
  pid_t tracer = fork();
  if (tracer == 0) {
    sigaction(SIGCHLD, &action, NULL);
    if (REQ(PTRACE_SEIZE, pid, 0, 0)) die(2, "seize");
    kill(pid, SIGTERM);
    waitpid(pid, NULL, __WALL);
    REQ(PTRACE_CONT, pid, 0, SIGTERM);
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | __WALL);
    tell_other(from[1]);
    hear_other(to[0]);
    next(pid);
    tell_other(from[1]);
    hear_other(to[0]);
    _exit(0);
  }
  hear_other(from[0]);
  look_at(pid, "ended");
  tell_other(to[1]);
  hear_other(from[0]);
  look_at(pid, "told");
  tell_other(to[1]);
  waitpid(tracer, NULL, 0);
  next(pid);
}
static void w11_the_tracer_is_told_first(void) { w11_with(SIG_DFL, 0); }
static void w11_a_tracer_that_ignores_it(void) { w11_with(SIG_IGN, 0); }
static void w11_a_tracee_leaves_a_zombie(void) {
  signal(SIGCHLD, SIG_IGN);
  pid_t pid = child(nothing);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  int status;
  SAY("again", waitpid(pid, &status, 0));
}
static void w11_the_tracer_ends(void) {
  int from[2];
  if (pipe(from)) die(2, "pipe");
  pid_t pid = running(hold);
  pid_t tracer = fork();
  if (tracer == 0) {
    siginfo_t info = {0};
    if (REQ(PTRACE_SEIZE, pid, 0, 0)) die(2, "seize");
    kill(pid, SIGKILL);
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | __WALL);
    tell_other(from[1]);
    hold();
  }
  hear_other(from[0]);
  look_at(pid, "ended");
  kill(tracer, SIGKILL);
  waitpid(tracer, NULL, 0);
  next(pid);
}
static void leave_behind(void (*then)(void)) {
  pthread_t thread;
  pthread_create(&thread, NULL, leaver, NULL);
  pthread_join(thread, NULL);
  then();
}
static void leaves_thread(void) { leave_behind(nothing); }
static void leaves_thread_and_executes(void) { leave_behind(executes); }
/* A traced thread that has ended, and that nobody has waited for, is still there. */
static void w11_with_a_thread(void (*what)(void)) {
  siginfo_t info = {0};
  int status = 0;
  pid_t pid = child(what);
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  unsigned long thread = 0;
  REQ(PTRACE_GETEVENTMSG, pid, 0, &thread);
  next((pid_t)thread);
  REQ(PTRACE_CONT, thread, 0, 0);
  SAY("thread", waitid(P_PID, (id_t)thread, &info, WEXITED | WNOWAIT | __WALL));
  REQ(PTRACE_CONT, pid, 0, 0);
  usleep(30000);
  printf("the process %d\n", (int)waitpid(pid, &status, WNOHANG));
  next((pid_t)thread);
  next(pid);
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
}
static void w11_a_thread_keeps_its_leader(void) { w11_with_a_thread(leaves_thread); }
static void w14_a_thread_keeps_an_exec(void) { w11_with_a_thread(leaves_thread_and_executes); }
static void w13_a_signal_that_nobody_waited_for(void) {
  pid_t pid = running(hold);
  pid_t tracer = fork();
  if (tracer == 0) {
    REQ(PTRACE_SEIZE, pid, 0, 0);
    kill(pid, SIGTERM);
    usleep(50000);
    _exit(0);
  }
  waitpid(tracer, NULL, 0);
  next(pid);
}
static void w14_exec_of_a_thread(void) {
  events_of(executes_elsewhere, PTRACE_O_TRACEEXEC, 4);
}
static void *thread_exec_stops(void *arg) {
  execl("/proc/self/exe", "ptracerows", "stop", (char *)NULL);
  return arg;
}
static void stops_elsewhere(void) {
  pthread_t thread;
  syscall(SYS_getppid);
  pthread_create(&thread, NULL, thread_exec_stops, NULL);
  hold();
}
static void elsewhere(void) {
  raise(SIGSTOP);
  executes_elsewhere();
}
static void stops_and_executes(void) {
  raise(SIGSTOP);
  executes();
}
static void w14_stops_again_after_an_exec(void) {
  /* The leader's SIGSTOP was suppressed. Its successor, whom nobody traces, sends itself the very same one. */
  pid_t pid = child(stops_elsewhere);
  REQ(PTRACE_SYSCALL, pid, 0, 0);
  next(pid);
  REQ(PTRACE_CONT, pid, 0, 0);
  int status = 0;
  printf("stopped %d", waitpid(pid, &status, WUNTRACED) == pid);
  printf(" %x\n", status);
  SAY("not traced", REQ(PTRACE_CONT, pid, 0, 0));
  kill(pid, SIGCONT);
  next(pid);
}
/* What a seized tracee is told of at the entry of a thread's exec, and from then on: it is interrupted there, and goes on with a signal or without. */
static void interrupted_exec(int signal) {
  pid_t pid = running(elsewhere);
  int status = 0;
  pid_t thread = 0;
  waitpid(pid, &status, WUNTRACED);
  SAY("seize", REQ(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE));
  next(pid);
  kill(pid, SIGCONT);
  REQ(PTRACE_CONT, pid, 0, 0);
  for (int turn = 0; turn < 20 && !thread; turn++) {
    pid_t got = waitpid(-1, &status, __WALL);
    if (got != pid) {
      thread = got;
      break;
    }
    REQ(PTRACE_CONT, pid, 0, WSTOPSIG(status) == SIGCONT && status >> 16 == 0 ? SIGCONT : 0);
  }
  /* Its leader goes on to wait for its own end. */
  REQ(PTRACE_CONT, pid, 0, 0);
  for (int turn = 0; turn < 400; turn++) {
    struct user_regs_struct regs = {0};
    REQ(PTRACE_SYSCALL, thread, 0, 0);
    if (waitpid(thread, &status, __WALL) != thread) break;
    REQ(PTRACE_GETREGS, thread, 0, &regs);
    if (regs.orig_rax == SYS_execve) break;
    if (status >> 8 == (SIGTRAP | PTRACE_EVENT_CLONE << 8)) REQ(PTRACE_CONT, pid, 0, 0);
  }
  printf("entry %x\n", (unsigned)status);
  SAY("interrupt", REQ(PTRACE_INTERRUPT, thread, 0, 0));
  SAY("goes on", REQ(PTRACE_CONT, thread, 0, signal));
  for (int turn = 0; turn < 5; turn++) {
    pid_t got = waitpid(-1, &status, __WALL);
    if (got != pid) continue;
    printf("then %x\n", (unsigned)status);
    if (!WIFSTOPPED(status)) break;
    REQ(PTRACE_CONT, pid, 0, 0);
  }
}
static void w14_an_interrupt_before_a_threads_exec(void) { interrupted_exec(0); }
static void w14_an_interrupt_and_a_signal_before_a_threads_exec(void) { interrupted_exec(SIGUSR1); }
static void exec_stepped(int request) {
  pid_t pid = running(stops_and_executes);
  int status = 0;
  waitpid(pid, &status, WUNTRACED);
  REQ(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD);
  next(pid);
  kill(pid, SIGCONT);
  for (int turn = 0; turn < 100; turn++) {
    struct user_regs_struct regs = {0};
    REQ(PTRACE_SYSCALL, pid, 0, WSTOPSIG(status) == SIGCONT && status >> 16 == 0 ? SIGCONT : 0);
    if (waitpid(pid, &status, __WALL) != pid) break;
    REQ(PTRACE_GETREGS, pid, 0, &regs);
    if (regs.orig_rax == SYS_execve && status >> 8 == (SIGTRAP | 0x80)) break;
  }
  printf("entry %x\n", (unsigned)status);
  SAY("goes on", REQ(request, pid, 0, 0));
  next(pid);
  siginfo_t info = {0};
  struct user_regs_struct regs = {0};
  REQ(PTRACE_GETSIGINFO, pid, 0, &info);
  REQ(PTRACE_GETREGS, pid, 0, &regs);
  printf("signo %d code %d call %d\n", info.si_signo, info.si_code, (int)regs.orig_rax);
  kill(pid, SIGKILL);
  next(pid);
}
static void o4_exec_by_step(void) { exec_stepped(PTRACE_SINGLESTEP); }
static void o4_exec_by_sysemu(void) { exec_stepped(31); }
static void o4_exec_by_sysemu_step(void) { exec_stepped(32); }
static volatile pid_t first_told;
static void tells_first(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)context;
  if (!first_told && info->si_code == CLD_STOPPED) first_told = info->si_pid;
}
static void *stopper(void *arg) {
  syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGSTOP);
  return arg;
}
static void a_thread_stops_it(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, stopper, NULL);
  hold();
}
static void w10_the_thread_that_stopped_it_is_told_first(void) {
  pid_t pid = child(a_thread_stops_it);
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  unsigned long thread = 0;
  REQ(PTRACE_GETEVENTMSG, pid, 0, &thread);
  next((pid_t)thread);
  REQ(PTRACE_CONT, pid, 0, 0);
  REQ(PTRACE_CONT, thread, 0, 0);
  next((pid_t)thread);
  struct sigaction action = {.sa_sigaction = tells_first, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGCHLD, &action, NULL);
  REQ(PTRACE_CONT, thread, 0, SIGSTOP);
  next((pid_t)thread);
  next(pid);
  printf("told of the thread %d\n", first_told == (pid_t)thread);
  kill(pid, SIGKILL);
  next((pid_t)thread);
  next(pid);
}
static void calls_with_trap_blocked(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTRAP);
  sigprocmask(SIG_BLOCK, &set, NULL);
  syscall(SYS_getppid);
  syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
  syscall(SYS_wait4, -1, NULL, WNOHANG, NULL);
  syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
  syscall(SYS_getppid);
}
/* The trap behind a call is forced: SIGTRAP is blocked no more. */
static void r8_a_step_over_a_call_forces_its_trap(void) {
  static const int requests[] = {PTRACE_SINGLESTEP, PTRACE_SINGLESTEP, PTRACE_SINGLESTEP, PTRACE_SINGLEBLOCK};
  static const int calls[] = {SYS_getppid, SYS_ptrace, SYS_wait4, SYS_ptrace};
  pid_t pid = child(calls_with_trap_blocked);
  struct user_regs_struct regs;
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
  for (int i = 0; i < 4; i++) {
    int status = 0;
    do {
      REQ(PTRACE_SYSCALL, pid, 0, 0);
      waitpid(pid, &status, __WALL);
      REQ(PTRACE_GETREGS, pid, 0, &regs);
    } while (WIFSTOPPED(status) && ((int)regs.orig_rax != calls[i] || status >> 8 != (SIGTRAP | 0x80)));
    unsigned long long mask = 1ull << (SIGTRAP - 1);
    REQ(PTRACE_SETSIGMASK, pid, 8, &mask);
    SAY("step", REQ(requests[i], pid, 0, 0));
    next(pid);
    siginfo_t info = {0};
    REQ(PTRACE_GETSIGINFO, pid, 0, &info);
    REQ(PTRACE_GETREGS, pid, 0, &regs);
    REQ(PTRACE_GETSIGMASK, pid, 8, &mask);
    printf("signo %d code %d call %d result %d mask %llx\n", info.si_signo, info.si_code, (int)regs.orig_rax, (int)regs.rax < 0 ? (int)regs.rax : 0, mask);
  }
  kill(pid, SIGKILL);
  next(pid);
}
static void traces_with_chld_blocked(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  pid_t pid = fork();
  if (pid == 0) {
    REQ(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    _exit(3);
  }
  siginfo_t info;
  waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT);
  raise(SIGUSR2);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}
static void r18_peeksiginfo_of_a_tracer(void) {
  pid_t pid = child(traces_with_chld_blocked);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  struct __ptrace_peeksiginfo_args args = {0, PTRACE_PEEKSIGINFO_SHARED, 2};
  siginfo_t infos[2] = {0};
  SAY("peek", REQ(PTRACE_PEEKSIGINFO, pid, &args, infos));
  printf("signo %d errno %d code %d status %d child %d\n", infos[0].si_signo, infos[0].si_errno, infos[0].si_code, infos[0].si_status, infos[0].si_pid > 0);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
}
static void w15_kill(void) {
  pid_t pid = child(nothing);
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXIT);
  kill(pid, SIGKILL);
  next(pid);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
}
static void alarmed(int signal) { (void)signal; }
static void w_interrupted_wait(void) {
  struct sigaction action = {.sa_handler = alarmed};
  sigaction(SIGALRM, &action, NULL);
  pid_t pid = running(hold);
  pid_t other = fork();
  if (other == 0) {
    /* A tracer without children of its own. */
    REQ(PTRACE_SEIZE, pid, 0, 0);
    ualarm(30000, 0);
    int status;
    SAY("wait", waitpid(-1, &status, __WALL));
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    ualarm(30000, 0);
    usleep(1);
    REQ(PTRACE_INTERRUPT, pid, 0, 0);
    printf("wait %d\n", waitpid(-1, &status, __WALL) == pid);
    printf("poll %d\n", (int)waitpid(-1, &status, __WALL | WNOHANG));
    SAY("children", waitpid(-1, &status, WNOHANG | __WALL | __WNOTHREAD));
    fflush(stdout);
    _exit(0);
  }
  waitpid(other, NULL, 0);
  kill(pid, SIGKILL);
  next(pid);
}
static void sysemu(void) {
  struct user_regs_struct regs;
  pid_t pid = child(twice);
  for (int i = 0; i < 4; i++) {
    REQ(31, pid, 0, 0);
    next(pid);
    REQ(PTRACE_GETREGS, pid, 0, &regs);
    printf("call %lld rax %lld\n", (long long)regs.orig_rax, (long long)regs.rax);
  }
  kill(pid, SIGKILL);
  next(pid);
}

/* ---- filters of the guest's own */
static void filter(int number, unsigned result) {
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, result),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {sizeof program / sizeof *program, program};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) die(2, "filter");
}
static void asks_for_its_tracer(void) {
  filter(SYS_getppid, SECCOMP_RET_TRACE | 77);
  long r = syscall(SYS_getppid);
  _exit(r > 0 ? 20 : errno == ENOSYS ? 21 : 22);
}
static void is_refused(void) {
  filter(SYS_getuid, SECCOMP_RET_ERRNO | EDOM);
  syscall(SYS_getppid);
  long r = syscall(SYS_getuid);
  _exit(r >= 0 ? 20 : errno == EDOM ? 21 : 22);
}
/* What stops, what the call is, and on. */
static void follow(pid_t pid, long request, int turns) {
  for (int i = 0; i < turns; i++) {
    struct user_regs_struct regs = {0};
    unsigned long message = 0;
    unsigned char info[88] = {0};
    REQ(request, pid, 0, 0);
    int status = next(pid);
    if (!WIFSTOPPED(status)) return;
    REQ(PTRACE_GETREGS, pid, 0, &regs);
    REQ(PTRACE_GETEVENTMSG, pid, 0, &message);
    long size = REQ(0x420e, pid, sizeof info, info);
    long call = (long)regs.orig_rax;
    /* Numbers of tasks are no results to compare. */
    printf("call %ld rax %ld message %lu info %ld op %d\n", call, (long)regs.rax > 0 ? 1 : (long)regs.rax, message, size, info[0]);
  }
}
static void o6_seccomp(void) {
  pid_t pid = child(asks_for_its_tracer);
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD);
  follow(pid, PTRACE_CONT, 9);
}
static void o6_seccomp_without(void) {
  pid_t pid = child(asks_for_its_tracer);
  follow(pid, PTRACE_CONT, 9);
  pid = running(asks_for_its_tracer);
  next(pid);
}
static void w2_entry_before_seccomp(void) {
  pid_t pid = child(asks_for_its_tracer);
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD);
  follow(pid, PTRACE_SYSCALL, 16);
}
/* A call that its tracer makes another at the entry meets the filter as what it is then. */
static void w2_rewritten_at_the_entry(void) {
  pid_t pid = child(is_refused);
  struct user_regs_struct regs;
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
  for (int i = 0; i < 20; i++) {
    REQ(PTRACE_SYSCALL, pid, 0, 0);
    int status = next(pid);
    if (!WIFSTOPPED(status)) return;
    REQ(PTRACE_GETREGS, pid, 0, &regs);
    printf("call %lld rax %lld\n", (long long)regs.orig_rax, (long long)regs.rax);
    if (regs.orig_rax == SYS_getppid && (long)regs.rax == -ENOSYS) {
      regs.orig_rax = SYS_getuid;
      SAY("another", REQ(PTRACE_SETREGS, pid, 0, &regs));
    }
  }
}
/* One that is not made returns what its tracer has put there, at the entry already. */
static void asks_once(void) {
  errno = 0;
  long value = syscall(SYS_getppid);
  printf("it returned %ld errno %d\n", value, errno);
  fflush(stdout);
}
static void w2_skipped_at_the_entry(void) {
  /* PRoot writes -2: then the result is the kernel's. */
  const long long numbers[] = {-1, -2, INT_MIN}, results[] = {45000, -ESRCH, -ENOSYS};
  for (int how = 0; how < 9; how++) {
    pid_t pid = child(asks_once);
    struct user_regs_struct regs;
    REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
    for (int i = 0; i < 40; i++) {
      REQ(PTRACE_SYSCALL, pid, 0, 0);
      int status;
      waitpid(pid, &status, __WALL);
      if (!WIFSTOPPED(status)) break;
      REQ(PTRACE_GETREGS, pid, 0, &regs);
      if (regs.orig_rax == SYS_getppid && (long)regs.rax == -ENOSYS) {
        regs.orig_rax = (unsigned long long)numbers[how / 3];
        regs.rax = (unsigned long long)results[how % 3];
        SAY("skipped", REQ(PTRACE_SETREGS, pid, 0, &regs));
      }
    }
  }
}
/* And one that is changed where the filter asks for the tracer meets it again. */
static void w2_rewritten_at_the_seccomp_stop(void) {
  const long long numbers[] = {SYS_getuid, -1, SYS_getppid, -2};
  for (int how = 0; how < 4; how++) {
    pid_t pid = child(asks_for_its_tracer);
    struct user_regs_struct regs;
    REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD);
    REQ(PTRACE_CONT, pid, 0, 0);
    next(pid);
    REQ(PTRACE_GETREGS, pid, 0, &regs);
    regs.orig_rax = (unsigned long long)numbers[how];
    if (numbers[how] < 0) regs.rax = 5;
    SAY("another", REQ(PTRACE_SETREGS, pid, 0, &regs));
    follow(pid, how == 2 ? PTRACE_SYSCALL : PTRACE_CONT, 6);
  }
}
static void w2_steps_into_seccomp(void) {
  pid_t pid = child(asks_for_its_tracer);
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD);
  REQ(PTRACE_CONT, pid, 0, 0);
  next(pid);
  follow(pid, PTRACE_SINGLESTEP, 2);
  kill(pid, SIGKILL);
  next(pid);
}
/* ---- more of waiting */
static void w12_untraced_group_stop(void) {
  int status = 0;
  pid_t pid = child(hold);
  REQ(PTRACE_CONT, pid, 0, 0);
  kill(pid, SIGSTOP);
  next(pid);
  REQ(PTRACE_CONT, pid, 0, SIGSTOP);
  printf("untraced %d\n", waitpid(pid, &status, WUNTRACED) == pid);
  printf("status %x\n", status);
  printf("again %d\n", (int)waitpid(pid, &status, WUNTRACED | WNOHANG));
  SAY("detach", REQ(PTRACE_DETACH, pid, 0, 0));
  printf("stays stopped %d\n", (int)waitpid(pid, &status, WNOHANG | WCONTINUED));
  kill(pid, SIGCONT);
  printf("continued %d\n", waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
  kill(pid, SIGKILL);
  next(pid);
}
static void w13_group_stopped_tracee(void) {
  int from[2], status = 0;
  if (pipe(from)) die(2, "pipe");
  pid_t pid = running(hold);
  pid_t tracer = fork();
  if (tracer == 0) {
    if (REQ(PTRACE_SEIZE, pid, 0, 0)) die(2, "seize");
    kill(pid, SIGSTOP);
    waitpid(pid, &status, __WALL);
    REQ(PTRACE_CONT, pid, 0, SIGSTOP);
    waitpid(pid, &status, __WALL);
    printf("in %x\n", status);
    fflush(stdout);
    tell_other(from[1]);
    hold();
  }
  hear_other(from[0]);
  kill(tracer, SIGKILL);
  waitpid(tracer, NULL, 0);
  siginfo_t info = {0};
  waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT);
  printf("stopped: code %d status %d\n", info.si_code, info.si_status);
  kill(pid, SIGCONT);
  waitid(P_PID, (id_t)pid, &info, WCONTINUED);
  printf("continued: code %d status %d\n", info.si_code, info.si_status);
  kill(pid, SIGKILL);
  next(pid);
}
static void *traces_and_leaves(void *arg) {
  pid_t pid = *(pid_t *)arg;
  SAY("seize", REQ(PTRACE_SEIZE, pid, 0, 0));
  SAY("interrupt", REQ(PTRACE_INTERRUPT, pid, 0, 0));
  next(pid);
  return NULL;
}
static void w13_a_thread_that_traces_ends(void) {
  pid_t pid = running(hold);
  pthread_t thread;
  pthread_create(&thread, NULL, traces_and_leaves, &pid);
  pthread_join(thread, NULL);
  /* Its siblings are no tracers of it; once it is gone anybody may. */
  SAY("request", REQ(PTRACE_CONT, pid, 0, 0));
  long r;
  while ((r = REQ(PTRACE_SEIZE, pid, 0, 0)) < 0 && errno == EPERM) usleep(1000);
  SAY("seize", r);
  kill(pid, SIGKILL);
  next(pid);
}
static void w3_restarts(void) {
  int hole[2];
  if (pipe(hole)) die(2, "pipe");
  pid_t pid = fork();
  if (pid == 0) {
    char byte;
    struct sigaction action = {.sa_handler = alarmed, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    REQ(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    _exit(read(hole[0], &byte, 1) == 1 ? 7 : 8);
  }
  next(pid);
  struct user_regs_struct regs;
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
  do {
    REQ(PTRACE_SYSCALL, pid, 0, 0);
    waitpid(pid, NULL, 0);
    REQ(PTRACE_GETREGS, pid, 0, &regs);
  } while (regs.orig_rax != SYS_read);
  REQ(PTRACE_SYSCALL, pid, 0, 0);
  kill(pid, SIGUSR1);
  for (int i = 0; i < 6; i++) {
    int status = next(pid);
    if (!WIFSTOPPED(status)) return;
    REQ(PTRACE_GETREGS, pid, 0, &regs);
    printf("call %lld rax %lld\n", (long long)regs.orig_rax, (long long)regs.rax);
    if (i == 3) tell_other(hole[1]);
    if (i == 5) break;
    REQ(PTRACE_SYSCALL, pid, 0, WSTOPSIG(status) == SIGUSR1 ? SIGUSR1 : 0);
  }
  kill(pid, SIGKILL);
  next(pid);
}
static void r8_signals_elsewhere(void) {
  /* A signal that is given at another stop is sent. */
  pid_t pid = child(twice);
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
  REQ(PTRACE_SYSCALL, pid, 0, 0);
  next(pid);
  REQ(PTRACE_SYSCALL, pid, 0, SIGUSR1);
  next(pid);
  REQ(PTRACE_SYSCALL, pid, 0, 0);
  next(pid);
  siginfo_t info = {0};
  SAY("siginfo", REQ(PTRACE_GETSIGINFO, pid, 0, &info));
  printf("signo %d code %d\n", info.si_signo, info.si_code);
  kill(pid, SIGKILL);
  next(pid);
}
static void r3_traceme_twice(void) {
  pid_t pid = fork();
  if (pid == 0) {
    SAY("traceme", REQ(PTRACE_TRACEME, 0, 0, 0));
    SAY("again", REQ(PTRACE_TRACEME, 0, 0, 0));
    fflush(stdout);
    _exit(3);
  }
  next(pid);
}
static void a1_same_group(void) {
  SAY("self", REQ(PTRACE_ATTACH, getpid(), 0, 0));
  SAY("self", REQ(PTRACE_SEIZE, getpid(), 0, 0));
  SAY("nobody", REQ(PTRACE_ATTACH, 0, 0, 0));
  SAY("negative", REQ(PTRACE_ATTACH, -1, 0, 0));
  pid_t pid = running(nothing);
  siginfo_t info;
  waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
  SAY("a zombie", REQ(PTRACE_ATTACH, pid, 0, 0));
  SAY("a zombie", REQ(PTRACE_SEIZE, pid, 0, 0));
  next(pid);
}
/* Two at one place, the first of them CLONE_UNTRACED. */
static void clones_untraced_and_traced(void) {
  static const unsigned long flags[] = {CLONE_UNTRACED | SIGCHLD, SIGCHLD};
  signal(SIGUSR2, SIG_IGN);
  for (int i = 0; i < 2; i++) {
    pid_t pid = (pid_t)syscall(SYS_clone, flags[i], 0, 0, 0, 0);
    if (pid == 0) _exit(6);
    if (pid > 0) waitpid(pid, NULL, 0);
  }
}
/* A signal ends a clone, which is then made again: what it asks for is still in its registers. And if it is skipped, the next one is another. */
static void o2_an_interrupted_clone(int skipped) {
  pid_t pid = child(clones_untraced_and_traced);
  struct user_regs_struct regs = {0};
  int status = 0;
  REQ(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK);
  do {
    REQ(PTRACE_SYSCALL, pid, 0, 0);
    if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status)) die(2, "no clone");
    REQ(PTRACE_GETREGS, pid, 0, &regs);
  } while (regs.orig_rax != SYS_clone);
  printf("entry %x flags %llx\n", (unsigned)status, regs.rdi);
  SAY("goes on", REQ(PTRACE_CONT, pid, 0, SIGUSR2));
  next(pid);
  REQ(PTRACE_GETREGS, pid, 0, &regs);
  printf("result %lld flags %llx\n", (long long)regs.rax, regs.rdi);
  if (skipped) {
    SAY("emulated", REQ(31, pid, 0, SIGUSR2));
    next(pid);
    REQ(PTRACE_GETREGS, pid, 0, &regs);
    printf("entry flags %llx\n", regs.rdi);
    SAY("skipped", REQ(PTRACE_CONT, pid, 0, 0));
  } else {
    SAY("returns", REQ(PTRACE_SYSCALL, pid, 0, SIGUSR2));
    next(pid);
    SAY("made again", REQ(PTRACE_SYSCALL, pid, 0, 0));
    next(pid);
    REQ(PTRACE_GETREGS, pid, 0, &regs);
    printf("made %d flags %llx\n", (long long)regs.rax > 0, regs.rdi);
    SAY("goes on", REQ(PTRACE_CONT, pid, 0, 0));
  }
  next(pid);
  /* Left alone, who was made would stand still with its SIGSTOP, and hold our standard output. */
  unsigned long made = 0;
  if (skipped && REQ(PTRACE_GETEVENTMSG, pid, 0, &made) == 0 && made > 0) {
    kill((pid_t)made, SIGKILL);
    printf("made, and ends %d\n", waitpid((pid_t)made, NULL, __WALL) == (pid_t)made);
  }
  kill(pid, SIGKILL);
  next(pid);
}
static void o2_an_interrupted_untraced_clone(void) { o2_an_interrupted_clone(0); }
static void o2_an_interrupted_untraced_clone_is_skipped(void) { o2_an_interrupted_clone(1); }
static const struct row rows[] = {
    ROW(r1_unknown), ROW(r2_state_and_thread), ROW(r3_traceme), ROW(r4_attach), ROW(r5_seize), ROW(r6_interrupt), ROW(r7_listen),
    ROW(r8_signals), ROW(r9_singleblock), ROW(r10_detach), ROW(r11_kill), ROW(r12_peek_poke), ROW(r13_debug_registers),
    ROW(r14_registers), ROW(r15_sets), ROW(r16_siginfo), ROW(r17_mask), ROW(r18_peeksiginfo), ROW(r18_peeksiginfo_of_a_new_thread), ROW(r19_r20_messages),
    ROW(r21_set_syscall_info), ROW(r23_r24_configurations), ROW(o2_fork), ROW(o2_vfork), ROW(o2_clone), ROW(o3_vforkdone), ROW(o4_exec),
    ROW(o4_exec_without), ROW(o5_exit), ROW(o_bad), ROW(o7_exitkill), ROW(o7_no_exitkill), ROW(w4_group_stop), ROW(w5_attach_to_stopped),
    ROW(w6_threads_wait), ROW(w7_selection), ROW(w8_told_once), ROW(w9_waitid), ROW(w10_sigchld), ROW(w10_no_stops),
    ROW(w11_the_tracer_is_told_first), ROW(w11_a_tracer_that_ignores_it), ROW(w11_a_tracee_leaves_a_zombie), ROW(w11_the_tracer_ends), ROW(w11_a_thread_keeps_its_leader),
    ROW(w14_a_thread_keeps_an_exec), ROW(w13_a_signal_that_nobody_waited_for), ROW(w14_exec_of_a_thread),
    ROW(w14_stops_again_after_an_exec), ROW(w14_an_interrupt_before_a_threads_exec), ROW(w14_an_interrupt_and_a_signal_before_a_threads_exec), ROW(o4_exec_by_step),
    ROW(o4_exec_by_sysemu), ROW(o4_exec_by_sysemu_step), ROW(w10_the_thread_that_stopped_it_is_told_first), ROW(r8_a_step_over_a_call_forces_its_trap),
    ROW(r18_peeksiginfo_of_a_tracer), ROW(w15_kill), ROW(w_interrupted_wait), ROW(sysemu),
    ROW(o6_seccomp), ROW(o6_seccomp_without), ROW(w2_entry_before_seccomp), ROW(w2_rewritten_at_the_entry), ROW(w2_skipped_at_the_entry),
    ROW(w2_rewritten_at_the_seccomp_stop),
    ROW(w2_steps_into_seccomp), ROW(w12_untraced_group_stop), ROW(w13_group_stopped_tracee), ROW(w13_a_thread_that_traces_ends), ROW(w3_restarts),
    ROW(r8_signals_elsewhere), ROW(r3_traceme_twice), ROW(a1_same_group), ROW(o2_an_interrupted_untraced_clone),
    ROW(o2_an_interrupted_untraced_clone_is_skipped),
};

int main(int argc, char **argv) { return run_rows(rows, sizeof rows / sizeof *rows, argc, argv); }
