/* signalout PID: may this process signal PID (the supervisor), its parent, everybody? Only signal 0 is sent, so that being allowed
 * breaks nothing. Prints each way's errno name. Proves E7 and E8. */
#include "guest.h"
#include <sys/syscall.h>
int main(int argc, char **argv) {
  pid_t pid = (pid_t)number(argc, argv, 1, getppid());
  printf("{\"kill\":\"%s\",", errname(kill(pid, 0)));
  printf("\"kill_group\":\"%s\",", errname(kill(-pid, 0)));
  printf("\"tgkill\":\"%s\",", errname(syscall(SYS_tgkill, pid, pid, 0)));
  printf("\"tkill\":\"%s\",", errname(syscall(SYS_tkill, pid, 0)));
  siginfo_t info = {.si_code = SI_QUEUE, .si_signo = 0};
  printf("\"sigqueue\":\"%s\",", errname(syscall(SYS_rt_sigqueueinfo, pid, 0, &info)));
  long fd = syscall(SYS_pidfd_open, pid, 0);
  printf("\"pidfd\":\"%s\",", fd < 0 ? errname(fd) : errname(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0)));
  printf("\"setpriority\":\"%s\",", errname(syscall(SYS_setpriority, 0, pid, 0)));
  printf("\"self\":\"%s\"}\n", errname(kill(getpid(), 0)));
  return 0;
}
