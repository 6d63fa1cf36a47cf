/* attackfiles WHAT …: files by every way. Proves S7, S23, F17, F15 and others.
 *   exec FILE DIR   FILE (which may be read) executed by path, by descriptor, by /proc/self/fd, from memory, as a copy in DIR, by the loader
 *   modes DIR       set-id bits and device nodes in DIR, by every call that gives a file its mode
 *   variants FILE   the younger and the older variants of the calls on files */
#include "guest.h"
#include <linux/openat2.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
static long ran(pid_t pid) {
  int status = 0;
  if (pid < 0) return -1;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
  return -1;
}
/* In a child: the errno of the exec is its exit status. */
#define EXEC(name, call) \
  do { \
    fflush(stdout); \
    pid_t pid = fork(); \
    if (pid == 0) { \
      call; \
      _exit(errno); \
    } \
    way(name, ran(pid)); \
  } while (0)
static int copied(const char *from, int to) {
  char block[65536];
  int fd = open(from, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || to < 0) return -1;
  for (ssize_t n; (n = read(fd, block, sizeof block)) > 0;)
    if (write(to, block, (size_t)n) != n) return -1;
  close(fd);
  return to;
}
static void exec(const char *file, const char *dir) {
  char *const argv[] = {"it", "0", NULL}, *const env[] = {NULL};
  char path[4096];
  chmod(file, 0755);
  EXEC("path", execve(file, argv, env));
  int fd = open(file, O_RDONLY | O_CLOEXEC);
  EXEC("execveat_empty", syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH));
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  EXEC("proc_fd", execve(path, argv, env));
  int opath = open(file, O_PATH | O_CLOEXEC);
  EXEC("execveat_o_path", syscall(SYS_execveat, opath, "", argv, env, AT_EMPTY_PATH));
  snprintf(path, sizeof path, "%s/link", dir);
  symlink(file, path);
  EXEC("symlink", execve(path, argv, env));
  snprintf(path, sizeof path, "%s/copy", dir);
  int copy = copied(file, open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0700));
  if (copy >= 0) close(copy);
  EXEC("copy", execve(path, argv, env));
  int unnamed = copied(file, open(dir, O_TMPFILE | O_RDWR, 0700));
  if (unnamed >= 0) {
    char from[64];
    snprintf(from, sizeof from, "/proc/self/fd/%d", unnamed);
    snprintf(path, sizeof path, "%s/linked", dir);
    linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
    close(unnamed);
  }
  EXEC("tmpfile_linked", execve(path, argv, env));
  int memory = copied(file, (int)syscall(SYS_memfd_create, "it", MFD_CLOEXEC));
  EXEC("memfd", syscall(SYS_execveat, memory, "", argv, env, AT_EMPTY_PATH));
}
static void modes(const char *dir) {
  char path[4096];
  snprintf(path, sizeof path, "%s/modes", dir);
  int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) die(5, "%s: %s", path, errname(fd));
  way("chmod", chmod(path, 04755));
  way("chmod_setgid", chmod(path, 02755));
  way("chmod_high", syscall(SYS_chmod, path, 04755L | 1L << 16));
  way("fchmod", fchmod(fd, 04755));
  way("fchmodat", syscall(SYS_fchmodat, AT_FDCWD, path, 04755));
  way("fchmodat2", syscall(452, fd, "", 04755, AT_EMPTY_PATH));
  struct stat st = {0};
  if (fstat(fd, &st) || st.st_mode & 06000) way("mode_after_chmod", 0);
#define MADE(name, call) \
  do { \
    snprintf(path, sizeof path, "%s/%s", dir, name); \
    long made = (call); \
    int error = errno; \
    /* What counts is what there is. */ \
    if (made >= 0 && !stat(path, &st) && !(st.st_mode & 06000) && !S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) \
      made = -1, error = ENODATA; \
    errno = error; \
    way(name, made); \
    unlink(path); \
    rmdir(path); \
  } while (0)
  struct open_how how = {.flags = O_CREAT | O_WRONLY, .mode = 04755};
  MADE("open", open(path, O_CREAT | O_WRONLY, 04755));
  MADE("openat", syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY, 02755));
  MADE("openat2", syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how));
  MADE("creat", syscall(SYS_creat, path, 04755));
  MADE("mknod", mknod(path, S_IFREG | 04755, 0));
  MADE("mkdir_setgid", mkdir(path, 02755));
  MADE("character", mknod(path, S_IFCHR | 0600, makedev(1, 3)));
  MADE("block", mknod(path, S_IFBLK | 0600, makedev(7, 0)));
  MADE("kmsg", mknodat(AT_FDCWD, path, S_IFCHR | 0600, makedev(1, 11)));
  int unnamed = open(dir, O_TMPFILE | O_RDWR, 04755);
  way("tmpfile", unnamed < 0 || fstat(unnamed, &st) || !(st.st_mode & 06000) ? -1 : 0);
  way("capability", fsetxattr(fd, "security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, 0));
  snprintf(path, sizeof path, "%s/modes", dir);
  unlink(path);
}
static void variants(const char *file) {
  struct open_how how = {.flags = O_WRONLY};
  struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
  long value[2] = {(long)"1", 1};
  static char attributes[64];
  way("creat", syscall(SYS_creat, file, 0600));
  way("open_write", syscall(SYS_open, file, O_WRONLY));
  way("openat2_write", syscall(SYS_openat2, AT_FDCWD, file, &how, sizeof how));
  way("truncate", truncate(file, 0));
  way("chmod", syscall(SYS_chmod, file, 0600));
  way("fchmodat2", syscall(452, AT_FDCWD, file, 0600, 0));
  way("utime", syscall(SYS_utime, file, NULL));
  way("utimes", syscall(SYS_utimes, file, NULL));
  way("futimesat", syscall(SYS_futimesat, AT_FDCWD, file, NULL));
  way("utimensat", syscall(SYS_utimensat, AT_FDCWD, file, now, 0));
  way("setxattr", setxattr(file, "user.attack", "1", 1, 0));
  way("setxattrat", syscall(463, AT_FDCWD, file, 0, "user.attack", value, sizeof value));
  way("removexattrat", syscall(466, AT_FDCWD, file, 0, "user.attack"));
  way("chown", chown(file, getuid(), getgid()));
  way("fchownat", syscall(SYS_fchownat, AT_FDCWD, file, getuid(), getgid(), 0));
  way("file_setattr", syscall(469, AT_FDCWD, file, attributes, 24, 0));
  char beside[4096];
  snprintf(beside, sizeof beside, "%s.beside", file);
  way("link", link(file, beside));
  way("rename", rename(file, beside));
  way("renameat2", syscall(SYS_renameat2, AT_FDCWD, file, AT_FDCWD, beside, 1));
  way("symlink", symlink(file, beside));
  way("mknod", mknod(beside, S_IFREG | 0600, 0));
  way("unlink", unlink(file));
}
int main(int argc, char **argv) {
  if (argc > 3 && !strcmp(argv[1], "exec")) exec(argv[2], argv[3]);
  else if (argc > 2 && !strcmp(argv[1], "modes")) modes(argv[2]);
  else if (argc > 2 && !strcmp(argv[1], "variants")) variants(argv[2]);
  else return 2;
  return 0;
}
