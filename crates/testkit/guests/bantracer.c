/* bantracer PATH PROGRAM [ARG...]: a tool, not a guest: a tracer as one would write it in an afternoon. A RET_TRACE filter on openat,
 * without a listener; an openat of PATH is made to fail with EACCES. The positive control of attacks on tracers. */
#include "guest.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

static void filter(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
    die(125, "filter: %s", errname(-1));
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  pid_t pid = fork();
  if (pid == 0) {
    raise(SIGSTOP);
    filter();
    execv(argv[2], argv + 2);
    die(126, "exec: %s", errname(-1));
  }
  int status;
  waitpid(pid, &status, WUNTRACED);
  long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
                 PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SEIZE, pid, 0, options)) die(125, "seize: %s", errname(-1));
  kill(pid, SIGCONT);
  for (pid_t at; (at = waitpid(-1, &status, __WALL)) > 0;) {
    if (!WIFSTOPPED(status)) {
      if (at == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      continue;
    }
    int event = status >> 16, sig = event ? 0 : WSTOPSIG(status);
    if (event == PTRACE_EVENT_SECCOMP) {
      struct user_regs_struct regs;
      struct iovec set = {&regs, sizeof regs};
      char path[4096] = {0};
      ptrace(PTRACE_GETREGSET, at, 1 /* NT_PRSTATUS */, &set);
      struct iovec here = {path, sizeof path - 1}, there = {(void *)regs.rsi, sizeof path - 1};
      /* A short read is enough: the path is near the end of its page at worst. */
      if (process_vm_readv(at, &here, 1, &there, 1, 0) < 0) there.iov_len = here.iov_len = 64,
                                                            process_vm_readv(at, &here, 1, &there, 1, 0);
      if (strcmp(path, argv[1]) == 0) {
        regs.orig_rax = (unsigned long)-1;
        regs.rax = (unsigned long)-EACCES;
        ptrace(PTRACE_SETREGSET, at, 1, &set);
      }
    }
    ptrace(PTRACE_CONT, at, 0, sig);
  }
  return 9;
}
