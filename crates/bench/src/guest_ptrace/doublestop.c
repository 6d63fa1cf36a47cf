/* doublestop plain|double|pinned N ASKS WAITS [HANDLES]: a debugger in miniature. A tracer lets its child go on by N single steps; for each it makes ASKS calls of ptrace(2) (the step, then reads of
 * registers) and WAITS of wait4(2) (WNOHANG but for the last); with HANDLES 1 it has a handler for SIGCHLD, as gdb has. With `double` a third process traces both and answers the calls in the kernel's place: each is a stop of the tracer's,
 * each step a stop of the child's, and there is nothing else: no table, no policy, no second thought. That is the floor of what emulation costs. `pinned`: all three on one CPU, where each wake-up is a context switch; guests of a box cannot be kept like that. */
#include "guest.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#ifdef __x86_64__
static long handles;
static void handler(int signal) { (void)signal; }
static int debugger(long steps, long asks, long waits) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0)) _exit(7);
    raise(SIGSTOP);
    for (volatile unsigned long i = 0;; i++) {
    }
  }
  struct sigaction action = {.sa_flags = SA_RESTART};
  action.sa_handler = handler;
  if (handles) sigaction(SIGCHLD, &action, NULL);
  if (wait4(pid, &status, 0, NULL) != pid || !WIFSTOPPED(status)) return 8;
  for (long seen = 0; seen < steps; seen++) {
    struct user_regs_struct regs;
    if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0)) return 9;
    pid_t got = 0;
    for (long i = 1; i < waits && !got; i++) got = wait4(pid, &status, WNOHANG, NULL);
    if (!got) got = wait4(pid, &status, 0, NULL);
    if (got != pid || !WIFSTOPPED(status)) return 10;
    for (long i = 1; i < asks; i++)
      if (ptrace(PTRACE_GETREGS, pid, 0, &regs)) return 11;
  }
  kill(pid, SIGKILL);
  return 0;
}
static void filter(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_wait4, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0)) _exit(12);
}
static void answer(pid_t tracer, struct user_regs_struct *regs, long value) {
  regs->orig_rax = (unsigned long)-1;
  regs->rax = (unsigned long)value;
  ptrace(PTRACE_SETREGS, tracer, 0, regs);
  ptrace(PTRACE_CONT, tracer, 0, 0);
}
static void give(pid_t to, unsigned long where, void *what, size_t size) {
  struct iovec here = {what, size}, there = {(void *)where, size};
  if (where && process_vm_writev(to, &here, 1, &there, 1, 0) != (ssize_t)size) die(13, "doublestop: no memory");
}
/* In the kernel's place. */
static int mediate(pid_t tracer) {
  pid_t child = 0;
  int pending = 0, waits = 0, status;
  struct user_regs_struct regs, theirs;
  for (;;) {
    pid_t pid = wait4(-1, &status, __WALL, NULL);
    if (pid < 0) return 0;
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (pid == tracer) return WIFEXITED(status) ? WEXITSTATUS(status) : 14;
      continue;
    }
    if (pid == tracer && status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
      ptrace(PTRACE_GETREGS, pid, 0, &regs);
      if (regs.orig_rax == SYS_wait4) {
        if (pending) {
          give(pid, regs.rsi, &pending, sizeof pending);
          answer(pid, &regs, child);
          pending = 0;
        } else if (regs.rdx & WNOHANG) {
          answer(pid, &regs, 0);
        } else {
          waits = 1;
          theirs = regs;
        }
      } else if (regs.rdi == PTRACE_GETREGS) {
        struct user_regs_struct copy;
        ptrace(PTRACE_GETREGS, child, 0, &copy);
        give(pid, regs.r10, &copy, sizeof copy);
        answer(pid, &regs, 0);
      } else {
        ptrace((enum __ptrace_request)regs.rdi, child, 0, 0);
        answer(pid, &regs, 0);
      }
    } else if (pid == tracer) {
      int event = status >> 16;
      ptrace(PTRACE_CONT, pid, 0, event ? 0 : WSTOPSIG(status));
    } else if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
      ptrace(PTRACE_GETREGS, pid, 0, &regs);
      child = pid;
      answer(pid, &regs, 0);
    } else if (status >> 16) {
      ptrace(PTRACE_CONT, pid, 0, 0);
    } else {
      pending = status;
      if (handles) kill(tracer, SIGCHLD);
      if (waits) {
        give(tracer, theirs.rsi, &pending, sizeof pending);
        answer(tracer, &theirs, child);
        pending = waits = 0;
      }
    }
  }
}
#endif
int main(int argc, char **argv) {
#ifdef __x86_64__
  long steps = number(argc, argv, 2, 10000), asks = number(argc, argv, 3, 2), waits = number(argc, argv, 4, 1);
  handles = number(argc, argv, 5, 0);
  int pinned = argc > 1 && !strcmp(argv[1], "pinned");
  if (pinned || (argc > 1 && !strcmp(argv[1], "double"))) {
    if (pinned) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(sched_getcpu(), &one);
      sched_setaffinity(0, sizeof one, &one);
    }
    pid_t tracer = fork();
    if (tracer == 0) {
      raise(SIGSTOP);
      filter();
      _exit(debugger(steps, asks, waits));
    }
    int status;
    waitpid(tracer, &status, WUNTRACED);
    if (ptrace(PTRACE_SEIZE, tracer, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL)) return 15;
    kill(tracer, SIGCONT);
    return mediate(tracer);
  }
  return debugger(steps, asks, waits);
#else
  return 77;
#endif
}
