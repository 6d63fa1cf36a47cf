/* What the programs of rows share: one fact of ptrace(2) per row, in words that do not differ from run to run. */
#ifndef ROWS_H
#define ROWS_H
#include "guest.h"

#include <sys/ptrace.h>

#define REQ(r, pid, a, d) syscall(SYS_ptrace, (long)(r), (long)(pid), (long)(a), (long)(d))
#define SAY(what, result) printf("%s %s\n", what, errname(result))

static inline void hold(void) {
  for (;;) pause();
}

static inline int next(pid_t pid) {
  int status = 0;
  pid_t got = waitpid(pid, &status, __WALL);
  printf("status %x\n", got == pid ? (unsigned)status : 0xdead);
  return status;
}

static inline pid_t running(void (*then)(void)) {
  pid_t pid = fork();
  if (pid == 0) {
    then();
    _exit(5);
  }
  return pid;
}

/* Seconds after which a row is given up. */
#ifndef PATIENCE
#define PATIENCE 5
#endif

struct row {
  const char *name;
  void (*run)(void);
};
#define ROW(name) {#name, name}

/* Runs the row that is named. Without a name: the names. "exit" and "stop" are what rows execute. */
static inline int run_rows(const struct row *rows, size_t count, int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc < 2) {
    for (size_t i = 0; i < count; i++) puts(rows[i].name);
    return 0;
  }
  if (strcmp(argv[1], "exit") == 0) return 8;
  if (strcmp(argv[1], "stop") == 0) return raise(SIGSTOP) == 0 ? 9 : 10;
  signal(SIGALRM, SIG_DFL);
  alarm(PATIENCE);
  for (size_t i = 0; i < count; i++)
    if (strcmp(rows[i].name, argv[1]) == 0) {
      rows[i].run();
      puts("done");
      return 0;
    }
  die(2, "no row %s", argv[1]);
}
#endif
