/* reach TARGET...: what this process can do to others: "parent", "child" (one of its own: the control) or a number. A line each: PTRACE_SEIZE, process_vm_readv,
 * process_vm_writev, pidfd_getfd of its standard output, opening its /proc/PID/mem, reading its /proc/PID/fd/1, and how many listeners are among its descriptors. Proves that supervisor
 * and keeper are out of a guest's reach (E7, N24). */
#include "guest.h"
#include <dirent.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
static long word = 7;
static int listeners(pid_t pid) {
  char path[64], link[512], target[256];
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR *dir = opendir(path);
  int found = 0;
  for (struct dirent *entry; dir && (entry = readdir(dir));) {
    snprintf(link, sizeof link, "%s/%s", path, entry->d_name);
    ssize_t got = readlink(link, target, sizeof target - 1);
    target[got > 0 ? got : 0] = 0;
    found += strstr(target, "seccomp") != NULL;
  }
  if (dir) closedir(dir);
  return found;
}
static void reach(const char *name, pid_t pid) {
  char path[64];
  long copy = 7;
  struct iovec here = {&copy, sizeof copy}, there = {&word, sizeof word};
  printf("%s:", name);
  printf(" readv %s", errname(process_vm_readv(pid, &here, 1, &there, 1, 0)));
  printf(" writev %s", errname(process_vm_writev(pid, &here, 1, &there, 1, 0)));
  int pidfd = (int)syscall(434 /* pidfd_open */, pid, 0);
  printf(" getfd %s", errname(pidfd < 0 ? -1 : syscall(438 /* pidfd_getfd */, pidfd, 1, 0)));
  snprintf(path, sizeof path, "/proc/%d/mem", pid);
  printf(" mem %s", errname(open(path, O_RDONLY)));
  char target[256];
  snprintf(path, sizeof path, "/proc/%d/fd/1", pid);
  printf(" fd %s", errname(readlink(path, target, sizeof target)));
  printf(" listeners %d", listeners(pid));
  printf(" seize %s\n", errname(ptrace(PTRACE_SEIZE, pid, 0, 0)));
  fflush(stdout);
}
int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    pid_t pid = !strcmp(argv[i], "parent") ? getppid() : (pid_t)strtol(argv[i], NULL, 0);
    int child = !strcmp(argv[i], "child");
    if (child && (pid = fork()) == 0) {
      pause();
      _exit(0);
    }
    reach(pid == getppid() ? "parent" : child ? "child" : "number", pid);
    if (child) kill(pid, SIGKILL);
  }
  return 0;
}
