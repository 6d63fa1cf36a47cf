/* forkexec N PROGRAM: runs PROGRAM that many times, one after the other. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
  for (long n = argc > 2 ? atol(argv[1]) : 0; n > 0; n--) {
    pid_t child = fork();
    if (child == 0) {
      execv(argv[2], argv + 2);
      _exit(127);
    }
    waitpid(child, NULL, 0);
  }
  return 0;
}
