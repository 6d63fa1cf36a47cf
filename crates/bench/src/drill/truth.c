/* truth MS MIB KIND CHILDREN: burns MS milliseconds of CPU in each of CHILDREN children and in itself, touches MIB mebibytes of memory that is anon, shared or
 * half each, and prints what the kernel says of it: "cpu_us N" from getrusage(2), "memory_kib N", the resident anonymous and shared pages with their tables. */
#include "guest.h"
#include <sys/resource.h>
static long field(const char *text, const char *key) {
  const char *at = strstr(text, key);
  return at ? strtol(at + strlen(key), NULL, 10) : 0;
}
static long micros(struct timeval t) { return t.tv_sec * 1000000 + t.tv_usec; }
int main(int argc, char **argv) {
  long ms = number(argc, argv, 1, 10), mib = number(argc, argv, 2, 0), children = number(argc, argv, 4, 0);
  const char *kind = argc > 3 ? argv[3] : "anon";
  for (long i = 0; i < children; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      burn(ms);
      _exit(0);
    }
  }
  burn(ms);
  while (wait(NULL) > 0) {
  }
  long shared = !strcmp(kind, "shared") ? mib : !strcmp(kind, "both") ? mib / 2 : 0;
  struct { long size; int flags; } parts[] = {{mib - shared, MAP_PRIVATE}, {shared, MAP_SHARED}};
  for (int i = 0; i < 2; i++) {
    if (parts[i].size == 0) continue;
    size_t length = (size_t)(parts[i].size * MiB);
    char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, parts[i].flags | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 3;
    madvise(memory, length, MADV_NOHUGEPAGE);
    touch(memory, length);
  }
  static char text[8192];
  int fd = open("/proc/self/status", O_RDONLY);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) return 4;
  /* Where nobody counts, somebody looks. */
  if (mib) usleep(60000);
  struct rusage own, theirs;
  getrusage(RUSAGE_SELF, &own);
  getrusage(RUSAGE_CHILDREN, &theirs);
  printf("cpu_us %ld\nmemory_kib %ld\n", micros(own.ru_utime) + micros(own.ru_stime) + micros(theirs.ru_utime) + micros(theirs.ru_stime),
         field(text, "RssAnon:") + field(text, "RssShmem:") + field(text, "VmPTE:"));
  return 0;
}
