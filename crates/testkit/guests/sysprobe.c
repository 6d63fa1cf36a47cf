/* sysprobe NAME|NUMBER [ARG...]: makes one system call with numbers as arguments and prints "RESULT ERRNO". "@TEXT" is the address of
 * TEXT, "@" that of a zeroed page. Proves what the filter answers, call by call. */
#include "guest.h"
int main(int argc, char **argv) {
  static char page[4096];
  if (argc < 2) return 2;
  long arg[6] = {0};
  for (int i = 0; i < 6 && i + 2 < argc; i++) {
    const char *text = argv[i + 2];
    arg[i] = text[0] != '@' ? (long)strtoull(text, NULL, 0) : text[1] ? (long)(text + 1) : (long)page;
  }
  long result = syscall(strtol(argv[1], NULL, 0), arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
  printf("%ld %s\n", result, errname(result == -1 ? -1 : 0));
  return 0;
}
