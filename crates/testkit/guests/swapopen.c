/* swapopen GOOD SECRET TRIES: opens GOOD again and again while another thread swaps the path for SECRET and back. Prints how often something was read, and
 * how often it was what SECRET holds ("secret"). Proves that what decides is below the memory that a handler has read (N1, T22). */
#include "guest.h"
#include <pthread.h>
static char shared[1024], words[2][1024];
static void *swap(void *length) {
  for (unsigned i = 0; words[0][0]; i++) {
    memcpy(shared, words[i & 1], (size_t)length);
    __asm__ volatile("" ::: "memory");
  }
  return NULL;
}
int main(int argc, char **argv) {
  if (argc < 4) return 2;
  strcpy(words[0], argv[1]);
  strcpy(words[1], argv[2]);
  strcpy(shared, words[0]);
  pthread_t thread;
  if (pthread_create(&thread, NULL, swap, (void *)(strlen(words[0]) + 1))) return 6;
  long opened = 0, secret = 0;
  for (long i = 0; i < strtol(argv[3], NULL, 0) && !secret; i++) {
    int fd = open(shared, O_RDONLY);
    if (fd < 0) continue;
    char text[16] = {0};
    if (read(fd, text, sizeof text - 1) < 0) return 7;
    opened++;
    if (strncmp(text, "secret", 6) == 0) secret++;
    close(fd);
  }
  printf("opened %s, secret %ld\n", opened ? "some" : "none", secret);
  fflush(stdout);
  _exit(0);
}
