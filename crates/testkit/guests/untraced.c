/* untraced [clone3]: makes a child with CLONE_UNTRACED, as LeakSanitizer does. The child makes one call of getpriority(0, 0) and says
 * who traces it. Exit 0; 7 if clone3 is not there. Proves that a tracer loses no child (P8). */
#include "guest.h"
#include <linux/sched.h>
static int tracer(void) {
  char line[128];
  int pid = -1;
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status))
    if (sscanf(line, "TracerPid: %d", &pid) == 1) break;
  return pid;
}
int main(int argc, char **argv) {
  (void)argv;
  long child;
  if (argc > 1) {
    struct clone_args args = {.flags = CLONE_UNTRACED, .exit_signal = SIGCHLD};
    child = syscall(SYS_clone3, &args, sizeof args);
  } else {
    child = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
  }
  if (child < 0) return 7;
  if (!child) {
    syscall(SYS_getpriority, 0, 0);
    printf("%s\n", tracer() > 0 ? "traced" : "untraced");
    fflush(stdout);
    _exit(0);
  }
  int status;
  return waitpid((pid_t)child, &status, 0) == child ? WEXITSTATUS(status) : 1;
}
