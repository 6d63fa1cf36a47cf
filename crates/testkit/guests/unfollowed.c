/* unfollowed clone|clone3 PATH: makes a child with CLONE_UNTRACED, which opens PATH. Prints the errno's names of both. Proves that a child does not
 * get away from a tracer (P8; clone(2), CLONE_UNTRACED). */
#include "guest.h"
#include <linux/sched.h>
int main(int argc, char **argv) {
  if (argc < 3) return 2;
  long pid;
  if (strcmp(argv[1], "clone3") == 0) {
    struct clone_args args = {.flags = CLONE_UNTRACED, .exit_signal = SIGCHLD};
    pid = syscall(SYS_clone3, &args, sizeof args);
  } else {
    pid = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
  }
  if (pid == 0) {
    char line[64];
    int n = snprintf(line, sizeof line, "open %s\n", errname(syscall(SYS_openat, AT_FDCWD, argv[2], O_RDONLY)));
    if (write(1, line, (size_t)n) != n) _exit(5);
    _exit(0);
  }
  if (pid > 0) waitpid((pid_t)pid, NULL, __WALL);
  printf("%s %s\n", argv[1], errname(pid));
  return 0;
}
