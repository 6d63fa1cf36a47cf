/* deepdirs [DEPTH]: makes directories within each other below /tmp, DEPTH deep (as deep as it goes), then prints "DEPTH ERRNO".
 * deepdirs many: makes empty files in /tmp, for ever.
 * Proves that neither depth nor names without contents outlive the box or escape its limits. */
#include "guest.h"
int main(int argc, char **argv) {
  if (chdir("/tmp")) die(2, "/tmp: %s", errname(-1));
  if (argc > 1 && !strcmp(argv[1], "many")) {
    char name[32];
    for (long i = 0;; i++) {
      snprintf(name, sizeof name, "%ld", i);
      int fd = open(name, O_CREAT | O_WRONLY | O_EXCL, 0600);
      if (fd < 0) {
        printf("%ld %s\n", i, errname(-1));
        return 3;
      }
      close(fd);
    }
  }
  long depth = number(argc, argv, 1, 1L << 40), at = 0;
  while (at < depth && !mkdir("d", 0700) && !chdir("d")) at++;
  printf("%ld %s\n", at, errname(at < depth ? -1 : 0));
  return 0;
}
