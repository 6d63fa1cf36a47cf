/* flood [BYTES [CHUNK [FD]]]: writes BYTES (default 400 MB) in CHUNKs (default 64 KiB; 1 for the one-byte flood), exit 0; exit 5
 * when a write fails. Proves that the output limit bites at the pipe and that exactly the limit is kept. */
#include "guest.h"
int main(int argc, char **argv) {
  long bytes = number(argc, argv, 1, 400000000), chunk = number(argc, argv, 2, 65536);
  int fd = (int)number(argc, argv, 3, 1);
  char *buffer = malloc((size_t)chunk);
  for (long i = 0; i < chunk; i++) buffer[i] = (char)('a' + i % 26);
  while (bytes > 0) {
    ssize_t n = write(fd, buffer, (size_t)(bytes < chunk ? bytes : chunk));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return 5;
    bytes -= n;
  }
  return 0;
}
