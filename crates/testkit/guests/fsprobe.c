/* fsprobe PATH: what can be done to the file PATH and its name, each way's errno name as JSON. Reading comes first, destroying last; what
 * a way makes, it takes away again. Proves the path rules for every call family (F3, F4, F24, S20, S23); the same probe where the
 * rule is off is its positive control. */
#include "guest.h"
#include <linux/openat2.h>
#include <sys/xattr.h>
#include <utime.h>
#ifndef O_PATH
#define O_PATH 010000000
#endif
static void put(const char *name, long result) {
  static int later;
  const char *text = errname(result);
  printf("%s\"%s\":\"%s\"", later++ ? "," : "", name, text);
}
static void opened(const char *name, int fd) {
  put(name, fd);
  if (fd >= 0) close(fd);
}
int main(int argc, char **argv) {
  if (argc < 2) return 2;
  const char *path = argv[1];
  char beside[4096];
  struct stat st = {.st_mode = 0600};
  snprintf(beside, sizeof beside, "%s.beside", path);
  putchar('{');
  put("stat", stat(path, &st));
  put("access_read", access(path, R_OK));
  put("access_write", access(path, W_OK));
  int fd = open(path, O_RDONLY);
  char byte;
  long got = fd < 0 ? fd : read(fd, &byte, 1);
  /* A file that shows nothing was not read. */
  if (got == 0) got = (errno = ENODATA, -1);
  put("read", got);
  if (fd >= 0) close(fd);
  opened("open_path", open(path, O_PATH));
  struct open_how how = {.flags = O_RDONLY};
  opened("openat2_read", (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how));
  opened("open_tree", (int)syscall(428, AT_FDCWD, path, 0));
  opened("open_write", open(path, O_WRONLY));
  opened("open_append", open(path, O_WRONLY | O_APPEND));
  how.flags = O_WRONLY;
  opened("openat2_write", (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how));
  struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
  put("utimensat", utimensat(AT_FDCWD, path, now, 0));
  put("utime", utime(path, NULL));
  put("chmod", chmod(path, st.st_mode & 07777));
  put("fchmodat2", syscall(452, AT_FDCWD, path, st.st_mode & 07777, 0));
  put("chown", chown(path, (uid_t)-1, (gid_t)-1));
  put("setxattr", setxattr(path, "user.tipstaff", "1", 1, 0));
  removexattr(path, "user.tipstaff");
  long linked = link(path, beside);
  put("link", linked);
  if (!linked) unlink(beside);
  long symlinked = symlink(path, beside);
  put("symlink_beside", symlinked);
  if (!symlinked) unlink(beside);
  long madedir = mkdir(beside, 0700);
  put("mkdir_beside", madedir);
  if (!madedir) rmdir(beside);
  fd = open(beside, O_CREAT | O_EXCL | O_WRONLY, 0600);
  put("create_beside", fd);
  if (fd >= 0) {
    close(fd);
    long exchanged = syscall(SYS_renameat2, AT_FDCWD, beside, AT_FDCWD, path, 2 /* RENAME_EXCHANGE */);
    put("rename_exchange", exchanged);
    if (!exchanged) syscall(SYS_renameat2, AT_FDCWD, beside, AT_FDCWD, path, 2);
    unlink(beside);
  } else {
    put("rename_exchange", fd);
  }
  long renamed = rename(path, beside);
  put("rename", renamed);
  if (!renamed) renamed = rename(beside, path);
  put("truncate", truncate(path, 0));
  opened("open_truncate", open(path, O_WRONLY | O_TRUNC));
  opened("creat", creat(path, 0600));
  opened("open_create", open(path, O_WRONLY | O_CREAT, 0600));
  put("unlink", unlink(path));
  puts("}");
  return 0;
}
