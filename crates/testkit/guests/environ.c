/* environ: the environment, one NUL-ended entry after the other. Proves that it is clean. */
#include "guest.h"
extern char **environ;
int main(void) {
  for (char **e = environ; *e; e++) fwrite(*e, 1, strlen(*e) + 1, stdout);
  return 0;
}
