/* attackfiles WHAT …: files by every way. Proves most of F, S7, S23.
 *   exec FILE DIR        FILE (which may be read) executed by path, by descriptor, by /proc/self/fd, from memory, as a copy in DIR, by a link
 *   modes DIR            set-id bits and device nodes in DIR, by every call that gives a file its mode
 *   variants FILE        the younger and the older variants of the calls on files
 *   swap DIR SECRET N    N openings of a link in DIR that another thread turns between a file of DIR and SECRET: how often SECRET was read
 *   reopen               the standard streams opened again with more rights, and changed by descriptor
 *   touch FILE           what a descriptor for reading lets one change
 *   others PID           magic links and memory of another process
 *   names DIR            names that are no names
 *   kernel               what the kernel offers root for writing in /proc and /sys
 *   nodes                modes, owners and attributes of the machine's device nodes, by name and by standard input; "write" is what must work
 *   lease FILE           leases on FILE, which a writer outside would have to wait for; "ready", then it stays
 *   layers DIR OUTSIDE   what a layered file system takes for its own, and links that lead OUTSIDE, in DIR
 *   chroot DIR           into DIR, and out by a directory that was kept
 *   cache FILE           FILE thrown out of the page cache; then "resident N", what mincore(2) says, and what cachestat(2) does
 *   plant DIR TARGET     links to TARGET in place of what the host will write or read
 *   protect DIR NAME     NAME in DIR made, replaced, exchanged, moved with its parents, and written */
