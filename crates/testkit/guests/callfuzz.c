/* callfuzz SEED CALLS [int80|x32 NR]: system calls as a fuzzer makes them: any number, with arguments that look right: live descriptors, pointers into memory
 * that is mapped, missing or at an edge, paths, structures, flags. Workers are made, six at a time, each with three threads and a share of the calls;
 * a thread that stands still is interrupted, a worker that nothing gets on is killed, whoever has ended is replaced; where no process can be made, the calls are
 * this one's own. The same seed gives each worker the same calls. Prints "calls N" now and then, and "done" at the end. A last call goes through the 32-bit
 * gate, or has x32's bit: these end a box, so there is one to a run, with the arguments of the stream. */
#include "guest.h"
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <netinet/in.h>

enum { SHARE = 400, THREADS = 3, LANES = 6, NUDGE_MS = 3, NUDGES = 16, SWEEP_MS = 20, OUT = 100, AREA = 1 << 16 };

/* What a thread shows the manager: its calls, and who is to be interrupted when there are no more of them. */
struct shown {
  volatile long made;
  volatile pid_t tid;
};

static uint64_t next(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15UL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9UL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebUL;
  return z ^ (z >> 31);
}

static uint64_t below(uint64_t *state, uint64_t most) { return next(state) % most; }
#define PICK(list) (list)[below(s, sizeof(list) / sizeof *(list))]

