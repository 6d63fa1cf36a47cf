/* memfd [MIB]: fills an anonymous file. Memory that stands in nobody's RSS. Proves that shared memory is charged (R6). */
#include "guest.h"
int main(int argc, char **argv) {
  static char buffer[1 << 20];
  memset(buffer, 'm', sizeof buffer);
  int fd = memfd_create("hog", MFD_CLOEXEC);
  if (fd < 0) die(5, "memfd_create: %s", errname(-1));
  for (long i = number(argc, argv, 1, 4096); i > 0; i--)
    if (write(fd, buffer, sizeof buffer) != sizeof buffer) die(3, "write: %s", errname(-1));
  return 0;
}
