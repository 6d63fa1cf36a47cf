/* What several guests share: errno names, a millisecond clock, endings that say why. */
#ifndef GUEST_H
#define GUEST_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MiB (1024L * 1024L)

/* "OK" for success, else the errno's name: tests compare names, not numbers. */
static inline const char *errname(long result) {
  static char unknown[32];
  if (result >= 0) return "OK";
  const char *name = strerrorname_np(errno);
  if (name) return name;
  snprintf(unknown, sizeof unknown, "E%d", errno);
  return unknown;
}

__attribute__((noreturn, format(printf, 2, 3)))
static inline void die(int code, const char *format, ...) {
  va_list list;
  va_start(list, format);
  vfprintf(stderr, format, list);
  va_end(list);
  fputc('\n', stderr);
  fflush(NULL);
  _exit(code);
}

static inline long clock_ms(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000L + t.tv_nsec / 1000000L;
}

/* Uses `ms` of this process's own CPU time. */
static inline void burn(long ms) {
  long end = clock_ms(CLOCK_PROCESS_CPUTIME_ID) + ms;
  while (clock_ms(CLOCK_PROCESS_CPUTIME_ID) < end)
    for (volatile int i = 0; i < 20000; i++) {
    }
}

/* One byte into every page, never the same page content twice (no merging, no zero page). */
static inline void touch(char *memory, size_t length) {
  for (size_t i = 0; i < length; i += 4096) memory[i] = (char)(i >> 12 | 1);
}

/* A JSON string with every byte that is not plain ASCII escaped. */
static inline void put_json(const char *s, size_t length) {
  putchar('"');
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)s[i];
    if (c == '"' || c == '\\') printf("\\%c", c);
    else if (c < 32 || c > 126) printf("\\u%04x", c);
    else putchar(c);
  }
  putchar('"');
}

/* A line "NAME RESULT" of a probe that tries many ways. */
static inline void way(const char *name, long result) {
  printf("%s %s\n", name, errname(result));
  fflush(stdout);
}

static inline long number(int argc, char **argv, int index, long otherwise) {
  return index < argc ? strtol(argv[index], NULL, 0) : otherwise;
}
#endif