/* What a call takes, a letter an argument. What is not in the table gets any kinds. */
static const struct {
  short nr;
  const char *kinds;
} CALLS[] = {
    {SYS_read, "fbn"}, {SYS_write, "fbn"}, {SYS_open, "pOm"}, {SYS_close, "f"}, {SYS_stat, "pb"}, {SYS_fstat, "fb"}, {SYS_lstat, "pb"},
    {SYS_poll, "bct"}, {SYS_lseek, "fox"}, {SYS_mmap, "alPMfo"}, {SYS_mprotect, "alP"}, {SYS_munmap, "al"}, {SYS_brk, "a"}, {SYS_rt_sigaction, "sbbn"},
    {SYS_rt_sigprocmask, "ibbn"}, {SYS_ioctl, "fIb"}, {SYS_pread64, "fbno"}, {SYS_pwrite64, "fbno"}, {SYS_readv, "fvc"}, {SYS_writev, "fvc"},
    {SYS_access, "pi"}, {SYS_pipe, "b"}, {SYS_select, "cbbbt"}, {SYS_mremap, "alxxa"}, {SYS_msync, "ali"}, {SYS_mincore, "alb"}, {SYS_madvise, "ali"},
    {SYS_shmget, "iln"}, {SYS_shmat, "iai"}, {SYS_shmctl, "iib"}, {SYS_dup, "f"}, {SYS_dup2, "ff"}, {SYS_nanosleep, "tb"}, {SYS_getitimer, "ib"},
    {SYS_alarm, "i"}, {SYS_setitimer, "itb"}, {SYS_sendfile, "ffbn"}, {SYS_socket, "DEi"}, {SYS_connect, "fSL"}, {SYS_accept, "fbb"}, {SYS_sendto, "fbniSL"},
    {SYS_recvfrom, "fbnibb"}, {SYS_sendmsg, "fHi"}, {SYS_recvmsg, "fHi"}, {SYS_shutdown, "fi"}, {SYS_bind, "fSL"}, {SYS_listen, "fi"},
    {SYS_getsockname, "fbb"}, {SYS_socketpair, "DEib"}, {SYS_setsockopt, "fiibn"}, {SYS_getsockopt, "fiibb"}, {SYS_clone, "Cabbx"}, {SYS_fork, ""},
    {SYS_vfork, ""}, {SYS_execve, "pAA"}, {SYS_wait4, "gbib"}, {SYS_kill, "gs"}, {SYS_uname, "b"}, {SYS_semget, "iii"}, {SYS_semop, "ibc"},
    {SYS_semctl, "iiib"}, {SYS_msgget, "ii"}, {SYS_msgsnd, "ibni"}, {SYS_msgrcv, "ibnii"}, {SYS_msgctl, "iib"}, {SYS_fcntl, "fKx"}, {SYS_flock, "fi"},
    {SYS_fsync, "f"}, {SYS_truncate, "pn"}, {SYS_ftruncate, "fn"}, {SYS_getdents, "fbn"}, {SYS_getcwd, "bn"}, {SYS_chdir, "p"}, {SYS_fchdir, "f"},
    {SYS_rename, "pp"}, {SYS_mkdir, "pm"}, {SYS_rmdir, "p"}, {SYS_creat, "pm"}, {SYS_link, "pp"}, {SYS_unlink, "p"}, {SYS_symlink, "pp"},
    {SYS_readlink, "pbn"}, {SYS_chmod, "pm"}, {SYS_fchmod, "fm"}, {SYS_chown, "puu"}, {SYS_fchown, "fuu"}, {SYS_lchown, "puu"}, {SYS_umask, "m"},
    {SYS_getrlimit, "ib"}, {SYS_sysinfo, "b"}, {SYS_ptrace, "igbb"}, {SYS_syslog, "ibn"}, {SYS_setuid, "u"}, {SYS_setgid, "u"}, {SYS_setpgid, "gg"},
    {SYS_setreuid, "uu"}, {SYS_setresuid, "uuu"}, {SYS_setgroups, "cb"}, {SYS_capset, "bb"}, {SYS_rt_sigtimedwait, "bbtn"}, {SYS_rt_sigqueueinfo, "gsb"},
    {SYS_sigaltstack, "bb"}, {SYS_utime, "pb"}, {SYS_mknod, "pmx"}, {SYS_personality, "x"}, {SYS_statfs, "pb"}, {SYS_setpriority, "igi"},
    {SYS_sched_setparam, "gb"}, {SYS_sched_setscheduler, "gib"}, {SYS_mlock, "al"}, {SYS_mlockall, "i"}, {SYS_vhangup, ""}, {SYS_modify_ldt, "ibn"},
    {SYS_pivot_root, "pp"}, {SYS_prctl, "Rxxxx"}, {SYS_arch_prctl, "Rb"}, {SYS_adjtimex, "b"}, {SYS_setrlimit, "ib"}, {SYS_chroot, "p"}, {SYS_sync, ""},
    {SYS_acct, "p"}, {SYS_settimeofday, "tb"}, {SYS_mount, "ppqxb"}, {SYS_umount2, "pi"}, {SYS_swapon, "pi"}, {SYS_swapoff, "p"}, {SYS_reboot, "xxxb"},
    {SYS_sethostname, "pn"}, {SYS_setdomainname, "pn"}, {SYS_iopl, "i"}, {SYS_ioperm, "iii"}, {SYS_init_module, "bnp"}, {SYS_delete_module, "pi"},
    {SYS_quotactl, "xpib"}, {SYS_readahead, "fon"}, {SYS_setxattr, "ppbni"}, {SYS_fsetxattr, "fpbni"}, {SYS_getxattr, "ppbn"}, {SYS_removexattr, "pp"},
    {SYS_tkill, "gs"}, {SYS_futex, "bYitbi"}, {SYS_sched_setaffinity, "gnb"}, {SYS_io_setup, "ib"}, {SYS_io_submit, "xcb"}, {SYS_epoll_create, "i"},
    {SYS_set_tid_address, "b"}, {SYS_timer_create, "ibb"}, {SYS_timer_settime, "iitb"}, {SYS_clock_settime, "it"}, {SYS_clock_gettime, "ib"},
    {SYS_clock_nanosleep, "iitb"}, {SYS_exit_group, "i"}, {SYS_epoll_wait, "fbct"}, {SYS_epoll_ctl, "fifb"}, {SYS_tgkill, "ggs"}, {SYS_utimes, "pb"},
    {SYS_mbind, "alibni"}, {SYS_mq_open, "pOmb"}, {SYS_mq_unlink, "p"}, {SYS_kexec_load, "xcbi"}, {SYS_waitid, "igbib"}, {SYS_add_key, "qqbni"},
    {SYS_request_key, "qqqi"}, {SYS_keyctl, "ixxxx"}, {SYS_ioprio_set, "igi"}, {SYS_inotify_init, ""}, {SYS_inotify_add_watch, "fpx"},
    {SYS_migrate_pages, "gibb"}, {SYS_openat, "dpOm"}, {SYS_mkdirat, "dpm"}, {SYS_mknodat, "dpmx"}, {SYS_fchownat, "dpuui"}, {SYS_futimesat, "dpb"},
    {SYS_newfstatat, "dpbi"}, {SYS_unlinkat, "dpi"}, {SYS_renameat, "dpdp"}, {SYS_linkat, "dpdpi"}, {SYS_symlinkat, "pdp"}, {SYS_readlinkat, "dpbn"},
    {SYS_fchmodat, "dpm"}, {SYS_faccessat, "dpi"}, {SYS_pselect6, "cbbbtb"}, {SYS_ppoll, "bctbn"}, {SYS_unshare, "N"}, {SYS_set_robust_list, "bn"},
    {SYS_splice, "fbfbni"}, {SYS_tee, "ffni"}, {SYS_vmsplice, "fvci"}, {SYS_move_pages, "gcbbbi"}, {SYS_utimensat, "dpbi"}, {SYS_epoll_pwait, "fbctbn"},
    {SYS_signalfd, "fbn"}, {SYS_timerfd_create, "ii"}, {SYS_eventfd, "i"}, {SYS_fallocate, "fion"}, {SYS_timerfd_settime, "fitb"}, {SYS_accept4, "fbbi"},
    {SYS_eventfd2, "ii"}, {SYS_epoll_create1, "i"}, {SYS_dup3, "ffi"}, {SYS_pipe2, "bi"}, {SYS_preadv, "fvcox"}, {SYS_pwritev, "fvcox"},
    {SYS_rt_tgsigqueueinfo, "ggsb"}, {SYS_perf_event_open, "bgifx"}, {SYS_recvmmsg, "fHcit"}, {SYS_fanotify_init, "ii"}, {SYS_fanotify_mark, "fixdp"},
    {SYS_prlimit64, "gibb"}, {SYS_name_to_handle_at, "dpbbi"}, {SYS_open_by_handle_at, "fbO"}, {SYS_clock_adjtime, "ib"}, {SYS_syncfs, "f"},
    {SYS_sendmmsg, "fHci"}, {SYS_setns, "fN"}, {SYS_process_vm_readv, "gvcvci"}, {SYS_process_vm_writev, "gvcvci"}, {SYS_kcmp, "ggiff"},
    {SYS_finit_module, "fpi"}, {SYS_sched_setattr, "gbi"}, {SYS_renameat2, "dpdpi"}, {SYS_seccomp, "iib"}, {SYS_getrandom, "bni"}, {SYS_memfd_create, "pi"},
    {SYS_kexec_file_load, "ffnpi"}, {SYS_bpf, "ibn"}, {SYS_execveat, "dpAAi"}, {SYS_userfaultfd, "i"}, {SYS_membarrier, "iii"}, {SYS_mlock2, "ali"},
    {SYS_copy_file_range, "fbfbni"}, {SYS_preadv2, "fvcoxi"}, {SYS_pwritev2, "fvcoxi"}, {SYS_pkey_mprotect, "alPi"}, {SYS_statx, "dpiib"},
    {SYS_io_uring_setup, "ib"}, {SYS_io_uring_enter, "fiiibn"}, {SYS_io_uring_register, "fibi"}, {SYS_open_tree, "dpx"}, {SYS_move_mount, "dpdpi"},
    {SYS_fsopen, "qi"}, {SYS_fsconfig, "fiqbi"}, {SYS_fsmount, "fii"}, {SYS_fspick, "dpi"}, {SYS_pidfd_open, "gi"}, {SYS_clone3, "Gn"},
    {SYS_close_range, "ffi"}, {SYS_openat2, "dpGn"}, {SYS_pidfd_getfd, "ffi"}, {SYS_faccessat2, "dpii"}, {SYS_process_madvise, "fvcii"},
    {SYS_epoll_pwait2, "fbctbn"}, {SYS_mount_setattr, "dpibn"}, {SYS_quotactl_fd, "fxib"}, {SYS_landlock_create_ruleset, "bni"},
    {SYS_landlock_add_rule, "fibi"}, {SYS_landlock_restrict_self, "fi"}, {SYS_memfd_secret, "i"}, {SYS_process_mrelease, "fi"}, {SYS_futex_waitv, "bcitb"},
};

