/* race CALL GOOD BAD FLIPS TRIES [writev|mem]: makes CALL with a path in memory that other processes share, until the path has been swapped between GOOD and BAD at least
 * FLIPS times and the call made at least TRIES times. Three threads swap it, and a process of its own (MAP_SHARED). Prints how often the call went through, and how often
 * it met BAD ("wrong"). GOOD and BAD are directories, equally long, with a file "f" that holds their letter, and a program "x" whose status is 2 in BAD.
 * With the last word the path is in memory of the caller's own, and its child swaps it from outside, by process_vm_writev(2) or /proc/PID/mem.
 * CALL: open, creat, openat2, rename, link, exec, chdir. Proves that what decides is below the memory that a handler has read (N1, N2). */
#include "guest.h"
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/uio.h>
struct open_how_0 { uint64_t flags, mode, resolve; };
struct shared { char path[512]; _Atomic long flips; _Atomic int end; };
static struct shared *shared;
static char words[2][512];
static void *swap(void *unused) {
  size_t length = strlen(words[0]) + 1;
  for (unsigned i = 0; !shared->end; i++) {
    memcpy(shared->path, words[i & 1], length);
    __asm__ volatile("" ::: "memory");
    if (i % 64 == 63) shared->flips += 64;
    if (i % 4095 == 4094) sched_yield();
  }
  return unused;
}
static char own[512];
static void swap_from_outside(int by_mem) {
  size_t length = strlen(words[0]) + 1;
  pid_t parent = getppid();
  char name[64];
  snprintf(name, sizeof name, "/proc/%d/mem", parent);
  int mem = by_mem ? open(name, O_RDWR | O_CLOEXEC) : -1;
  for (unsigned i = 0; !shared->end; i++) {
    struct iovec here = {words[i & 1], length}, there = {own, length};
    ssize_t n = by_mem ? pwrite(mem, words[i & 1], length, (off_t)(uintptr_t)own) : process_vm_writev(parent, &here, 1, &there, 1, 0);
    if (n != (ssize_t)length) {
      shared->end = 1;
      die(8, "race: %s", errname(-1));
    }
    shared->flips++;
  }
}
static int letter(int fd) {
  char c = 0;
  if (fd < 0) return 0;
  if (read(fd, &c, 1) != 1) c = '?';
  close(fd);
  return c;
}
static int exists(const char *dir, const char *name) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  return access(path, F_OK) == 0;
}
int main(int argc, char **argv) {
  if (argc < 6) return 2;
  const char *call = argv[1], *good = argv[2], *bad = argv[3];
  const char *name = !strcmp(call, "chdir") ? "." : !strcmp(call, "exec") ? "x" : !strcmp(call, "open") || !strcmp(call, "openat2") ? "f" : "new";
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 2; i++) snprintf(words[i], sizeof words[i], "%s/%s", i ? bad : good, name);
  const char *outside = argc > 6 ? argv[6] : NULL;
  strcpy(shared->path, words[0]);
  strcpy(own, words[0]);
  char source[600], made[600];
  snprintf(source, sizeof source, "%s/source", good);
  snprintf(made, sizeof made, "%s/new", good);
  close(open(source, O_WRONLY | O_CREAT, 0644));
  pid_t peer = fork();
  if (peer == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (outside) swap_from_outside(!strcmp(outside, "mem"));
    else swap(NULL);
    _exit(0);
  }
  pthread_t threads[3];
  int count = outside ? 0 : 3;
  for (int i = 0; i < count; i++)
    if (pthread_create(&threads[i], NULL, swap, NULL)) return 6;
  long flips = strtol(argv[4], NULL, 0), tries = strtol(argv[5], NULL, 0), made_calls = 0, through = 0, wrong = 0;
  for (; !shared->end && (made_calls < tries || shared->flips < flips); made_calls++) {
    char *path = outside ? own : shared->path;
    int met = 0;
    if (!strcmp(call, "open")) met = letter((int)syscall(SYS_open, path, O_RDONLY));
    else if (!strcmp(call, "openat2")) {
      struct open_how_0 how = {O_RDONLY, 0, 0};
      met = letter((int)syscall(437, AT_FDCWD, path, &how, sizeof how));
    } else if (!strcmp(call, "creat")) {
      int fd = (int)syscall(SYS_creat, path, 0644);
      if (fd >= 0) {
        close(fd);
        met = unlink(made) == 0 ? 'g' : 'b';
      }
    } else if (!strcmp(call, "rename")) {
      if (syscall(SYS_rename, source, path) == 0) met = syscall(SYS_rename, made, source) == 0 ? 'g' : 'b';
      if (met == 'b') close(open(source, O_WRONLY | O_CREAT, 0644));
    } else if (!strcmp(call, "link")) {
      if (syscall(SYS_link, source, path) == 0) met = unlink(made) == 0 ? 'g' : 'b';
    } else if (!strcmp(call, "chdir")) {
      if (syscall(SYS_chdir, path) == 0) met = letter(open("f", O_RDONLY));
      if (chdir("/")) return 7;
    } else if (!strcmp(call, "exec")) {
      char *const arguments[] = {path, NULL};
      pid_t pid = fork();
      if (pid == 0) {
        syscall(SYS_execve, path, arguments, NULL);
        _exit(125);
      }
      int status = 0;
      while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
      }
      if (WIFEXITED(status) && WEXITSTATUS(status) != 125) met = WEXITSTATUS(status) == 2 ? 'b' : 'g';
    } else return 2;
    through += met == 'g';
    wrong += met == 'b';
    /* Where the attack succeeds, what it made must not stand in the way of the next one. */
    if (met == 'b' && exists(bad, "new")) unlink(words[1]);
  }
  shared->end = 1;
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  waitpid(peer, NULL, 0);
  printf("%s: %ld calls, %s flips, %s through, %ld wrong\n", call, made_calls, shared->flips >= flips ? "all" : "few", through ? "some" : "none", wrong);
  return 0;
}
