/* ptracer: tries to trace a child of its own and prints the errno's name of TRACEME (in the child), SEIZE, and process_vm_readv.
 * Proves what guest_ptrace says, both ways (S8, E7). */
#include "guest.h"
#include <sys/ptrace.h>
#include <sys/uio.h>
int main(void) {
  int ready[2], go[2];
  if (pipe(ready) || pipe(go)) return 5;
  pid_t pid = fork();
  if (pid < 0) return 6;
  if (pid == 0) {
    char name[32] = {0}, byte;
    /* The answer of TRACEME in a grandchild, so that this one stays free to be seized. */
    pid_t inner = fork();
    if (inner == 0) {
      strcpy(name, errname(ptrace(PTRACE_TRACEME, 0, 0, 0)));
      if (write(ready[1], name, sizeof name) != sizeof name) _exit(5);
      _exit(0);
    }
    waitpid(inner, NULL, __WALL);
    if (read(go[0], &byte, 1) < 0) _exit(5);
    _exit(0);
  }
  char name[32], word[8];
  if (read(ready[0], name, sizeof name) != sizeof name) return 7;
  printf("{\"traceme\":\"%s\",", name);
  printf("\"seize\":\"%s\",", errname(ptrace(PTRACE_SEIZE, pid, 0, 0)));
  struct iovec here = {word, sizeof word}, there = {&ready, sizeof word};
  printf("\"process_vm_readv\":\"%s\"}\n", errname(process_vm_readv(pid, &here, 1, &there, 1, 0)));
  fflush(stdout);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, __WALL);
  return 0;
}
