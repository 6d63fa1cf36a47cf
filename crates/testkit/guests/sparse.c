/* sparse DIR [BYTES]: makes a file of BYTES (1 TiB) with one byte at its end, prints the errno's name of ftruncate and of the write.
 * Proves that a file's size limit is about its length, not its blocks (R17). */
#include "guest.h"
int main(int argc, char **argv) {
  char path[4096];
  long bytes = number(argc, argv, 2, 1L << 40);
  snprintf(path, sizeof path, "%s/sparse.%d", argc > 1 ? argv[1] : "/tmp", getpid());
  int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
  if (fd < 0) die(5, "%s: %s", path, errname(-1));
  unlink(path);
  long set = ftruncate(fd, bytes);
  printf("%s ", errname(set));
  fflush(stdout);
  long put = pwrite(fd, "x", 1, bytes - 1);
  printf("%s\n", errname(put));
  return set || put != 1 ? 6 : 0;
}
