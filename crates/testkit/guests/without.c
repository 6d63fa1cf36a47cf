/* without [--uid N] [FEATURE...] -- COMMAND...: a tool, not a guest: COMMAND as on a poorer machine, as another user.
 *
 *   cgroup       no control group file system is mounted (in a mount namespace of its own; needs root)
 *   userns       making a user namespace answers EPERM, clone3 (whose flags a filter cannot see) ENOSYS
 *   namespaces   the same for every kind of namespace; CAP_SYS_ADMIN gone from all sets
 *   landlock     the three Landlock calls answer ENOSYS
 *   listener     a second user notification listener: SECCOMP_FILTER_FLAG_NEW_LISTENER answers EBUSY
 *   clone3       clone3 answers ENOSYS
 *   ptrace       ptrace answers EPERM
 *   syncwakeup   SECCOMP_IOCTL_NOTIF_SET_FLAGS answers EINVAL, as before Linux 6.6
 *   docker       what Docker's default seccomp profile refuses without CAP_SYS_ADMIN, and Docker's fourteen capabilities
 *
 * The features go in the order: mounts, filters, capabilities, user. Filters are put on while this process may still do so without
 * no_new_privs, because that bit would be seen by COMMAND. With --check instead of a COMMAND it reports what is really gone. */
#include "guest.h"
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>

static struct sock_filter code[4096];
static unsigned short length;
static void emit(unsigned short op, unsigned char jt, unsigned char jf, unsigned k) {
  code[length++] = (struct sock_filter){op, jt, jf, k};
}
static void load(unsigned offset) { emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset); }
static void answer(unsigned action) { emit(BPF_RET | BPF_K, 0, 0, action); }
#define NR offsetof(struct seccomp_data, nr)
#define LOW(i) (unsigned)(offsetof(struct seccomp_data, args) + 8 * (i))

/* Each rule is a block of its own that leaves the call's number in the accumulator. */
static void refuse(long nr, int error) {
  emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (unsigned)nr);
  answer(SECCOMP_RET_ERRNO | (unsigned)error);
}
static void refuse_from(long nr, int error) {
  emit(BPF_JMP | BPF_JGE | BPF_K, 0, 1, (unsigned)nr);
  answer(SECCOMP_RET_ERRNO | (unsigned)error);
}
static void refuse_if_any(long nr, int arg, unsigned mask, int error) {
  emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, (unsigned)nr);
  load(LOW(arg));
  emit(BPF_JMP | BPF_JSET | BPF_K, 0, 1, mask);
  answer(SECCOMP_RET_ERRNO | (unsigned)error);
  load(NR);
}
static void refuse_if_equal(long nr, int arg, unsigned value, int error) {
  emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, (unsigned)nr);
  load(LOW(arg));
  emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
  answer(SECCOMP_RET_ERRNO | (unsigned)error);
  load(NR);
}

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#else
#error "no architecture of the kit"
#endif

static void begin(void) {
  length = 0;
  load(offsetof(struct seccomp_data, arch));
  emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, NATIVE);
  answer(SECCOMP_RET_ALLOW);
  load(NR);
}
static void install(void) {
  answer(SECCOMP_RET_ALLOW);
  struct sock_fprog program = {length, code};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
    if (errno != EACCES) die(125, "without: seccomp: %s", errname(-1));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
      die(125, "without: seccomp: %s", errname(-1));
  }
}

