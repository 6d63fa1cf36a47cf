/* args ...: every argument after the program's name as a line of hexadecimal digits. Proves that arguments are bytes. */
#include "guest.h"
int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    for (const char *c = argv[i]; *c; c++) printf("%02x", (unsigned char)*c);
    putchar('\n');
  }
  return 0;
}
