/* copy: stdin to stdout, byte for byte, until the end. Proves that stdin arrives whole and that its end arrives. */
#include "guest.h"
int main(void) {
  static char buffer[1 << 16];
  ssize_t n;
  while ((n = read(0, buffer, sizeof buffer)) > 0)
    for (ssize_t at = 0; at < n;) {
      ssize_t put = write(1, buffer + at, (size_t)(n - at));
      if (put < 0) return 5;
      at += put;
    }
  return n < 0 ? 6 : 0;
}
