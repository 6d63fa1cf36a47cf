/* ptracehold stopped|spins|steps: a debugger that does not let go. `stopped`: it holds its tracee in a stop and sleeps; `spins`: its tracee uses the CPU while it waits; `steps`: it lets
 * its tracee go on by single steps for ever. Proves that limits count all the same. */
#include "guest.h"
#include <sys/ptrace.h>
int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "stopped";
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0)) _exit(7);
    raise(SIGSTOP);
    for (volatile unsigned long i = 0;; i++) {
    }
  }
  if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) return 8;
  puts("held");
  fflush(stdout);
  if (!strcmp(how, "stopped"))
    for (;;) pause();
  if (!strcmp(how, "spins")) {
    ptrace(PTRACE_CONT, pid, 0, 0);
    waitpid(pid, &status, 0);
    return 9;
  }
  for (;;)
    if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0) || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) return 10;
}
