/* filehog DIR [MIB]: fills a file in DIR (/dev/shm, /tmp), prints "MIB ERRNO" when refused and exits 3. Proves that a private
 * tmpfs is charged to the box or has a size of its own (R6, R17). The file is unlinked at once. */
#include "guest.h"
int main(int argc, char **argv) {
  static char buffer[1 << 20];
  char path[4096];
  long most = number(argc, argv, 2, 4096);
  snprintf(path, sizeof path, "%s/hog.%d", argc > 1 ? argv[1] : "/tmp", getpid());
  int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) die(5, "%s: %s", path, errname(-1));
  unlink(path);
  memset(buffer, 'f', sizeof buffer);
  for (long i = 0; i < most; i++)
    for (size_t at = 0; at < sizeof buffer;) {
      ssize_t n = write(fd, buffer + at, sizeof buffer - at);
      if (n <= 0) {
        printf("%ld %s\n", i, errname(n));
        return 3;
      }
      at += (size_t)n;
    }
  printf("%ld OK\n", most);
  return 0;
}
