/* floor apart|beside PROGRAM [ARG...]: the least that a supervisor can do for a call: getppid(2) is notified, received, and answered with its own first argument, in one loop
 * of RECV and SEND, with SYNC_WAKE_UP. The shape of the manual page's example, less what it prints. The program is in a session of its own (`apart`), as in every
 * box, or in ours: where the kernel schedules sessions as groups (CONFIG_SCHED_AUTOGROUP), going from one to another costs as much as a third of the call. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
static void ended(int sig) {
  int status;
  (void)sig;
  if (wait(&status) > 0) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}
int main(int argc, char **argv) {
  struct sock_filter code[] = {LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
                               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  /* WAIT_KILLABLE_RECV, as ours. The filter is on this process too, which never makes the call. */
  int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | (1UL << 5), &program);
  if (listener < 0 || argc < 3) return 125;
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, 1UL);
  signal(SIGCHLD, ended);
  if (fork() == 0) {
    if (strcmp(argv[1], "beside")) setsid();
    execv(argv[2], argv + 2);
    _exit(127);
  }
  for (;;) {
    struct seccomp_notif asked;
    memset(&asked, 0, sizeof asked);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked)) continue;
    struct seccomp_notif_resp answer = {.id = asked.id, .val = (long long)asked.data.args[0]};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}