static char *area, *lines; /* pages that calls write, and "names" */
static pid_t manager;
static int by_itself; /* nobody ends a call that lasts but the timer */

static const char *const PATHS[] = {
    "/", ".", "..", "a", "b", "a/b", "/tmp", "/tmp/a", "/tmp/b", "/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/shm/a", "/dev/kmsg", "/dev/mem",
    "/proc/self/mem", "/proc/self/fd/0", "/proc/self/exe", "/proc/self/ns/net", "/proc/self/ns/user", "/proc/self/oom_score_adj", "/proc/self/comm",
    "/proc/1/root", "/proc/1/mem", "/proc/sys/kernel/hostname", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger",
    "/etc/hostname", "/etc/passwd", "/etc/shadow", "/root", "/home", "/sys/fs/cgroup", "/sys/kernel/uevent_helper", "/usr/bin/true", "/bin/sh",
    "/run/a", "/var/tmp/a", "", "x y", "/a\nb",
};
static const char *const WORDS[] = {"tmpfs", "proc", "sysfs", "overlay", "user", "keyring", "logon", "user.a", "security.capability", "size", "a", ""};
static const long SIZES[] = {0, 1, 8, 16, 24, 64, 88, 4095, 4096, 4097, 65536, 1 << 20, -1, 1L << 31, 1L << 32};
static const unsigned IOCTLS[] = {0x5401, 0x5402, 0x540e, 0x5410, 0x5412, 0x5413, 0x541b, 0x541c, 0x5421, 0x5450, 0x5451, 0x5452, 0x8901, 0x8902, 0x8913, 0x8914,
                                  0x8915, 0x8922, 0x6601, 0x6602, 0x40086602, 0x801c581f, 0xc0045878, 0x40049409, 0x5411, 0x4b3a, 0xae00, 0x4c82, 0xc0506107};
