/* deadfs DIR COMMAND… | deadfs DIR --control: in a mount namespace of its own DIR becomes a FUSE file system whose server answers for DIR itself and never for
 * a name in it; then COMMAND runs, and its status is ours. Whoever asks for a name sleeps so that no signal wakes him, SIGKILL neither, until we end.
 * --control kills such a process, and says whether it stays. 77: no such file system can be had. Proves E11. */
#include "guest.h"
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
static int device, asked[2];
static void reply(uint64_t unique, int error, const void *body, size_t size) {
  char out[512];
  struct fuse_out_header head = {.len = (uint32_t)(sizeof head + size), .error = -error, .unique = unique};
  memcpy(out, &head, sizeof head);
  if (size) memcpy(out + sizeof head, body, size);
  if (write(device, out, head.len) < 0 && errno != ENOENT) die(5, "reply: %s", errname(-1));
}
static void *serve(void *unused) {
  static char in[1 << 17];
  while (read(device, in, sizeof in) > 0) {
    struct fuse_in_header *head = (void *)in;
    struct fuse_init_out init = {.major = 7, .minor = 31, .max_write = 65536, .max_background = 12, .congestion_threshold = 9, .time_gran = 1};
    struct fuse_attr_out attr = {.attr_valid = 1000, .attr = {.ino = head->nodeid, .mode = S_IFDIR | 0755, .nlink = 2, .blksize = 4096}};
    if (head->opcode == FUSE_INIT) reply(head->unique, 0, &init, sizeof init);
    else if (head->opcode == FUSE_GETATTR) reply(head->unique, 0, &attr, sizeof attr);
    else if (head->opcode == FUSE_LOOKUP) (void)!write(asked[1], "x", 1);
    else if (head->opcode != FUSE_FORGET && head->opcode != FUSE_INTERRUPT && head->opcode != FUSE_BATCH_FORGET) reply(head->unique, ENOSYS, NULL, 0);
  }
  return unused;
}
int main(int argc, char **argv) {
  char options[128], byte;
  pthread_t thread;
  if (argc < 3) return 2;
  if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) die(77, "mount namespace: %s", errname(-1));
  device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) die(77, "/dev/fuse: %s", errname(-1));
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device);
  if (mount("deadfs", argv[1], "fuse.deadfs", MS_NOSUID | MS_NODEV, options)) die(77, "mount: %s", errname(-1));
  if (pipe2(asked, O_CLOEXEC) || pthread_create(&thread, NULL, serve, NULL)) die(5, "server: %s", errname(-1));
  pid_t pid = fork();
  if (pid == 0 && strcmp(argv[2], "--control")) {
    execv(argv[2], argv + 2);
    _exit(127);
  }
  int status;
  if (pid == 0) {
    struct stat st;
    char name[4096];
    /* The file system lives as long as somebody has its device, and whoever sleeps in it closes nothing. */
    close(device);
    snprintf(name, sizeof name, "%s/name", argv[1]);
    _exit(stat(name, &st) ? 0 : 1);
  }
  if (strcmp(argv[2], "--control")) {
    if (waitpid(pid, &status, 0) != pid) return 5;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  if (read(asked[0], &byte, 1) != 1) return 5;
  kill(pid, SIGKILL);
  usleep(200000);
  way("stays", waitpid(pid, &status, WNOHANG) == 0 ? 0 : -1);
  return 0;
}
