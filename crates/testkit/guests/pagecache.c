/* pagecache FILE: throws FILE out of the page cache, then reads it whole, prints the bytes read, exits 0.
 * Proves that reclaimable page cache is no memory of the program: cold or warm, the verdict is the same. */
#include "guest.h"
int main(int argc, char **argv) {
  static char buffer[1 << 16];
  if (argc < 2) return 2;
  int fd = open(argv[1], O_RDONLY);
  if (fd < 0) die(5, "%s: %s", argv[1], errname(-1));
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  long total = 0;
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0) total += n;
  printf("%ld\n", total);
  return n < 0 ? 6 : 0;
}
