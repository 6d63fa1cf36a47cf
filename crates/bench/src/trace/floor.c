/* floor PROGRAM [ARG...]: the least that a tracer can do for a call: RET_TRACE for getppid(2), wait, ask which call it is, resume. On one
 * CPU, since a stop between two costs ten times as much. */
#define _GNU_SOURCE
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
int main(int argc, char **argv) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  sched_setaffinity(0, sizeof one, &one);
  pid_t child = fork();
  if (!child) {
    struct sock_filter code[] = {LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    raise(SIGSTOP);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) _exit(125);
    execv(argv[1], argv + 1);
    _exit(127);
  }
  int status;
  waitpid(child, &status, WUNTRACED);
  if (ptrace(PTRACE_SEIZE, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL)) return 125;
  kill(child, SIGCONT);
  while (waitpid(child, &status, __WALL) == child) {
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    if (WIFSIGNALED(status)) return 128 + WTERMSIG(status);
    int event = status >> 16, signal = event ? 0 : WSTOPSIG(status);
    struct __ptrace_syscall_info info;
    if (event == PTRACE_EVENT_SECCOMP && ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) < 0) return 125;
    ptrace(PTRACE_CONT, child, 0, signal);
  }
  return argc ? 125 : 0;
}
