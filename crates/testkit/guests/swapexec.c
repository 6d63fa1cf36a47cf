/* swapexec path GOOD EVIL ROUNDS, swapexec argv GOOD EVIL ROUNDS PROGRAM: ROUNDS processes, each of which executes GOOD (or PROGRAM with the
 * argument GOOD) while another of its threads swaps the word for EVIL and back without end. An exec that fails is tried again. Proves that
 * what was approved is what runs (N1). */
#include "guest.h"
#include <pthread.h>
static char words[2][1024];
static char *slot;
static char *volatile argv_of[3];
static void *swap(void *length) {
  for (unsigned i = 0; words[0][0]; i++) {
    if (slot) memcpy(slot, words[i & 1], (size_t)length);
    else argv_of[1] = words[i & 1];
    __asm__ volatile("" ::: "memory");
  }
  return NULL;
}
int main(int argc, char **argv) {
  int path = argc > 4 && strcmp(argv[1], "path") == 0;
  if (argc < (path ? 5 : 6)) return 2;
  strcpy(words[0], argv[2]);
  strcpy(words[1], argv[3]);
  const char *program = path ? NULL : argv[5];
  for (long round = 0; round < strtol(argv[4], NULL, 0); round++) {
    pid_t pid = fork();
    if (pid < 0) return 6;
    if (pid == 0) {
      static char shared[1024];
      strcpy(shared, words[0]);
      slot = path ? shared : NULL;
      argv_of[0] = path ? shared : (char *)program;
      argv_of[1] = path ? NULL : words[0];
      pthread_t thread;
      size_t length = strlen(words[0]) + 1;
      if (pthread_create(&thread, NULL, swap, (void *)length)) _exit(7);
      char *const *list = (char *const *)argv_of;
      static char *const none[] = {"x", NULL};
      for (int tries = 0; tries < 10000; tries++) execv(path ? shared : program, path ? none : list);
      _exit(8);
    }
    waitpid(pid, NULL, 0);
  }
  return 0;
}