static const int FAMILIES[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, 38, 40, 31, 0, 45};
static const unsigned long CLONES[] = {SIGCHLD, SIGCHLD, SIGCHLD | CLONE_VM | CLONE_VFORK, SIGCHLD | CLONE_NEWUSER, SIGCHLD | CLONE_NEWNS, SIGCHLD | CLONE_PARENT,
                                       SIGCHLD | CLONE_UNTRACED, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, SIGCHLD | CLONE_PTRACE,
                                       SIGCHLD | CLONE_NEWPID | CLONE_NEWUSER, SIGCHLD | CLONE_PIDFD, SIGCHLD | CLONE_NEWNET, SIGCHLD | CLONE_NEWTIME};

static uint64_t pointer(uint64_t *s) {
  switch (below(s, 16)) {
    case 0: return 0;
    case 1: return (uint64_t)area + AREA - below(s, 64);      /* the end, an unmapped page behind */
    case 2: return (uint64_t)area + 4096 - below(s, 32);      /* across a page */
    case 3: return 0xffffffffff600000UL + below(s, 4096);     /* vsyscall */
    case 4: return next(s);
    case 5: return (uint64_t)PATHS;                           /* read-only */
    default: return (uint64_t)area + (below(s, AREA - 4096) & ~7UL);
  }
}

static uint64_t path(uint64_t *s) {
  if (below(s, 20) == 0) return pointer(s);
  if (below(s, 40) == 0) return (uint64_t)lines; /* longer than any path */
  return (uint64_t)PICK(PATHS);
}

static pid_t whom(uint64_t *s) {
  switch (below(s, 40)) {
    case 0: return -1;
    case 1: return 1;
    case 2: return manager;
    case 3: return (pid_t)below(s, 40);
    case 4: return -getpid();
    case 5: return (pid_t)next(s);
    default: return getpid();
  }
}

static uint64_t address(uint64_t *s, char *at) {
  struct sockaddr_un *un = (void *)at;
  struct sockaddr_in *in = (void *)at;
  struct sockaddr_in6 *in6 = (void *)at;
  memset(at, 0, 128);
  switch (below(s, 4)) {
    case 0:
      un->sun_family = AF_UNIX;
      strcpy(un->sun_path + below(s, 2), "/tmp/s");
      break;
    case 1:
      in->sin_family = AF_INET;
      in->sin_port = htons((uint16_t)next(s));
      in->sin_addr.s_addr = below(s, 2) ? htonl(0x7f000001) : (uint32_t)next(s);
      break;
    case 2:
      in6->sin6_family = AF_INET6;
      in6->sin6_port = htons(80);
      in6->sin6_addr.s6_addr[15] = 1;
      break;
    default: in->sin_family = (sa_family_t)below(s, 50);
  }
  return (uint64_t)at;
}

