/* inject N ERRNO RECORD COMMAND...: a tool, not a guest: runs COMMAND, makes its N-th system call fail with ERRNO (a number) without
 * reaching the kernel, lets it go, and ends as it ends. N = 0 only counts. RECORD receives one line: the number of calls seen, and of the
 * call that was made to fail its number and arguments.
 *
 * Only the calls of COMMAND's own first thread count, and only those after the start-up: counting begins behind the rt_sigaction call
 * for SIGPIPE with which the command ends its preparations, so that the loader and the C library's start are not under test.
 * Calls that do not return, or that cannot fail, are passed over: exit, exit_group, rt_sigreturn. The tracer lets go after the
 * failure, so that the rest runs at its own speed. */
#include "guest.h"
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#ifndef __x86_64__
#error "inject knows x86_64 only"
#endif
int main(int argc, char **argv) {
  if (argc < 5) die(2, "usage: inject N ERRNO RECORD COMMAND...");
  long wanted = strtol(argv[1], NULL, 10), error = strtol(argv[2], NULL, 10), seen = 0;
  int record = open(argv[3], O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (record < 0) die(2, "inject: %s: %s", argv[3], errname(-1));
  pid_t pid = fork();
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    execv(argv[4], argv + 4);
    die(127, "inject: %s: %s", argv[4], errname(-1));
  }
  int status;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) die(2, "inject: no tracee");
  if (ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC)) die(2, "inject: options");
  int inside = 0, counting = 0, failing = 0, signal_to_pass = 0;
  struct user_regs_struct regs, failed = {0};
  while (ptrace(PTRACE_SYSCALL, pid, 0, signal_to_pass) == 0) {
    signal_to_pass = 0;
    if (waitpid(pid, &status, __WALL) != pid) die(2, "inject: wait: %s", errname(-1));
    if (WIFEXITED(status) || WIFSIGNALED(status)) break;
    if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
      if (status >> 8 != (SIGTRAP | PTRACE_EVENT_EXEC << 8)) signal_to_pass = WSTOPSIG(status);
      else inside = 1;
      continue;
    }
    inside = !inside;
    if (ptrace(PTRACE_GETREGS, pid, 0, &regs)) continue;
    if (inside) {
      long nr = (long)regs.orig_rax;
      if (!counting || nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn) continue;
      seen++;
      if (seen != wanted) continue;
      failed = regs;
      failing = 1;
      regs.orig_rax = (unsigned long long)-1;
      if (ptrace(PTRACE_SETREGS, pid, 0, &regs)) die(2, "inject: set registers");
    } else if (failing) {
      regs.rax = (unsigned long long)-error;
      if (ptrace(PTRACE_SETREGS, pid, 0, &regs) || ptrace(PTRACE_DETACH, pid, 0, 0)) die(2, "inject: let go");
      if (waitpid(pid, &status, 0) != pid) die(2, "inject: wait: %s", errname(-1));
      break;
    } else if (regs.orig_rax == SYS_rt_sigaction && regs.rdi == SIGPIPE) {
      counting = 1;
    }
  }
  if (failing)
    dprintf(record, "%ld %lld %llx %llx %llx %llx\n", seen, (long long)failed.orig_rax, failed.rdi, failed.rsi, failed.rdx, failed.r10);
  else
    dprintf(record, "%ld\n", seen);
  if (WIFSIGNALED(status)) return 128 + WTERMSIG(status);
  return WEXITSTATUS(status);
}
