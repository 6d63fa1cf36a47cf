/* peerexec GOOD EVIL ROUNDS PROGRAM: ROUNDS processes, each of which executes PROGRAM with an argument in memory that another process shares and
 * swaps between GOOD and EVIL without end. An exec that fails is tried again. Proves that stopping the caller's threads is not enough (N2). */
#include "guest.h"
int main(int argc, char **argv) {
  if (argc < 5) return 2;
  char *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  size_t length = strlen(argv[1]) + 1;
  strcpy(word, argv[1]);
  pid_t peer = fork();
  if (peer == 0)
    for (unsigned i = 0;; i++) {
      memcpy(word, argv[1 + (i & 1)], length);
      __asm__ volatile("" ::: "memory");
    }
  for (long round = 0; round < strtol(argv[3], NULL, 0); round++) {
    pid_t pid = fork();
    if (pid == 0) {
      char *list[] = {argv[4], word, NULL};
      for (int tries = 0; tries < 10000; tries++) execv(argv[4], list);
      _exit(8);
    }
    waitpid(pid, NULL, 0);
  }
  kill(peer, SIGKILL);
  return 0;
}
