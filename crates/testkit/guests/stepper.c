/* stepper N: traces a child of its own and lets it go on by N instructions, as a debugger's stepi does: PTRACE_SINGLESTEP, waitpid(2), PTRACE_GETREGS. Exit 0 when N steps were
 * seen. What a debugger costs in a box is measured with it. */
#include "guest.h"
#include <sys/ptrace.h>
#include <sys/user.h>
int main(int argc, char **argv) {
  long steps = number(argc, argv, 1, 10000), seen = 0;
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0)) _exit(7);
    raise(SIGSTOP);
    for (volatile unsigned long i = 0;; i++) {
    }
  }
  if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) return 8;
  for (; seen < steps; seen++) {
    if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0) || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) break;
#ifdef __x86_64__
    struct user_regs_struct regs;
    if (ptrace(PTRACE_GETREGS, pid, 0, &regs)) break;
#endif
  }
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
  return seen == steps ? 0 : 9;
}
