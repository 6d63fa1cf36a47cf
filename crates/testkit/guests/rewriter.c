/* rewriter WHERE CALL: traces a child of its own and makes another call (a number) of its getuid(2), in its registers. WHERE is "entry" (syscall-entry-stop), "seccomp"
 * (the stop of a filter of the child's own, RET_TRACE), or "decided": the child's filter says RET_TRACE for getppid(2), and the tracer makes getuid of it at such a stop.
 * Prints how many seccomp stops there were and what the child got. Proves that what a tracer makes of a call is filtered, and asked about, as any other (S8). */
#include "guest.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
static void trace_me(long call) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = 4, .filter = code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) die(5, "rewriter: filter: %s", errname(-1));
}
static void rewrite(pid_t pid, long call) {
#ifdef __x86_64__
  struct user_regs_struct regs;
  if (ptrace(PTRACE_GETREGS, pid, 0, &regs)) die(6, "rewriter: GETREGS: %s", errname(-1));
  regs.orig_rax = (unsigned long)call;
  if (ptrace(PTRACE_SETREGS, pid, 0, &regs)) die(6, "rewriter: SETREGS: %s", errname(-1));
#else
  die(3, "rewriter: not on this architecture: %d %ld", pid, call);
#endif
}
int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int entry = !strcmp(argv[1], "entry"), decided = !strcmp(argv[1], "decided"), status, stops = 0, entered = 0;
  long call = strtol(argv[2], NULL, 0);
  pid_t pid = fork();
  if (pid == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0)) die(7, "rewriter: TRACEME: %s", errname(-1));
    raise(SIGSTOP);
    if (!entry) trace_me(decided ? SYS_getppid : SYS_getuid);
    long got = syscall(decided ? SYS_getppid : SYS_getuid, 0x51);
    /* Not by stdio alone: the parent's line comes after this one. */
    printf("%s %s\n", argv[1], got < 0 ? errname(got) : got == 0x51 ? "answered" : "made");
    fflush(stdout);
    _exit(0);
  }
  if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) return 8;
  ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
  ptrace(entry ? PTRACE_SYSCALL : PTRACE_CONT, pid, 0, 0);
  while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
    int sig = WSTOPSIG(status);
    if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
      stops++;
      rewrite(pid, decided ? SYS_getuid : call);
      sig = 0;
    } else if (sig == (SIGTRAP | 0x80)) {
#ifdef __x86_64__
      struct user_regs_struct regs;
      ptrace(PTRACE_GETREGS, pid, 0, &regs);
      if (!entered && regs.orig_rax == SYS_getuid) rewrite(pid, call), entered = 1;
#endif
      sig = 0;
    }
    ptrace(entry ? PTRACE_SYSCALL : PTRACE_CONT, pid, 0, sig);
  }
  printf("seccomp stops %d\n", stops);
  return 0;
}
