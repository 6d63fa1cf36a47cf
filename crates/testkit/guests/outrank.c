/* outrank FILE: a filter of the guest's own says USER_NOTIF for openat, and its own thread answers CONTINUE: an outer RET_TRACE is
 * outranked by that. Prints the errno's name of installing it, then of opening FILE. Proves that a guest cannot have a
 * listener where we hold one (ptrace.md, 2A 11). */
#include "guest.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
static int listener;
static void *serve(void *unused) {
  struct seccomp_notif ask;
  for (;;) {
    memset(&ask, 0, sizeof ask);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &ask)) continue;
    struct seccomp_notif_resp answer = {.id = ask.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
  return unused;
}
int main(int argc, char **argv) {
  if (argc < 2) return 2;
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = 4, .filter = code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  pthread_t thread;
  listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  puts(errname(listener));
  if (listener >= 0) pthread_create(&thread, NULL, serve, NULL);
  long file = syscall(SYS_openat, AT_FDCWD, argv[1], O_RDONLY);
  puts(errname(file));
  fflush(stdout);
  _exit(0);
}
