/* yama: who may attach to whom, a line each: by PTRACE_SEIZE, process_vm_readv(2) and pidfd_getfd(2), of a child, a grandchild, the parent, a neighbour, and a neighbour that has named
 * the tracer, one of its ancestors, or anybody by prctl(PR_SET_PTRACER). Proves what ptrace_scope says (ptrace.md, A5). */
#include "guest.h"
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#ifndef PR_SET_PTRACER
#define PR_SET_PTRACER 0x59616d61
#endif
static long word = 7;
static int asks[2], answers[2];
static void line(const char *name, pid_t pid) {
  long copy;
  struct iovec here = {&copy, sizeof copy}, there = {&word, sizeof word};
  const char *read_it = errname(process_vm_readv(pid, &here, 1, &there, 1, 0));
  printf("%s: readv %s", name, read_it);
  int pidfd = (int)syscall(434 /* pidfd_open */, pid, 0);
  printf(" getfd %s", errname(syscall(438 /* pidfd_getfd */, pidfd, 1, 0)));
  printf(" seize %s", errname(ptrace(PTRACE_SEIZE, pid, 0, 0)));
  int status;
  if (!ptrace(PTRACE_INTERRUPT, pid, 0, 0) && waitpid(pid, &status, __WALL) == pid) ptrace(PTRACE_DETACH, pid, 0, 0);
  printf("\n");
  fflush(stdout);
  close(pidfd);
}
/* The neighbour names whom it is told to, and says what that was answered. */
static void neighbour(void) {
  unsigned long who;
  while (read(asks[0], &who, sizeof who) == sizeof who) {
    int error = prctl(PR_SET_PTRACER, who, 0, 0, 0) ? errno : 0;
    if (write(answers[1], &error, sizeof error) != sizeof error) break;
  }
  _exit(0);
}
static const char *names(unsigned long who) {
  int error;
  if (write(asks[1], &who, sizeof who) != sizeof who || read(answers[0], &error, sizeof error) != sizeof error) die(9, "yama: no answer");
  errno = error;
  return errname(error ? -1 : 0);
}
int main(void) {
  if (pipe(asks) || pipe(answers)) return 5;
  pid_t other = fork();
  if (other == 0) neighbour();
  pid_t tracer = fork();
  if (tracer == 0) {
    int ready[2];
    pid_t grandchild;
    if (pipe(ready)) _exit(5);
    pid_t child = fork();
    if (child == 0) {
      grandchild = fork();
      if (grandchild && write(ready[1], &grandchild, sizeof grandchild) != sizeof grandchild) _exit(5);
      for (;;) pause();
    }
    if (read(ready[0], &grandchild, sizeof grandchild) != sizeof grandchild) _exit(6);
    line("child", child);
    line("grandchild", grandchild);
    line("parent", getppid());
    line("neighbour", other);
    printf("nobody's number %s\n", names(0x3fffffff));
    printf("names the tracer %s\n", names((unsigned long)getpid()));
    line("neighbour", other);
    printf("names its parent %s\n", names((unsigned long)getppid()));
    line("neighbour", other);
    printf("names its child %s\n", names((unsigned long)child));
    line("neighbour", other);
    printf("names anybody %s\n", names(~0UL));
    line("neighbour", other);
    printf("names nobody %s\n", names(0));
    line("neighbour", other);
    pid_t me = fork();
    if (me == 0) {
      printf("traceme %s\n", errname(ptrace(PTRACE_TRACEME, 0, 0, 0)));
      fflush(stdout);
      _exit(0);
    }
    waitpid(me, NULL, 0);
    printf("gone: seize %s\n", errname(ptrace(PTRACE_SEIZE, me, 0, 0)));
    fflush(stdout);
    kill(grandchild, SIGKILL);
    kill(child, SIGKILL);
    _exit(0);
  }
  waitpid(tracer, NULL, 0);
  kill(other, SIGKILL);
  return 0;
}
