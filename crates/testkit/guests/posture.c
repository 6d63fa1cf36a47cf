/* posture: what the process is and sees, as one JSON object: ids, groups, capabilities, no_new_privs, seccomp mode, descriptors, limits,
 * signal state, session, namespaces, mounts, host name, nice, affinity, what of /proc, /sys and /dev can be opened.
 * Proves the state a guest starts in, by comparing it with what was expected (the whole of F33, F9, S3 to S6, E13). */
#include "guest.h"
#include <dirent.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
static int later;
static void key(const char *name) {
  printf("%s\"%s\":", later++ ? ",\n" : "", name);
}
static void number_at(const char *name, long value) {
  key(name);
  printf("%ld", value);
}
static void link_at(const char *name, const char *path) {
  char target[4096];
  ssize_t n = readlink(path, target, sizeof target);
  key(name);
  if (n < 0) printf("null");
  else put_json(target, (size_t)n);
}
/* The fields of /proc/self/status that end in a colon, as strings. */
static void status(void) {
  char line[4096];
  FILE *f = fopen("/proc/self/status", "re");
  key("status");
  if (!f) {
    printf("null");
    return;
  }
  int first = 1;
  putchar('{');
  while (fgets(line, sizeof line, f)) {
    char *colon = strchr(line, ':');
    if (!colon) continue;
    printf("%s", first ? "" : ",");
    first = 0;
    put_json(line, (size_t)(colon - line));
    putchar(':');
    char *value = colon + 1 + strspn(colon + 1, "\t ");
    value[strcspn(value, "\n")] = 0;
    put_json(value, strlen(value));
  }
  putchar('}');
  fclose(f);
}
static void descriptors(void) {
  key("fds");
  putchar('{');
  int first = 1;
  for (int fd = 0; fd < 4096; fd++) {
    if (fcntl(fd, F_GETFD) < 0) continue;
    char path[64], target[4096];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof target);
    printf("%s\"%d\":", first ? "" : ",", fd);
    first = 0;
    put_json(target, n < 0 ? 0 : (size_t)n);
  }
  putchar('}');
}
static void limits(void) {
  static const struct {
    const char *name;
    int which;
  } all[] = {{"core", RLIMIT_CORE}, {"cpu", RLIMIT_CPU}, {"fsize", RLIMIT_FSIZE}, {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC},
             {"stack", RLIMIT_STACK}, {"as", RLIMIT_AS}, {"data", RLIMIT_DATA}, {"memlock", RLIMIT_MEMLOCK}, {"rtprio", RLIMIT_RTPRIO},
             {"nice", RLIMIT_NICE}, {"sigpending", RLIMIT_SIGPENDING}};
  key("rlimits");
  putchar('{');
  for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
    struct rlimit l = {0, 0};
    getrlimit(all[i].which, &l);
    printf("%s\"%s\":[%lld,%lld]", i ? "," : "", all[i].name, l.rlim_cur == RLIM_INFINITY ? -1LL : (long long)l.rlim_cur,
           l.rlim_max == RLIM_INFINITY ? -1LL : (long long)l.rlim_max);
  }
  putchar('}');
}
static void mounts(void) {
  char line[8192];
  FILE *f = fopen("/proc/self/mountinfo", "re");
  key("mounts");
  if (!f) {
    printf("null");
    return;
  }
  putchar('[');
  for (int first = 1; fgets(line, sizeof line, f); first = 0) {
    printf("%s", first ? "" : ",");
    put_json(line, strcspn(line, "\n"));
  }
  putchar(']');
  fclose(f);
}
static void opens(void) {
  static const struct {
    const char *path;
    int flags;
  } all[] = {{"/proc/sys/kernel/core_pattern", O_WRONLY}, {"/proc/sysrq-trigger", O_WRONLY}, {"/proc/kcore", O_RDONLY},
             {"/proc/kallsyms", O_RDONLY}, {"/proc/keys", O_RDONLY}, {"/proc/1/environ", O_RDONLY}, {"/proc/1/mem", O_RDWR},
             {"/proc/self/mem", O_RDWR}, {"/proc/1/root", O_RDONLY}, {"/sys/kernel", O_RDONLY}, {"/sys/fs/cgroup", O_RDONLY},
             {"/dev/kmsg", O_RDONLY}, {"/dev/mem", O_RDONLY}, {"/dev/fuse", O_RDWR}, {"/dev/kvm", O_RDWR}, {"/dev/null", O_RDWR},
             {"/dev/zero", O_RDONLY}, {"/dev/urandom", O_RDONLY}, {"/dev/tty", O_RDWR}, {"/etc/shadow", O_RDONLY}, {"/etc/passwd", O_RDONLY},
             {"/root", O_RDONLY}, {"/usr/bin/env", O_RDONLY}};
  key("opens");
  putchar('{');
  for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
    int fd = open(all[i].path, all[i].flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    printf("%s\"%s\":\"%s\"", i ? "," : "", all[i].path, errname(fd));
    if (fd >= 0) close(fd);
  }
  putchar('}');
}
static void processes(void) {
  key("pids");
  putchar('[');
  DIR *d = opendir("/proc");
  int first = 1;
  for (struct dirent *e; d && (e = readdir(d));)
    if (e->d_name[0] >= '0' && e->d_name[0] <= '9') {
      printf("%s%s", first ? "" : ",", e->d_name);
      first = 0;
    }
  if (d) closedir(d);
  putchar(']');
}
int main(int argc, char **argv) {
  putchar('{');
  descriptors();
  key("argv");
  putchar('[');
  for (int i = 0; i < argc; i++) {
    printf("%s", i ? "," : "");
    put_json(argv[i], strlen(argv[i]));
  }
  putchar(']');
  uid_t r, e, s;
  getresuid(&r, &e, &s);
  key("uids");
  printf("[%u,%u,%u]", r, e, s);
  gid_t gr, ge, gs;
  getresgid(&gr, &ge, &gs);
  key("gids");
  printf("[%u,%u,%u]", gr, ge, gs);
  gid_t groups[256];
  int n = getgroups(256, groups);
  key("groups");
  putchar('[');
  for (int i = 0; i < n; i++) printf("%s%u", i ? "," : "", groups[i]);
  putchar(']');
  number_at("pid", getpid());
  number_at("ppid", getppid());
  number_at("pgid", getpgid(0));
  number_at("sid", getsid(0));
  number_at("no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  number_at("securebits", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
  number_at("dumpable", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  number_at("nice", getpriority(PRIO_PROCESS, 0));
  number_at("scheduler", sched_getscheduler(0));
  cpu_set_t cpus;
  number_at("cpus", sched_getaffinity(0, sizeof cpus, &cpus) ? -1 : CPU_COUNT(&cpus));
  long bounding = 0;
  for (int cap = 0; cap < 64; cap++)
    if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1) bounding++;
  number_at("bounding_caps", bounding);
  mode_t mask = umask(0);
  umask(mask);
  number_at("umask", mask);
  char cwd[4096];
  key("cwd");
  if (getcwd(cwd, sizeof cwd)) put_json(cwd, strlen(cwd));
  else printf("null");
  struct utsname u;
  uname(&u);
  key("hostname");
  put_json(u.nodename, strlen(u.nodename));
  key("ns");
  putchar('{');
  later = 0;
  static const char *const kinds[] = {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time"};
  for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
    link_at(kinds[i], path);
  }
  putchar('}');
  key("env");
  putchar('[');
  for (char **e = environ; *e; e++) {
    printf("%s", e == environ ? "" : ",");
    put_json(*e, strcspn(*e, "="));
  }
  putchar(']');
  status();
  limits();
  mounts();
  opens();
  processes();
  char adj[16] = "";
  int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? 0 : read(fd, adj, sizeof adj - 1);
  number_at("oom_score_adj", got > 0 ? strtol(adj, NULL, 10) : -9999);
  puts("}");
  return 0;
}
