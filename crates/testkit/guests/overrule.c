/* overrule notify|trap|errno|trace PATH: puts a filter of its own on openat that returns USER_NOTIF (whose listener it answers itself, with
 * CONTINUE, from a thread), TRAP, ERRNO or TRACE, and opens PATH. Prints what became of the listener and of the open. Proves that a guest's filter
 * does not outrank a tracer (ptrace.md 0; seccomp(2), "filter return values" in order of precedence). */
#include "guest.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

static int listener;
static void *answer(void *unused) {
  (void)unused;
  for (;;) {
    struct seccomp_notif call = {0};
    struct seccomp_notif_resp resp = {0};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call)) {
      if (errno == EINTR) continue;
      return NULL;
    }
    resp.id = call.id;
    resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
  }
}
static void on_sys(int sig, siginfo_t *info, void *context) { (void)sig, (void)info, (void)context; }

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const char *how = argv[1];
  unsigned action = strcmp(how, "notify") == 0 ? SECCOMP_RET_USER_NOTIF
                    : strcmp(how, "trap") == 0 ? SECCOMP_RET_TRAP
                    : strcmp(how, "trace") == 0 ? SECCOMP_RET_TRACE | 7 : SECCOMP_RET_ERRNO | EXDEV;
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  struct sigaction act = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
  sigaction(SIGSYS, &act, NULL);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 3;
  int notify = action == SECCOMP_RET_USER_NOTIF;
  listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, notify ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0, &program);
  printf("filter %s\n", errname(listener));
  pthread_t thread;
  if (notify && listener >= 0) pthread_create(&thread, NULL, answer, NULL);
  errno = 0;
  long fd = syscall(SYS_openat, AT_FDCWD, argv[2], O_RDONLY);
  printf("open %s\n", errname(fd));
  char text[64] = {0};
  if (fd >= 0 && errno == 0 && read((int)fd, text, sizeof text - 1) > 0) printf("read %s\n", text);
  fflush(stdout);
  _exit(0);
}