#define ALL_NAMESPACES                                                                                                         \
  (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

static void no_cgroup(void) {
  if (unshare(CLONE_NEWNS)) die(125, "without: unshare: %s", errname(-1));
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) die(125, "without: private mounts: %s", errname(-1));
  if (umount2("/sys/fs/cgroup", MNT_DETACH) && errno != EINVAL) die(125, "without: umount cgroup: %s", errname(-1));
  if (mount("none", "/sys/fs/cgroup", "tmpfs", MS_RDONLY, "size=4k")) die(125, "without: empty cgroup: %s", errname(-1));
}
static void no_namespaces(unsigned which) {
  begin();
  refuse_if_any(SYS_clone, 0, which, EPERM);
  refuse_if_any(SYS_unshare, 0, which, EPERM);
  refuse(435 /* clone3 */, ENOSYS);
  install();
}
static void no_landlock(void) {
  begin();
  for (long nr = 444; nr <= 446; nr++) refuse(nr, ENOSYS);
  install();
}
static void no_listener(void) {
  begin();
  refuse_if_any(SYS_seccomp, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER, EBUSY);
  install();
}
static void no_clone3(void) {
  begin();
  refuse(435, ENOSYS);
  install();
}
static void no_ptrace(void) {
  begin();
  refuse(SYS_ptrace, EPERM);
  install();
}
static void no_sync_wake_up(void) {
  begin();
  refuse_if_equal(SYS_ioctl, 1, 0x40082104 /* SECCOMP_IOW(4, __u64) */, EINVAL);
  install();
}
static void docker(void) {
  static const long refused[] = {
#ifdef __x86_64__
      SYS_create_module, SYS_get_kernel_syms, SYS_query_module, SYS_nfsservctl, SYS_uselib, SYS_ustat, SYS_sysfs, SYS__sysctl,
      SYS_iopl, SYS_ioperm,
#endif
      SYS_acct, SYS_add_key, SYS_keyctl, SYS_request_key, SYS_bpf, SYS_clock_adjtime, SYS_clock_settime, SYS_delete_module,
      SYS_finit_module, SYS_init_module, SYS_get_mempolicy, SYS_set_mempolicy, SYS_mbind, SYS_migrate_pages, SYS_move_pages, SYS_kcmp,
      SYS_kexec_file_load, SYS_kexec_load, SYS_lookup_dcookie, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_open_by_handle_at,
      SYS_perf_event_open, SYS_quotactl, SYS_reboot, SYS_setns, SYS_settimeofday, SYS_sethostname, SYS_setdomainname, SYS_swapon,
      SYS_swapoff, SYS_syslog, SYS_unshare, SYS_userfaultfd, SYS_vhangup, SYS_fanotify_init,
      425 /* io_uring_setup */, 426 /* io_uring_enter */, 427 /* io_uring_register */, 428 /* open_tree */, 429 /* move_mount */,
      430 /* fsopen */, 431 /* fsconfig */, 432 /* fsmount */, 433 /* fspick */, 440 /* process_madvise */, 442 /* mount_setattr */,
      443 /* quotactl_fd */, 450 /* set_mempolicy_home_node */};
  begin();
  for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) refuse(refused[i], EPERM);
  refuse(435, ENOSYS);
  refuse_if_any(SYS_clone, 0, ALL_NAMESPACES, EPERM);
  refuse_if_equal(SYS_socket, 0, 40 /* AF_VSOCK */, EPERM);
  /* personality: 0, PER_LINUX32 (8), UNAME26 with either, and the query are allowed. */
  static const unsigned personalities[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};
  unsigned char left = sizeof personalities / sizeof *personalities;
  emit(BPF_JMP | BPF_JEQ | BPF_K, 0, (unsigned char)(left + 3), SYS_personality);
  load(LOW(0));
  for (unsigned char i = 0; i < left; i++) emit(BPF_JMP | BPF_JEQ | BPF_K, (unsigned char)(left - i), 0, personalities[i]);
  answer(SECCOMP_RET_ERRNO | EPERM);
  load(NR);
  /* Numbers newer than the profile: the runtime answers ENOSYS. */
  refuse(457 /* statmount */, ENOSYS);
  refuse(458 /* listmount */, ENOSYS);
  refuse_from(463, ENOSYS);
  install();
}

/* Keeps `keep` in the permitted, effective and bounding sets, nothing in the inheritable and ambient ones. */
static void keep_capabilities(uint64_t keep) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2];
  if (syscall(SYS_capget, &header, sets)) die(125, "without: capget: %s", errname(-1));
  for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
    if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)) die(125, "without: bounding set: %s", errname(-1));
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int i = 0; i < 2; i++) {
    sets[i].permitted &= (uint32_t)(keep >> (32 * i));
    sets[i].effective = sets[i].permitted;
    sets[i].inheritable = 0;
  }
  if (syscall(SYS_capset, &header, sets)) die(125, "without: capset: %s", errname(-1));
}
#define CAP(c) (1ULL << (c))
#define DOCKER_CAPS                                                                                                            \
  (CAP(CAP_CHOWN) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_FOWNER) | CAP(CAP_FSETID) | CAP(CAP_KILL) | CAP(CAP_SETGID) | CAP(CAP_SETUID) | \
   CAP(CAP_SETPCAP) | CAP(CAP_NET_BIND_SERVICE) | CAP(CAP_NET_RAW) | CAP(CAP_SYS_CHROOT) | CAP(CAP_MKNOD) | CAP(CAP_AUDIT_WRITE) | \
   CAP(CAP_SETFCAP))

