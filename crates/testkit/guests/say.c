/* say OUT ERR [CODE]: OUT to stdout, ERR to stderr, ends with CODE. Proves that streams and status come through untouched. */
#include "guest.h"
int main(int argc, char **argv) {
  if (argc > 1) fputs(argv[1], stdout);
  if (argc > 2) fputs(argv[2], stderr);
  return (int)number(argc, argv, 3, 0);
}
