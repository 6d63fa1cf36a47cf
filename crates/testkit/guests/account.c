/* account KIND MIB [CODE]: asks for memory in one way until it has MIB mebibytes or is refused, prints "MIB ERRNO" and exits CODE (0) or, not refused,
 * prints "OK" and exits 0. What was got is touched. Proves what an exact memory account refuses, and what gives room again. */
#include "guest.h"
#include <pthread.h>
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define ALL (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static long wanted, code;

__attribute__((noreturn)) static void refused(long had) {
  printf("%ld %s\n", had, errname(-1));
  fflush(NULL);
  _exit((int)code);
}
static char *get(size_t length, int flags, int fd) {
  char *memory = mmap(NULL, length, ALL, flags, fd, 0);
  return memory == MAP_FAILED ? NULL : memory;
}
static char *must(size_t length) {
  char *memory = get(length, ANON, -1);
  if (!memory) refused(-1);
  return memory;
}
static size_t size(void) { return (size_t)(wanted * MiB); }

/* One large request of each kind. */
static void anonymous(void) { if (!get(size(), ANON, -1)) refused(0); }
static void shared(void) { if (!get(size(), MAP_SHARED | MAP_ANONYMOUS, -1)) refused(0); }
static void devzero(void) { if (!get(size(), MAP_PRIVATE, open("/dev/zero", O_RDWR))) refused(0); }
/* A private mapping of a file is a copy to be. */
static void file(void) {
  int fd = open("/proc/self/exe", O_RDONLY);
  if (fd < 0) die(2, "no file: %s", errname(-1));
  if (!get(size(), MAP_PRIVATE, fd)) refused(0);
}
static void truncated(void) { if (ftruncate(memfd_create("account", 0), wanted * MiB)) refused(0); }
static void allocated(void) { if (fallocate(memfd_create("account", 0), 0, 0, wanted * MiB)) refused(0); }
static void larger(void) {
  if (mremap(must(MiB), MiB, size(), MREMAP_MAYMOVE) == MAP_FAILED) refused(0);
}
static void kept(void) {
  char *memory = must(size() / 2 + MiB);
  if (mremap(memory, size() / 2 + MiB, size() / 2 + MiB, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL) == MAP_FAILED) refused(wanted / 2);
}
/* Read-only, then writable. */
static void writable(void) {
  char *memory = mmap(NULL, size(), PROT_READ, ANON, -1, 0);
  if (memory == MAP_FAILED) refused(-1);
  if (mprotect(memory, size(), ALL)) refused(0);
}
/* The break stays where it was, and small steps still work. */
static void grown(void) {
  char *before = sbrk(0);
  if (sbrk(size()) != (void *)-1) return;
  int error = errno;
  if (sbrk(0) != before) die(2, "the break has moved");
  if (sbrk(4096) != before) die(2, "no small step: %s", errname(-1));
  errno = error;
  refused(0);
}
static void allocator(void) {
  for (long had = 0; had < wanted; had++) {
    char *memory = malloc(MiB);
    if (!memory) refused(had);
    touch(memory, MiB);
  }
}
/* Opened in small steps, as allocators do. */
static void stepwise(void) {
  char *memory = mmap(NULL, size(), PROT_NONE, ANON, -1, 0);
  for (long at = 0; at < wanted * MiB; at += MiB / 4) {
    if (mprotect(memory + at, MiB / 4, ALL)) refused(at / MiB);
    touch(memory + at, MiB / 4);
  }
}
/* Memory that is not used: reserved, and put to use in large pieces that nobody touches. */
static void reserved(void) {
  char *memory = mmap(NULL, 1L << 40, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) refused(0);
  if (mmap(memory, size(), ALL, ANON | MAP_FIXED, -1, 0) == MAP_FAILED) refused(1);
  if (!get(size(), ANON | MAP_NORESERVE, -1)) refused(2);
  char *stack = mmap(NULL, size(), PROT_NONE, ANON, -1, 0);
  if (stack == MAP_FAILED || mprotect(stack + 4096, size() - 4096, ALL)) refused(3);
  touch(memory, MiB);
  /* And what is left can still be had. */
  if (!get(MiB, ANON, -1)) refused(4);
}
/* The middle of a mapping is given back, across two mappings, and can be had again. */
static void partial(void) {
  size_t half = size() / 2;
  char *memory = must(size());
  touch(memory, size());
  if (mprotect(memory + half, 4096, PROT_READ)) refused(1);
  if (get(half, ANON, -1)) die(2, "more than there is");
  if (errno != ENOMEM || munmap(memory + half / 2, half)) refused(2);
  char *again = get(half - MiB, ANON, -1);
  if (!again) refused(3);
  touch(again, half - MiB);
}
static void pairs(void) {
  for (long i = 0; i < wanted; i++) {
    char *memory = get(8 * MiB, ANON, -1);
    if (!memory) refused(i);
    memory[0] = 1;
    munmap(memory, 8 * MiB);
  }
}
/* A child that dies badly with most of the limit, again and again. */
static void crashes(void) {
  for (long i = 0; i < wanted; i++) {
    pid_t pid = fork();
    if (pid < 0) refused(i);
    if (pid == 0) {
      char *memory = get(40 * MiB, ANON, -1);
      if (!memory) _exit(9);
      memory[0] = 1;
      raise(SIGKILL);
    }
    int status;
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status)) {
      errno = ENOMEM;
      refused(i);
    }
  }
}
/* A child has what its parent has: two do not fit where one does. After an exec it has nothing of that. */
static void forked(void) {
  char *memory = must(size());
  touch(memory, size());
  pid_t pid = fork();
  if (pid == 0) _exit(get(8 * MiB, ANON, -1) ? 0 : 7);
  int status;
  waitpid(pid, &status, 0);
  printf("copy %d\n", WEXITSTATUS(status));
  fflush(stdout);
  if (!get(8 * MiB, ANON, -1)) refused(1);
  pid = vfork();
  if (pid == 0) {
    execl("/proc/self/exe", "account", "anonymous", "8", "7", (char *)NULL);
    _exit(8);
  }
  waitpid(pid, &status, 0);
  if (status) refused(2);
}
static void vforked(void) {
  char *memory = must(size());
  touch(memory, size());
  pid_t pid = vfork();
  if (pid == 0) {
    usleep(200000);
    _exit(0);
  }
  int status;
  waitpid(pid, &status, 0);
}
static long had;
static pthread_barrier_t start;
static void *racer(void *unused) {
  pthread_barrier_wait(&start);
  while (get(MiB, ANON, -1)) __sync_add_and_fetch(&had, 1);
  return unused;
}
/* Eight threads at once: what they have together, by their own count. */
static void race(void) {
  pthread_t threads[8];
  pthread_attr_t small;
  pthread_barrier_init(&start, NULL, 8);
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 << 10);
  for (int i = 0; i < 8; i++)
    if ((errno = pthread_create(&threads[i], &small, racer, NULL))) refused(-1);
  for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
  errno = ENOMEM;
  refused(had);
}

static const struct kind {
  const char *name;
  void (*get)(void);
} kinds[] = {{"anonymous", anonymous}, {"shared", shared}, {"devzero", devzero}, {"file", file}, {"truncated", truncated},
             {"allocated", allocated}, {"larger", larger}, {"kept", kept}, {"writable", writable}, {"grown", grown},
             {"allocator", allocator}, {"stepwise", stepwise}, {"reserved", reserved}, {"partial", partial}, {"pairs", pairs},
             {"crashes", crashes}, {"forked", forked}, {"vforked", vforked}, {"race", race}};

int main(int argc, char **argv) {
  wanted = number(argc, argv, 2, 64);
  code = number(argc, argv, 3, 0);
  for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (argc > 1 && !strcmp(kinds[i].name, argv[1])) {
      kinds[i].get();
      puts("OK");
      return 0;
    }
  die(2, "account: no kind %s", argc > 1 ? argv[1] : "given");
}