/* One argument; `at` is a place of this thread's own for what has a form. */
static uint64_t argument(char kind, uint64_t *s, char *at) {
  struct iovec *iov = (void *)at;
  struct timespec *time = (void *)at;
  struct msghdr *message = (void *)at;
  char **strings = (void *)at;
  uint64_t *words = (void *)at;
  switch (kind) {
    case 'f': return below(s, 12) ? below(s, 24) : next(s);
    case 'd': return below(s, 3) ? (uint64_t)AT_FDCWD : below(s, 24);
    case 'p': return path(s);
    case 'q': return (uint64_t)PICK(WORDS);
    case 'b': return pointer(s);
    case 'n': return (uint64_t)PICK(SIZES);
    case 'i': return below(s, 4) ? below(s, 40) : 1UL << below(s, 32);
    case 'c': return below(s, 8) ? below(s, 5) : below(s, 2000);
    case 'm': return below(s, 0200000);
    case 'o': return below(s, 2) ? below(s, 1 << 16) : next(s);
    case 'O': return (1UL << below(s, 24)) | below(s, 4) | (below(s, 2) ? O_CREAT : 0);
    case 'u': return below(s, 2) ? below(s, 3) : (uint64_t)(uint32_t)-1;
    case 's': return below(s, 70);
    case 'g': return (uint64_t)(int64_t)whom(s);
    case 'a': {
      extern char end[];
      uint64_t page = below(s, 4) ? (uint64_t)area + 4096 * below(s, 16) : pointer(s) & ~4095UL;
      /* The program itself, without which nobody goes on. */
      return by_itself && page < (uint64_t)end ? (uint64_t)area : page;
    }
    case 'l': return below(s, 8) ? 4096 * below(s, 17) : next(s);
    case 'P': return below(s, 8);
    case 'M': return below(s, 2) ? 0x22 : below(s, 1 << 20);
    case 'D': return (uint64_t)PICK(FAMILIES);
    case 'E': return (1 + below(s, 5)) | (below(s, 2) ? 04000 : 0);
    case 'I': return below(s, 8) ? PICK(IOCTLS) : next(s);
    case 'K': return below(s, 2) ? below(s, 40) : 1024 + below(s, 20);
    case 'R': return below(s, 4) ? below(s, 80) : 0x1001 + below(s, 20);
    case 'Y': return below(s, 14) | (below(s, 2) ? 128 : 0);
    case 'C': return PICK(CLONES);
    case 'N': return below(s, 2) ? PICK(CLONES) & ~0xffUL : 1UL << below(s, 32);
    case 'L': return below(s, 4) ? 16 + below(s, 13) : below(s, 200);
    case 'S': return address(s, at);
    case 't':
      time->tv_sec = below(s, 8) ? 0 : (time_t)next(s);
      time->tv_nsec = (long)below(s, 2000000);
      return below(s, 6) ? (uint64_t)at : 0;
    case 'v':
      for (int i = 0; i < 4; i++) iov[i] = (struct iovec){(void *)pointer(s), (size_t)PICK(SIZES)};
      return (uint64_t)at;
    case 'H':
      memset(message, 0, 2 * sizeof *message);
      message->msg_iov = (void *)(at + 256);
      message->msg_iovlen = below(s, 4);
      for (int i = 0; i < 3; i++) message->msg_iov[i] = (struct iovec){(void *)pointer(s), (size_t)below(s, 5000)};
      message->msg_name = (void *)address(s, at + 512);
      message->msg_namelen = (socklen_t)below(s, 130);
      return (uint64_t)at;
    case 'A':
      for (int i = 0; i < 4; i++) strings[i] = (char *)path(s);
      strings[below(s, 4)] = NULL;
      strings[4] = NULL;
      return (uint64_t)at;
    case 'G': /* clone_args, open_how */
      memset(words, 0, 128);
      words[0] = below(s, 2) ? PICK(CLONES) & ~0xffUL : 1UL << below(s, 40);
      words[4] = SIGCHLD;
      words[below(s, 11)] = below(s, 2) ? 0 : pointer(s);
      return (uint64_t)at;
    default: return below(s, 3) ? pointer(s) : next(s);
  }
}

struct stream {
  uint64_t state;
  struct shown *shown;
  char *place;
};

