/* calls WORD...: makes the calls named by the words and prints each result, a line each: getuid, getppid, hostname (of uname), touch=PATH, cat=PATH,
 * stat=PATH, mkdir=PATH, ln=PATH (a link to it named PATH.link), say=TEXT,
 * mounts=N (N mounts of nothing; how many failed). Proves what handlers answer, change and count. */
#include "guest.h"
#include <sys/utsname.h>
int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    char *word = argv[i], *path = strchr(word, '='), text[4096] = {0};
    if (path) *path++ = 0;
    printf("%s ", word);
    if (!strcmp(word, "getuid")) {
      long got = syscall(SYS_getuid);
      printf("%s %ld\n", errname(got), got);
    } else if (!strcmp(word, "getppid")) {
      long got = syscall(SYS_getppid);
      printf("%s %ld\n", errname(got), got);
    } else if (!strcmp(word, "hostname")) {
      struct utsname name = {0};
      long got = uname(&name);
      printf("%s %s\n", errname(got), name.nodename);
    } else if (!path) {
      return 2;
    } else if (!strcmp(word, "cat")) {
      int fd = open(path, O_RDONLY);
      printf("%s", errname(fd));
      ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
      printf(" %.*s\n", (int)(got > 0 ? got : 0), text);
      if (fd >= 0) close(fd);
    } else if (!strcmp(word, "touch")) {
      int fd = open(path, O_WRONLY | O_CREAT, 0644);
      printf("%s\n", errname(fd));
      if (fd >= 0) close(fd);
    } else if (!strcmp(word, "stat")) {
      struct stat seen;
      printf("%s\n", errname(stat(path, &seen)));
    } else if (!strcmp(word, "mkdir")) {
      printf("%s\n", errname(mkdir(path, 0755)));
    } else if (!strcmp(word, "ln")) {
      snprintf(text, sizeof text, "%s.link", path);
      printf("%s\n", errname(symlink(path, text)));
    } else if (!strcmp(word, "mounts")) {
      long failed = 0;
      for (long n = atol(path); n > 0; n--) failed += syscall(SYS_mount, NULL, NULL, NULL, 0, NULL) < 0;
      printf("%ld\n", failed);
    } else if (!strcmp(word, "say")) {
      printf("%s\n", path);
      fflush(stdout);
    } else {
      return 2;
    }
  }
  return 0;
}