/* In a child, because an attempt that succeeds changes the process. */
static void attempt(const char *name, long (*call)(void)) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    long result = call();
    printf("\"%s\":\"%s\",", name, errname(result));
    fflush(stdout);
    _exit(0);
  }
  waitpid(pid, NULL, 0);
}
static long try_userns(void) { return unshare(CLONE_NEWUSER); }
static long try_netns(void) { return unshare(CLONE_NEWNET); }
static long try_clone_userns(void) {
  long pid = syscall(SYS_clone, (long)(CLONE_NEWUSER | SIGCHLD), 0L, 0L, 0L, 0L);
  if (pid == 0) _exit(0);
  return pid;
}
static long try_clone3(void) {
  uint64_t args[8] = {0, 0, 0, 0, SIGCHLD};
  long pid = syscall(435, args, sizeof args);
  if (pid == 0) _exit(0);
  return pid;
}
static long try_landlock(void) { return syscall(444, NULL, 0, 1); }
static long try_listener(void) {
  struct sock_filter all[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  struct sock_fprog program = {1, all};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}
static long try_filter(void) {
  struct sock_filter all[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  struct sock_fprog program = {1, all};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
static long try_ptrace(void) { return syscall(SYS_ptrace, 0 /* PTRACE_TRACEME */, 0, 0, 0); }
static long try_cgroup(void) { return access("/sys/fs/cgroup/cgroup.procs", F_OK) && access("/sys/fs/cgroup/memory", F_OK) ? -1 : 0; }
static long try_mount(void) { return mount("none", "/mnt", "tmpfs", MS_RDONLY, NULL); }
static long try_bpf(void) { return syscall(SYS_bpf, 0, NULL, 0); }
static long try_personality(void) { return syscall(SYS_personality, 0x0040000L); }
static long try_personality_query(void) { return syscall(SYS_personality, 0xffffffffL); }
static void check(void) {
  printf("{\"uid\":%u,\"euid\":%u,\"groups\":%d,\"no_new_privs\":%d,", getuid(), geteuid(), getgroups(0, NULL),
         prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  int bounding = 0;
  for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) bounding += prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
  printf("\"bounding\":%d,", bounding);
  attempt("userns", try_userns);
  attempt("clone_userns", try_clone_userns);
  attempt("netns", try_netns);
  attempt("clone3", try_clone3);
  attempt("landlock", try_landlock);
  attempt("listener", try_listener);
  attempt("filter", try_filter);
  attempt("cgroup", try_cgroup);
  attempt("ptrace", try_ptrace);
  attempt("bpf", try_bpf);
  attempt("personality", try_personality);
  attempt("personality_query", try_personality_query);
  /* Mounting would change the machine where it is allowed: only asked when the mounts are our own. */
  (void)try_mount;
  puts("\"end\":true}");
}

int main(int argc, char **argv) {
  static const char *const order[] = {"cgroup", "userns", "namespaces", "landlock", "listener", "clone3", "docker", "ptrace", "syncwakeup"};
  int wanted[sizeof order / sizeof *order] = {0};
  long uid = -1;
  int i = 1, checking = 0;
  for (; i < argc && strcmp(argv[i], "--"); i++) {
    unsigned f = 0;
    if (!strcmp(argv[i], "--uid") && i + 1 < argc) {
      uid = strtol(argv[++i], NULL, 10);
      continue;
    }
    if (!strcmp(argv[i], "--check")) {
      checking = 1;
      continue;
    }
    while (f < sizeof order / sizeof *order && strcmp(order[f], argv[i])) f++;
    if (f == sizeof order / sizeof *order) die(125, "without: unknown feature %s", argv[i]);
    wanted[f] = 1;
  }
  if (!checking && i + 1 >= argc) die(125, "usage: without [--uid N] [FEATURE...] -- COMMAND...");
  if (wanted[0]) no_cgroup();
  if (uid >= 0 && (setgroups(0, NULL) || setgid((gid_t)uid))) die(125, "without: setgid %ld: %s", uid, errname(-1));
  /* Landlock before listener: each filter needs only the calls it refuses itself to stay. */
  if (wanted[1]) no_namespaces(CLONE_NEWUSER);
  if (wanted[2]) no_namespaces(ALL_NAMESPACES);
  if (wanted[3]) no_landlock();
  if (wanted[4]) no_listener();
  if (wanted[5]) no_clone3();
  if (wanted[6]) docker();
  if (wanted[7]) no_ptrace();
  if (wanted[8]) no_sync_wake_up();
  if (geteuid() == 0) {
    if (wanted[2]) keep_capabilities(~0ULL & ~CAP(CAP_SYS_ADMIN));
    if (wanted[6]) keep_capabilities(DOCKER_CAPS);
  }
  if (uid >= 0 && setuid((uid_t)uid)) die(125, "without: setuid %ld: %s", uid, errname(-1));
  if (checking) {
    check();
    return 0;
  }
  execvp(argv[i + 1], argv + i + 1);
  die(125, "without: %s: %s", argv[i + 1], errname(-1));
}