static void call(struct stream *stream) {
  static const char KINDS[] = "fdpqbnicmoOusgalPMDEIKRYCNLStvHAGx";
  uint64_t *s = &stream->state, args[6];
  uint64_t how = below(s, 100);
  long nr;
  const char *kinds = "";
  if (how < 60) {
    size_t pick = below(s, sizeof CALLS / sizeof *CALLS);
    nr = CALLS[pick].nr;
    kinds = CALLS[pick].kinds;
  } else if (how < 85) {
    nr = (long)below(s, 480);
  } else {
    /* What begins with bit 30 is x32's, and ends a box: that is for the last call. */
    nr = (long)below(s, below(s, 2) ? 2000 : 0x40000000);
  }
  /* Sleeps end by a signal; these only end the worker early, or the box. */
  if ((nr == SYS_exit_group || nr == SYS_exit) && below(s, by_itself ? 1000 : 50)) nr = SYS_getppid;
  if (nr == SYS_rt_sigreturn && by_itself && below(s, 100)) nr = SYS_getppid;
  if ((nr == SYS_execve || nr == SYS_execveat) && by_itself && below(s, 20)) nr = SYS_getppid;
  if (nr == SYS_pause || nr == SYS_rt_sigsuspend) nr = SYS_sched_yield;
  size_t known = strlen(kinds);
  for (size_t i = 0; i < 6; i++) {
    args[i] = argument(i < known ? kinds[i] : PICK(KINDS), s, stream->place + 1024 * i);
    if (below(s, 24) == 0) args[i] |= 1UL << (32 + below(s, 32));
  }
  pid_t me = getpid();
  /* Whoever may be stopped by this goes on by nobody: the manager least of all. */
  if (nr == SYS_kill || nr == SYS_tkill || nr == SYS_tgkill || nr == SYS_rt_sigqueueinfo || nr == SYS_rt_tgsigqueueinfo || nr == SYS_pidfd_send_signal)
    for (int i = 0; i < 3; i++)
      if ((int)args[i] == SIGSTOP || ((int)args[i] == SIGKILL && by_itself && below(s, 50))) args[i] = SIGCONT;
#if defined(__x86_64__)
  /* Without its own memory at hand the library can do nothing at all. */
  if (nr == SYS_arch_prctl && by_itself && (unsigned)args[0] == 0x1002 && below(s, 50)) args[0] = 0x1003;
#endif
  /* Who counts is told by this one. */
  if (nr == SYS_close_range && by_itself && (unsigned)args[1] >= OUT) args[1] = OUT - 1;
  /* A mask for the time of the call would keep the timer's signal away. */
  if (by_itself && (nr == SYS_ppoll || nr == SYS_pselect6 || nr == SYS_epoll_pwait || nr == SYS_epoll_pwait2)) args[nr == SYS_ppoll ? 3 : nr == SYS_pselect6 ? 5 : 4] = 0;
  if (nr == SYS_ptrace && (pid_t)args[1] == manager) args[1] = (uint64_t)me;
  stream->shown->made++;
  syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]);
  /* A child of a fork goes its own way for a little while. */
  if (syscall(SYS_getpid) != me) {
    static __thread int born;
    if (born++) _exit(0);
    for (int i = 0; i < 20; i++) call(stream);
    _exit(0);
  }
}

static void *work(void *of) {
  struct stream *stream = of;
  stream->shown->tid = (pid_t)syscall(SYS_gettid);
  for (int i = 0; i < SHARE / THREADS; i++) call(stream);
  stream->shown->tid = 0;
  return NULL;
}

static void interrupted(int signal) { (void)signal; }

/* What a process that makes the calls by itself goes back to, whatever a call has broken. */
static sigjmp_buf again;
static void broken(int signal) { siglongjmp(again, signal); }

/* By the kernel's own call: the C library keeps two of the signals for itself. */
static void ignore(int signal) {
  const struct { void (*handler)(int); unsigned long flags; void (*restorer)(void); unsigned long mask; } nothing = {.handler = SIG_IGN};
  syscall(SYS_rt_sigaction, signal, &nothing, NULL, 8);
}

static void survive(void) {
  struct sigaction act = {.sa_handler = interrupted};
  for (int signal = 1; signal < 32; signal++)
    if (signal != SIGSEGV && signal != SIGBUS && signal != SIGILL) sigaction(signal, &act, NULL);
}

