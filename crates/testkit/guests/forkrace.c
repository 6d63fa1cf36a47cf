/* forkrace FORKERS MS: FORKERS processes make children as fast as they can for MS milliseconds; each says that it is there, stays a
 * moment, says that it goes, and ends. Prints "most N refused M": the most tasks that were there at once, by their own word, and whether
 * any was refused (0 or 1). Proves that callers who ask at the same time do not get one task too many between them. */
#include "guest.h"

struct shared {
  volatile long alive, most, refused;
};

static void come(struct shared *s) {
  long now = __sync_add_and_fetch(&s->alive, 1), most;
  while (now > (most = s->most) && !__sync_bool_compare_and_swap(&s->most, most, now)) {
  }
}
static void go(struct shared *s) {
  __sync_sub_and_fetch(&s->alive, 1);
  _exit(0);
}

int main(int argc, char **argv) {
  long forkers = number(argc, argv, 1, 8), ms = number(argc, argv, 2, 500);
  struct shared *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (s == MAP_FAILED) die(2, "mmap: %s", errname(-1));
  come(s);
  long end = clock_ms(CLOCK_MONOTONIC) + ms;
  for (long i = 0; i < forkers; i++) {
    pid_t forker = fork();
    if (forker < 0) break;
    if (forker == 0) {
      come(s);
      unsigned seed = (unsigned)i;
      while (clock_ms(CLOCK_MONOTONIC) < end) {
        pid_t pid = fork();
        if (pid < 0) s->refused = 1;
        if (pid == 0) {
          come(s);
          struct timespec t = {0, rand_r(&seed) % 10000000};
          nanosleep(&t, NULL);
          go(s);
        }
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
      }
      while (wait(NULL) > 0) {
      }
      go(s);
    }
  }
  while (wait(NULL) > 0) {
  }
  printf("most %ld refused %ld\n", s->most, s->refused);
  return 0;
}
