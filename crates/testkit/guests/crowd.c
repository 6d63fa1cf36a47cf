/* crowd PROCESSES CALLS: that many processes make CALLS calls of getppid(2) among them, with a number of its own each; a handler is expected to give that
 * number back. Prints how many were made and how many answers were another's. Proves that a storm loses and misroutes no answer (N23). */
#include "guest.h"
int main(int argc, char **argv) {
  long processes = number(argc, argv, 1, 64), calls = number(argc, argv, 2, 1000) / processes;
  _Atomic long *counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  puts("begun");
  fflush(stdout);
  for (long p = 0; p < processes; p++) {
    pid_t pid = fork();
    if (pid < 0) return 6;
    if (pid) continue;
    long wrong = 0, mark = getpid() * 1000003L;
    for (long i = 0; i < calls; i++) {
      long token = (mark + i) & 0x3fffffff;
      wrong += syscall(SYS_getppid, token) != token;
    }
    counts[0] += calls;
    counts[1] += wrong;
    _exit(0);
  }
  while (wait(NULL) > 0 || errno == EINTR) {
  }
  printf("calls %ld, wrong %ld\n", counts[0], counts[1]);
  return 0;
}