/* A signal that comes often, so that no call lasts. */
static void keep_awake(long micros) {
  struct itimerval often = {{0, micros}, {0, micros}};
  sigset_t none;
  sigaction(SIGALRM, &(struct sigaction){.sa_handler = interrupted}, NULL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setitimer(ITIMER_REAL, &often, NULL);
}

/* The memory and the descriptors that calls are about. */
static char *prepare(uint64_t *seed) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  area = mmap(NULL, AREA + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  lines = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *places = mmap(NULL, THREADS * 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED || lines == MAP_FAILED || places == MAP_FAILED) _exit(9);
  munmap(area + AREA, 4096);
  for (int i = 0; i < AREA; i++) area[i] = (char)next(seed);
  memset(lines, 'l', 2 * 4096 + 10);
  /* Live descriptors of every kind that can be had. */
  int pair[2];
  if (pipe(pair) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0) {
  }
  epoll_create1(0);
  eventfd(0, EFD_NONBLOCK);
  socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  open("/tmp/f", O_RDWR | O_CREAT | O_NONBLOCK, 0600);
  open("/", O_RDONLY | O_DIRECTORY);
  open(".", O_PATH);
  open("/proc/self", O_RDONLY | O_DIRECTORY);
  memfd_create("m", 0);
  survive();
  keep_awake(5000);
  return places;
}

static void worker(uint64_t seed, struct shown *shown) {
  static struct stream streams[THREADS];
  setpgid(0, 0);
  close_range(3, ~0U, 0);
  char *places = prepare(&seed);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) streams[i] = (struct stream){next(&seed), shown + i, places + 8192 * i};
  for (int i = 1; i < THREADS; i++)
    if (pthread_create(&threads[i], NULL, work, &streams[i])) streams[i].place = NULL;
  work(&streams[0]);
  for (int i = 1; i < THREADS; i++)
    if (streams[i].place) pthread_join(threads[i], NULL);
  _exit(0);
}

/* Where no child can be made: the calls are made here, as far as they let us. Nobody would end one that never returns, so each begins with the timer, which an earlier
 * one may have taken away; nor would anybody go on, so what faults is left behind. */
static void alone(uint64_t seed, long wanted, int out) {
  enum { FAULTS = 1000, FIRST_OF_TIME = 32 };
  static const int DEADLY[] = {SIGSEGV, SIGBUS, SIGILL};
  static struct shown shown;
  static struct stream stream;
  static volatile int faults;
  struct sigaction act = {.sa_handler = broken, .sa_flags = SA_NODEFER};
  stream = (struct stream){seed, &shown, prepare(&seed)};
  by_itself = 1;
  for (int signal = FIRST_OF_TIME; signal <= 64; signal++) ignore(signal);
  if (sigsetjmp(again, 0)) faults++;
  while (shown.made < wanted && faults < FAULTS) {
    for (unsigned i = 0; i < sizeof DEADLY / sizeof *DEADLY; i++) sigaction(DEADLY[i], &act, NULL);
    keep_awake(500);
    call(&stream);
    if (shown.made % 50 && shown.made < wanted) continue;
    survive();
    if (dprintf(out, "calls %ld\n", shown.made) < 0) break;
  }
  act.sa_handler = SIG_DFL;
  for (unsigned i = 0; i < sizeof DEADLY / sizeof *DEADLY; i++) sigaction(DEADLY[i], &act, NULL);
}

/* A worker, as the manager sees it. */
static struct lane {
  pid_t pid;
  struct shown *shown; /* of its threads */
  struct {
    long made, moved_ms;
    int nudges;
  } seen[THREADS];
} lanes[LANES];

static long calls_of(const struct lane *lane) {
  long calls = 0;
  for (int i = 0; i < THREADS; i++) {
    long made = lane->shown[i].made;
    /* Whatever writes anywhere may have written here. */
    calls += made > 0 && made < 100 * SHARE ? made : 0;
  }
  return calls;
}

/* A signal of the process goes to its first thread, so each that stands still gets one of its own: what blocks signals, or waits for somebody, is not helped, and in
 * the end nothing of the worker moves. */
static void urge(struct lane *lane, long now) {
  int moving = 0;
  for (int i = 0; i < THREADS; i++) {
    long made = lane->shown[i].made;
    pid_t tid = lane->shown[i].tid;
    if (made != lane->seen[i].made) {
      lane->seen[i].made = made;
      lane->seen[i].moved_ms = now;
      lane->seen[i].nudges = 0;
    } else if (now - lane->seen[i].moved_ms > NUDGE_MS * (lane->seen[i].nudges + 1)) {
      lane->seen[i].nudges++;
      if (tid > 0) syscall(SYS_tgkill, lane->pid, tid, SIGALRM);
    }
    moving += lane->seen[i].nudges < NUDGES;
  }
  if (moving) return;
  kill(-lane->pid, SIGKILL);
  kill(lane->pid, SIGKILL);
}

