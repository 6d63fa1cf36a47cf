/* peak MIB: touches MIB at once, gives it back, exits 0. Proves that memory_peak_bytes is the peak, not the last value. */
#include "guest.h"
int main(int argc, char **argv) {
  size_t length = (size_t)number(argc, argv, 1, 20) * MiB;
  char *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return 3;
  touch(p, length);
  /* Whoever looks now and then, on a busy machine, sees it. */
  usleep(300000);
  munmap(p, length);
  usleep(50000);
  return 0;
}
