/* ptracerewrite: its child calls getppid(2), and at the entry stop the call is made mkdir(2) of /tmp/made. Says what that returned. */
#include "guest.h"

#include <sys/ptrace.h>
#include <sys/user.h>

static char path[] = "/tmp/made";

int main(void) {
  pid_t pid = fork();
  if (pid == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0)) _exit(3);
    raise(SIGSTOP);
    syscall(SYS_getppid);
    _exit(0);
  }
  int status;
  if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) die(4, "no first stop");
  ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
  for (int inside = 0;;) {
    if (ptrace(PTRACE_SYSCALL, pid, 0, 0)) die(5, "PTRACE_SYSCALL: %m");
    if (waitpid(pid, &status, 0) != pid || WIFEXITED(status) || WIFSIGNALED(status)) die(6, "ended early");
    if (WSTOPSIG(status) != (SIGTRAP | 0x80)) continue;
    struct user_regs_struct regs;
    if (ptrace(PTRACE_GETREGS, pid, 0, &regs)) die(7, "PTRACE_GETREGS: %m");
    if (inside) {
      errno = (int)-(long)regs.rax;
      printf("mkdir %s\n", errname((long)regs.rax < 0 ? -1 : 0));
      fflush(stdout);
      break;
    }
    if (regs.orig_rax != SYS_getppid) continue;
    regs.orig_rax = SYS_mkdir;
    regs.rdi = (unsigned long)path;
    regs.rsi = 0700;
    if (ptrace(PTRACE_SETREGS, pid, 0, &regs)) die(8, "PTRACE_SETREGS: %m");
    inside = 1;
  }
  ptrace(PTRACE_KILL, pid, 0, 0);
  return 0;
}
