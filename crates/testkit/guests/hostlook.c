/* hostlook [PID]: what a machine shows that a box must not change, a line each: names, device nodes, what lies in its first directories, the kernel's
 * settings, interfaces and routes, clocks, the limits of whoever runs this, and of PID its limits, priorities and state. Objects that outlive processes
 * (control groups, files in /tmp, mounts, keys, System V objects) are the kit's Traces. */
#include "guest.h"
#include <dirent.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

static void say(const char *what, const char *path, size_t length) {
  printf("%s ", what);
  put_json(path, length);
}

/* Names, modes and owners; of files that do not change by themselves the rest too. */
static void directory(const char *path, int whole) {
  DIR *dir = opendir(path);
  if (!dir) return;
  for (struct dirent *entry; (entry = readdir(dir));) {
    char name[512];
    struct stat at;
    if (!strcmp(entry->d_name, "..")) continue;
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    if (lstat(name, &at)) continue;
    say("file", name, strlen(name));
    printf(" %o %u %u %u:%u", at.st_mode, at.st_uid, at.st_gid, major(at.st_rdev), minor(at.st_rdev));
    if (whole) printf(" %ld %ld.%09ld", S_ISREG(at.st_mode) ? (long)at.st_size : 0, at.st_mtim.tv_sec, at.st_mtim.tv_nsec);
    putchar('\n');
  }
  closedir(dir);
}

/* Counters and random numbers are settings' neighbours. */
static int moves(const char *name) {
  static const char *const THESE[] = {"/random/", "-state", "-nr", "inode-", "/pty/nr", "ns_last_pid", "/dentry", "avail", "stat_", "/hung_task_detect", "msgmni", "/nr", "netdev_rss_key",
                                      "sched_domain", "drop_caches", "compact_memory", "cad_pid", "/stable_secret", "flush", "/keys/gc", "/quota/"};
  for (unsigned i = 0; i < sizeof THESE / sizeof *THESE; i++)
    if (strstr(name, THESE[i])) return 1;
  return 0;
}

static void settings(const char *path, int depth) {
  DIR *dir = opendir(path);
  if (!dir) return;
  for (struct dirent *entry; (entry = readdir(dir));) {
    char name[512], text[512];
    if (entry->d_name[0] == '.') continue;
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    if (entry->d_type == DT_DIR) {
      if (depth > 0) settings(name, depth - 1);
      continue;
    }
    if (moves(name)) continue;
    int fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0) close(fd);
    if (n < 0) continue;
    say("setting", name, strlen(name));
    putchar(' ');
    put_json(text, (size_t)n);
    putchar('\n');
  }
  closedir(dir);
}

static void file(const char *path, const char *only) {
  FILE *from = fopen(path, "re");
  char line[1024];
  while (from && fgets(line, sizeof line, from)) {
    char word[64];
    if (only && (sscanf(line, "%63[^:]", word) != 1 || !strstr(only, word))) continue;
    say(path, line, strcspn(line, "\n"));
    putchar('\n');
  }
  if (from) fclose(from);
}

static void interfaces(void) {
  int socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  for (struct if_nameindex *all = if_nameindex(), *at = all; at && at->if_index; at++) {
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", at->if_name);
    ioctl(socket_, SIOCGIFFLAGS, &request);
    int flags = request.ifr_flags;
    ioctl(socket_, SIOCGIFMTU, &request);
    printf("interface %u %s %x %d\n", at->if_index, at->if_name, flags, request.ifr_mtu);
  }
  close(socket_);
}

/* What others can do to a process from outside. */
static void process(pid_t pid) {
  for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
    struct rlimit limit = {0, 0};
    long result = prlimit(pid, resource, NULL, &limit);
    printf("process limit %d %s %lx %lx\n", resource, errname(result), (long)limit.rlim_cur, (long)limit.rlim_max);
  }
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  sched_getaffinity(pid, sizeof cpus, &cpus);
  struct sched_param param = {0};
  sched_getparam(pid, &param);
  printf("process nice %d scheduler %d %d cpus %d io %ld group %d session %d\n", getpriority(PRIO_PROCESS, (id_t)pid), sched_getscheduler(pid), param.sched_priority,
         CPU_COUNT(&cpus), syscall(SYS_ioprio_get, 1, pid), getpgid(pid), getsid(pid));
  char name[64];
  snprintf(name, sizeof name, "/proc/%d/status", pid);
  file(name, "Name Umask Uid Gid Groups SigBlk SigIgn SigCgt TracerPid CapInh CapPrm CapEff NoNewPrivs Seccomp SigPnd ShdPnd");
  snprintf(name, sizeof name, "/proc/%d/oom_score_adj", pid);
  file(name, NULL);
  printf("process lives: %s\n", kill(pid, 0) == 0 || errno == EPERM ? "yes" : "no");
}

int main(int argc, char **argv) {
  struct utsname uts;
  uname(&uts);
  printf("names %s %s\n", uts.nodename, uts.domainname);
  directory("/dev", 0);
  directory("/", 0);
  directory("/etc", 1);
  directory("/home", 1);
  directory("/boot", 1);
  settings("/proc/sys/kernel", 2);
  settings("/proc/sys/vm", 1);
  settings("/proc/sys/fs", 2);
  settings("/proc/sys/net", 3);
  settings("/proc/sys/user", 0);
  interfaces();
  file("/proc/net/route", NULL);
  file("/proc/swaps", NULL);
  file("/proc/self/mountinfo", NULL);
  /* The wall clock is set, or runs: how far it is from the one that nobody sets, in tens of seconds. */
  struct timespec wall, boot;
  clock_gettime(CLOCK_REALTIME, &wall);
  clock_gettime(CLOCK_BOOTTIME, &boot);
  printf("clock %ld\n", (wall.tv_sec - boot.tv_sec + 5) / 10);
  int zone[2] = {0, 0};
  syscall(SYS_gettimeofday, NULL, zone);
  printf("zone %d %d\n", zone[0], zone[1]);
  process(getppid());
  if (argc > 1) process((pid_t)number(argc, argv, 1, 0));
  return 0;
}
