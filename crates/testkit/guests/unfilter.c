/* unfilter: a child under a filter of its own, which answers getppid(2) with EXDEV, is traced by its parent. Prints what the tracer gets for PTRACE_O_SUSPEND_SECCOMP and
 * PTRACE_SECCOMP_GET_FILTER, and what the child's getppid is answered. Proves that no tracer lifts a filter (ptrace(2); ptrace.md 2B 6). */
#include "guest.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif
#ifndef PTRACE_SECCOMP_GET_FILTER
#define PTRACE_SECCOMP_GET_FILTER 0x420c
#endif
int main(void) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) die(5, "unfilter: %s", errname(-1));
    if (ptrace(PTRACE_TRACEME, 0, 0, 0)) die(7, "unfilter: TRACEME: %s", errname(-1));
    raise(SIGSTOP);
    printf("getppid %s\n", errname(syscall(SYS_getppid)));
    fflush(stdout);
    _exit(0);
  }
  if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) return 8;
  struct sock_filter got[64];
  printf("suspend %s\n", errname(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_SUSPEND_SECCOMP)));
  printf("filter %s\n", errname(ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, got)));
  fflush(stdout);
  ptrace(PTRACE_CONT, pid, 0, 0);
  waitpid(pid, &status, 0);
  return 0;
}
