/* xfsz ignore|default DIR [MIB]: writes a file of MIB (64). Ignored: prints "EFBIG" and exits 6 by itself; default: SIGXFSZ kills it.
 * Proves both halves of the file-size verdict. */
#include "guest.h"
int main(int argc, char **argv) {
  static char buffer[1 << 20];
  char path[4096];
  signal(SIGXFSZ, argc > 1 && !strcmp(argv[1], "ignore") ? SIG_IGN : SIG_DFL);
  snprintf(path, sizeof path, "%s/xfsz.%d", argc > 2 ? argv[2] : "/tmp", getpid());
  int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
  if (fd < 0) die(5, "%s: %s", path, errname(-1));
  unlink(path);
  for (long i = number(argc, argv, 3, 64); i > 0; i--) {
    ssize_t n = write(fd, buffer, sizeof buffer);
    if (n < 0) {
      puts(errname(n));
      return 6;
    }
  }
  puts("OK");
  return 0;
}