/* The calls of workers that have ended. Whoever comes first is waited for, never one alone: a thread that has called PTRACE_TRACEME has us for a tracer, and its
 * process cannot be waited for before it. */
static long reap(void) {
  long calls = 0;
  for (pid_t gone; (gone = waitpid(-1, NULL, WNOHANG)) > 0;)
    for (int i = 0; i < LANES; i++)
      if (lanes[i].pid == gone) {
        calls += calls_of(&lanes[i]);
        lanes[i].pid = 0;
      }
  return calls;
}

/* Ends what workers left. */
static void sweep(void) {
  char name[64], text[4096];
  snprintf(name, sizeof name, "/proc/self/task/%d/children", getpid());
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[n > 0 ? n : 0] = 0;
  char *at = text;
  for (long pid; (pid = strtol(at, &at, 10)) > 1;) {
    int works = 0;
    for (int i = 0; i < LANES; i++) works |= lanes[i].pid == pid;
    if (!works) kill((pid_t)pid, SIGKILL);
  }
}

int main(int argc, char **argv) {
  uint64_t seed = (uint64_t)number(argc, argv, 1, 1);
  long wanted = number(argc, argv, 2, 10000), calls = 0, said = 0, swept = 0;
  struct shown *shown = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shown == MAP_FAILED) die(5, "memory: %s", errname(-1));
  manager = getpid();
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  prctl(PR_SET_DUMPABLE, 0);
  /* Else a worker ends the box soon; it still can, by SIGKILL. */
  for (int signal = 1; signal <= SIGRTMAX; signal++)
    if (signal != SIGCHLD) ignore(signal);
  /* What workers do to our streams is no matter of ours. */
  int out = fcntl(1, F_DUPFD_CLOEXEC, OUT);
  uint64_t workers = 0, most = (uint64_t)wanted / 10 + 64;
  for (int alive = 1; alive || calls < wanted;) {
    long now = clock_ms(CLOCK_MONOTONIC), running = 0;
    calls += reap();
    alive = 0;
    for (int i = 0; i < LANES; i++) {
      struct lane *lane = &lanes[i];
      lane->shown = shown + i * THREADS;
      if (lane->pid == 0 && calls < wanted && workers < most) {
        uint64_t state = seed * 1000003 + workers;
        uint64_t own = next(&state);
        memset(lane->shown, 0, THREADS * sizeof *lane->shown);
        for (int j = 0; j < THREADS; j++) {
          lane->seen[j].made = lane->seen[j].nudges = 0;
          lane->seen[j].moved_ms = now;
        }
        pid_t pid = fork();
        if (pid < 0 && (errno == EPERM || workers == 0)) {
          alone(own, wanted, out);
          goto last;
        }
        /* EAGAIN: what others left is not yet gone. */
        if (pid < 0 && errno != EAGAIN) die(6, "fork: %s", errname(-1));
        if (pid == 0) worker(own, lane->shown);
        workers += pid > 0;
        lane->pid = pid > 0 ? pid : 0;
      }
      if (lane->pid == 0) continue;
      alive = 1;
      running += calls_of(lane);
      if (calls >= wanted) kill(lane->pid, SIGKILL);
      else urge(lane, now);
    }
    if (now - swept >= SWEEP_MS) {
      sweep();
      swept = now;
      if (calls + running > said) dprintf(out, "calls %ld\n", said = calls + running);
    }
    if (!alive && workers >= most) break;
    usleep(1000);
  }
  dprintf(out, "calls %ld\n", calls);
last:
  if (argc > 4) {
    long nr = number(argc, argv, 4, 20), result = -1;
    int narrow = !strcmp(argv[3], "int80");
    /* Said before, since it may be the last word. */
    dprintf(out, "gate %s %ld\n", argv[3], nr);
#if defined(__x86_64__)
    static char place[8 * 1024];
    uint64_t state = seed, args[5];
    area = lines = place;
    for (int i = 0; i < 5; i++) args[i] = argument("fbnpi"[i], &state, place + 1024 * i) & (narrow ? 0xffffffff : ~0UL);
    if (narrow)
      __asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(args[0]), "c"(args[1]), "d"(args[2]), "S"(args[3]), "D"(args[4]) : "memory", "r8", "r9", "r10", "r11");
    else
      result = syscall(0x40000000L | nr, args[0], args[1], args[2], args[3], args[4]);
#endif
    dprintf(out, "result %ld\n", result);
  }
  dprintf(out, "done\n");
  return 0;
}