#include "guest.h"
#include <dirent.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sys/ioctl.h>
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
static char good[4096], bad[4096], turning[4096], other[4096];
static volatile int stop, flips;
static void *turn(void *unused) {
  (void)unused;
  while (!stop) {
    unlink(other);
    symlink(bad, other);
    rename(other, turning);
    unlink(other);
    symlink(good, other);
    rename(other, turning);
    flips++;
  }
  return NULL;
}
/* Did one of `n` openings of `path`, or of as many as see a hundred turns, show a file that begins with S? */
static long shown(const char *path, long n) {
  long seen = 0;
  for (long i = 0; (i < n || flips < 100) && !seen; i++) {
    char byte = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    seen += read(fd, &byte, 1) == 1 && byte == 'S';
    close(fd);
  }
  return seen;
}
static void race(const char *dir, const char *secret, long n) {
  pthread_t t;
  snprintf(good, sizeof good, "%s/good", dir);
  snprintf(bad, sizeof bad, "%s", secret);
  close(open(good, O_CREAT | O_WRONLY, 0600));
  snprintf(turning, sizeof turning, "%s/turning", dir);
  snprintf(other, sizeof other, "%s/other", dir);
  if (pthread_create(&t, NULL, turn, NULL)) die(5, "no thread");
  long seen = shown(turning, n);
  stop = 1;
  pthread_join(t, NULL);
  errno = EACCES;
  way("secret", seen ? 0 : -1);
}
static void reopen(void) {
  static const int flags[] = {O_RDWR, O_WRONLY, O_WRONLY | O_TRUNC, O_WRONLY | O_APPEND};
  static const char *const names[] = {"read_write", "write", "truncate", "append"};
  for (unsigned i = 0; i < 4; i++) {
    int fd = open("/proc/self/fd/0", flags[i] | O_CLOEXEC);
    way(names[i], fd);
    if (fd >= 0) close(fd);
  }
  way("chmod", chmod("/proc/self/fd/0", 0666));
  way("fchmod", fchmod(0, 0666));
  way("path_truncate", truncate("/proc/self/fd/0", 0));
  way("link", linkat(AT_FDCWD, "/proc/self/fd/0", AT_FDCWD, "/tmp/linked", AT_SYMLINK_FOLLOW));
  way("empty_path", openat(0, "", O_RDWR));
  way("up", openat(0, "..", O_RDONLY));
}
static void touched(const char *file) {
  int fd = open(file, O_RDONLY | O_CLOEXEC), own = (int)syscall(SYS_memfd_create, "own", MFD_CLOEXEC);
  if (fd < 0) die(5, "%s: %s", file, errname(fd));
  struct file_clone_range range = {.src_fd = own};
  struct space_resv { int16_t type, whence; int64_t start, length; int32_t sysid; uint32_t pid, pad[4]; } all = {0, 0, 0, 4096, 0, 0, {0}};
  int immutable = 0x10;
  way("ftruncate", ftruncate(fd, 0));
  way("fallocate", fallocate(fd, 0, 0, 8192));
  way("punch", fallocate(fd, 3, 0, 4096));
  way("write", pwrite(fd, "x", 1, 0));
  way("map_shared", mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
  void *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  way("mprotect", mprotect(page, 4096, PROT_READ | PROT_WRITE));
  way("clone", ioctl(fd, FICLONE, own));
  way("clone_range", ioctl(fd, FICLONERANGE, &range));
  way("zero_range", ioctl(fd, _IOW('X', 57, struct space_resv), &all));
  way("reserve", ioctl(fd, _IOW('X', 42, struct space_resv), &all));
  long flagged = ioctl(fd, FS_IOC_SETFLAGS, &immutable);
  way("immutable", flagged);
  immutable = 0;
  if (!flagged) ioctl(fd, FS_IOC_SETFLAGS, &immutable);
  way("copy_range", copy_file_range(own, NULL, fd, NULL, 1, 0));
  way("splice_in", pwrite(own, "x", 1, 0) == 1 ? copy_file_range(own, &(off_t){0}, fd, &(off_t){0}, 1, 0) : -1);
  way("fchmod", fchmod(fd, 0666));
  way("fsetxattr", fsetxattr(fd, "user.attack", "1", 1, 0));
  way("futimens", futimens(fd, NULL));
}
static void others(const char *pid) {
  static const char *const links[] = {"root/etc/passwd", "cwd/.", "exe", "fd/0", "fd/1", "environ", "cmdline", "maps", "mem", "stack", "syscall",
                                      "auxv", "task", "map_files", "ns/mnt", "mountinfo", "io", "attr/current"};
  for (unsigned i = 0; i < sizeof links / sizeof *links; i++) {
    char path[128];
    snprintf(path, sizeof path, "/proc/%s/%s", pid, links[i]);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char byte;
    struct stat st;
    /* A file of /proc that opens and shows nothing has not told anything. What a stream shows is somebody's, our own reader's for one. */
    int told = strchr(links[i], '/') || fd < 0 || fstat(fd, &st) || S_ISDIR(st.st_mode);
    if (!told && read(fd, &byte, 1) < 0) close(fd), fd = -1;
    way(links[i], fd);
    if (fd >= 0) close(fd);
  }
  char path[128];
  snprintf(path, sizeof path, "/proc/%s/mem", pid);
  way("mem_write", open(path, O_RDWR | O_CLOEXEC));
  snprintf(path, sizeof path, "/proc/%s/oom_score_adj", pid);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  way("oom_score_adj", fd < 0 ? fd : write(fd, "1000", 4));
  snprintf(path, sizeof path, "/proc/%s/clear_refs", pid);
  way("clear_refs", open(path, O_WRONLY | O_CLOEXEC));
}
static void names(const char *dir) {
  static char longest[5000], path[9200];
  memset(longest, 'n', sizeof longest - 1);
  way("null", syscall(SYS_open, NULL, O_RDONLY));
  way("empty", open("", O_RDONLY));
  way("long", open(longest, O_RDONLY));
  snprintf(path, sizeof path, "%s/%s", dir, longest);
  way("long_in_dir", open(path, O_CREAT | O_WRONLY, 0600));
  way("kernel_address", syscall(SYS_open, 0xffffffff81000000UL, O_RDONLY));
  long page = sysconf(_SC_PAGESIZE);
  char *edge = mmap(NULL, (size_t)page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(edge + page, (size_t)page, PROT_NONE);
  memset(edge, 'x', (size_t)page);
  way("over_the_edge", syscall(SYS_open, edge + page - 4, O_RDONLY));
  /* These are names like others. */
  snprintf(path, sizeof path, "%s/\xff\xfe\n\x01 \"quoted\"", dir);
  int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  printf("odd %s\n", errname(fd));
  snprintf(path, sizeof path, "%s/./.././%s/.", dir, strrchr(dir, '/') + 1);
  printf("dots %s\n", errname(open(path, O_RDONLY | O_CLOEXEC)));
}
static void kernel(void) {
  static const char *const files[] = {"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger",
                                      "/proc/sys/kernel/modprobe", "/proc/sys/fs/binfmt_misc/register", "/proc/sys/kernel/ns_last_pid",
                                      "/proc/sys/net/ipv4/ip_forward", "/proc/sys/user/max_user_namespaces", "/proc/irq/default_smp_affinity", "/proc/mtrr", "/proc/1/oom_score_adj",
                                      "/proc/timer_list", "/proc/kcore", "/proc/kmsg", "/proc/keys", "/sys/kernel/uevent_helper", "/sys/power/state",
                                      "/sys/fs/cgroup/cgroup.procs", "/sys/kernel/debug", "/sys/kernel/mm/transparent_hugepage/enabled",
                                      "/sys/devices/system/cpu/cpu1/online", "/proc/fs/ext4", "/proc/bus/pci/devices", "/proc/scsi/scsi", "/proc/self/loginuid",
                                      "/proc/pressure/cpu", "/proc/self/timens_offsets", "/proc/self/uid_map", "/proc/self/setgroups"};
  for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
    int fd = open(files[i], O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    way(files[i], fd);
    if (fd >= 0) close(fd);
  }
}
static void nodes(void) {
  static const char *const all[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/stdin"};
  for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
    char name[64];
    struct stat st;
    if (stat(all[i], &st)) continue;
    int fd = open(all[i], O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    /* What they have already: the control changes nothing. */
#define ON(what, call) snprintf(name, sizeof name, "%s_of_%s", what, all[i]), way(name, call)
    ON("chmod", chmod(all[i], st.st_mode & 07777));
    ON("chown", chown(all[i], st.st_uid, st.st_gid));
    if (fd >= 0) ON("fchmod", fchmod(fd, st.st_mode & 07777));
    if (fd >= 0) close(fd);
  }
  int fd = open("/dev/null", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  printf("write %s\n", errname(fd < 0 ? fd : write(fd, "x", 1)));
}
static void plant(const char *dir, const char *target) {
  static const char *const reports[] = {"report.json", "out"};
  for (unsigned i = 0; i < 2; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, reports[i]);
    unlink(path);
    way(reports[i], symlink(target, path));
  }
}
static void lease(const char *file) {
  int fd = open(file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) die(5, "%s: %s", file, errname(fd));
  way("lease", syscall(SYS_fcntl, fd, 1024L /* F_SETLEASE */, (long)F_RDLCK));
  way("lease_wide", syscall(SYS_fcntl, fd, 1024L | 1L << 32, (long)F_RDLCK));
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
static void layers(const char *dir, const char *outside) {
  char path[4096], link[4096], beside[4096];
  snprintf(path, sizeof path, "%s/it", dir);
  snprintf(link, sizeof link, "%s/link", dir);
  snprintf(beside, sizeof beside, "%s/beside", dir);
  int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
  way("in_place", fd < 0 ? fd : write(fd, "+", 1));
  if (fd >= 0) close(fd);
  way("whiteout_node", mknod(beside, S_IFCHR | 0600, 0));
  unlink(beside);
  way("opaque", setxattr(dir, "trusted.overlay.opaque", "y", 1, 0));
  symlink(outside, link);
  fd = open(link, O_WRONLY | O_APPEND | O_CLOEXEC);
  way("through_link", fd < 0 ? fd : write(fd, "+", 1));
  if (fd >= 0) close(fd);
  way("truncate_link", truncate(link, 0));
  way("rename_out", rename(path, outside));
  way("exchange_out", syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, outside, 2));
  /* The name goes, and a character device is in its place. */
  snprintf(path, sizeof path, "%s/other", dir);
  way("rename_whiteout", syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, beside, 4));
}
static void kept(const char *dir) {
  struct stat top, now;
  int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  way("kept", fd < 0 ? fd : fstat(fd, &top));
  long went = chroot(dir);
  way("chroot", went);
  errno = EPERM;
  way("way_out", went || fchdir(fd) || chroot(".") || stat("/", &now) || now.st_ino != top.st_ino ? -1 : 0);
}
static void cache(const char *file) {
  struct stat st;
  uint64_t range[2] = {0, 0}, seen[5];
  int fd = open(file, O_RDONLY | O_CLOEXEC), resident = 0;
  if (fd < 0 || fstat(fd, &st)) die(5, "%s: %s", file, errname(-1));
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  unsigned char pages[1024] = {0};
  void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED || mincore(at, (size_t)st.st_size, pages)) die(5, "mincore: %s", errname(-1));
  for (long i = 0; i < st.st_size / 4096 && i < 1024; i++) resident += pages[i] & 1;
  printf("resident %d\n", resident);
  way("cachestat", syscall(451, fd, range, seen, 0));
}
static void protect(const char *dir, const char *name) {
  char path[4096], beside[4096], parent[4096];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  snprintf(beside, sizeof beside, "%s/beside-%d", dir, getpid());
  snprintf(parent, sizeof parent, "%s", path);
  *strrchr(parent, '/') = 0;
  way("create", open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0700));
  way("mkdir", mkdir(path, 0700));
  way("symlink", symlink("/tmp", path));
  way("rmdir", rmdir(path));
  way("unlink", unlink(path));
  way("rename", rename(path, beside));
  mkdir(beside, 0700);
  way("rename_onto", rename(beside, path));
  way("exchange", syscall(SYS_renameat2, AT_FDCWD, beside, AT_FDCWD, path, 2));
  way("whiteout", syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, beside, 4));
  char inside[4200];
  snprintf(inside, sizeof inside, "%s/pre-commit", path);
  way("write_inside", open(inside, O_CREAT | O_WRONLY | O_CLOEXEC, 0700));
  /* The parent goes elsewhere, and another takes its name. */
  char moved[4200];
  snprintf(moved, sizeof moved, "%s-moved", parent);
  if (strcmp(parent, dir) && !rename(parent, moved)) {
    mkdir(parent, 0700);
    way("new_parent", mkdir(path, 0700));
  }
}
int main(int argc, char **argv) {
  if (argc > 3 && !strcmp(argv[1], "exec")) exec(argv[2], argv[3]);
  else if (argc > 2 && !strcmp(argv[1], "modes")) modes(argv[2]);
  else if (argc > 2 && !strcmp(argv[1], "variants")) variants(argv[2]);
  else if (argc > 4 && !strcmp(argv[1], "swap")) race(argv[2], argv[3], number(argc, argv, 4, 0));
  else if (argc > 1 && !strcmp(argv[1], "reopen")) reopen();
  else if (argc > 2 && !strcmp(argv[1], "touch")) touched(argv[2]);
  else if (argc > 2 && !strcmp(argv[1], "others")) others(argv[2]);
  else if (argc > 2 && !strcmp(argv[1], "names")) names(argv[2]);
  else if (argc > 1 && !strcmp(argv[1], "kernel")) kernel();
  else if (argc > 1 && !strcmp(argv[1], "nodes")) nodes();
  else if (argc > 2 && !strcmp(argv[1], "chroot")) kept(argv[2]);
  else if (argc > 2 && !strcmp(argv[1], "cache")) cache(argv[2]);
  else if (argc > 2 && !strcmp(argv[1], "lease")) lease(argv[2]);
  else if (argc > 3 && !strcmp(argv[1], "layers")) layers(argv[2], argv[3]);
  else if (argc > 3 && !strcmp(argv[1], "plant")) plant(argv[2], argv[3]);
  else if (argc > 3 && !strcmp(argv[1], "protect")) protect(argv[2], argv[3]);
  else return 2;
  return 0;
}
