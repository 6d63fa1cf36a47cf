/* execas HOW DIR NAME [ARG...]: executes NAME in DIR: `path` by its absolute path, `relative` from DIR, `dirfd` by execveat, `fd` by a descriptor
 * (AT_EMPTY_PATH), `magic` by /proc/self/fd, `empty` with no arguments at all, `thread` from a second thread, `waiting` from one while the first calls getppid. Proves that approved execs of
 * every form run (T20, P5). */
#include "guest.h"
#include <pthread.h>
extern char **environ;
static char path[4096];
static char **args;
/* The first thread sleeps in its getppid, and has been heard. Where that cannot be seen, time must do. */
static void await_call(void) {
  char file[64], text[32], call[16];
  snprintf(file, sizeof file, "/proc/self/task/%d/syscall", getpid());
  snprintf(call, sizeof call, "%d ", SYS_getppid);
  for (int fd; (fd = open(file, O_RDONLY)) >= 0; usleep(1000)) {
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) break;
    text[n] = 0;
    if (!strncmp(text, call, strlen(call))) break;
  }
  usleep(100000);
}
static void *run(void *later) {
  if (later) await_call();
  execve(path, args, environ);
  die(9, "execve: %s", errname(-1));
}
int main(int argc, char **argv) {
  if (argc < 4) return 2;
  const char *how = argv[1], *dir = argv[2], *name = argv[3];
  args = argv + 3;
  snprintf(path, sizeof path, "%s/%s", dir, name);
  if (strcmp(how, "path") == 0) execve(path, args, environ);
  if (strcmp(how, "empty") == 0) execve(path, (char *[]){NULL}, environ);
  if (strcmp(how, "relative") == 0 && chdir(dir) == 0) execve(name, args, environ);
  if (strcmp(how, "dirfd") == 0) syscall(SYS_execveat, open(dir, O_PATH), name, args, environ, 0);
  if (strcmp(how, "fd") == 0) syscall(SYS_execveat, open(path, O_PATH), "", args, environ, AT_EMPTY_PATH);
  if (strcmp(how, "magic") == 0) {
    snprintf(path, sizeof path, "/proc/self/fd/%d", open(path, O_PATH));
    execve(path, args, environ);
  }
  if (strcmp(how, "thread") == 0) {
    pthread_t thread;
    pthread_create(&thread, NULL, run, NULL);
    pthread_join(thread, NULL);
  }
  if (strcmp(how, "waiting") == 0) {
    pthread_t thread;
    pthread_create(&thread, NULL, run, path);
    syscall(SYS_getppid);
    pause();
  }
  die(8, "%s: %s", how, errname(-1));
}
