/* attackcalls GROUP: system calls that no box needs, each by its own way, a line "WAY RESULT" each. Arguments are such that a kernel that lets
 * them through refuses them for what they are (bad addresses, closed descriptors), so that the control outside a box changes nothing; what would
 * change something is done in a child. Proves S4, S6, S17 to S30: every number, every wide argument. */
#include "guest.h"
#include <sched.h>
#include <sys/prctl.h>
#define CALLS(...) (const struct call[]){__VA_ARGS__, {0}}
#define BAD 1L /* an address at which nothing is */
#define WIDE (1L << 32)
#define HERE (-100L)
static char page[4096];
static char nowhere[] = "/nonexistent-of-an-attack/it";
/* struct mnt_id_req: size, spare, LSMT_ROOT, nothing before. */
static uint64_t all_mounts[3] = {24, ~0ULL, 0};
struct call {
  const char *name;
  long nr, a[6];
};
static const struct group {
  const char *name;
  const struct call *calls;
} groups[] = {
    {"mount", CALLS({"mount", 165, {0, 0, 0, 0, 0}}, {"umount2", 166, {(long)nowhere}}, {"pivot_root", 155, {(long)nowhere, (long)nowhere}},
                    {"chroot", 161, {(long)nowhere}}, {"fsopen", 430, {(long)nowhere}}, {"fsconfig", 431, {-1, 99}}, {"fsmount", 432, {-1}},
                    {"fspick", 433, {HERE, (long)nowhere, 0}}, {"move_mount", 429, {-1, (long)"", -1, (long)"", 0xffffffff}},
                    {"mount_setattr", 442, {-1, (long)"", 0xffffffff, (long)page, 32}}, {"open_tree", 428, {HERE, (long)nowhere, 0}},
                    {"open_tree_attr", 467, {HERE, (long)nowhere, 0, (long)page, 32}}, {"statmount", 457, {BAD, (long)page, 64, 0}},
                    {"listmount", 458, {BAD, (long)page, 4, 0}})},
    {"lists", CALLS({"open_tree_root", 428, {HERE, (long)"/", 0}}, {"open_tree_path", 428, {HERE, (long)"/usr", 0x80000}},
                    {"listmount_all", 458, {(long)all_mounts, (long)page, 64, 0}})},
    {"uring", CALLS({"io_uring_setup", 425, {4, BAD}}, {"io_uring_enter", 426, {-1, 1}}, {"io_uring_register", 427, {-1, 0}})},
    {"keys", CALLS({"add_key", 248, {BAD, BAD, 0, 0, -2}}, {"request_key", 249, {BAD, BAD}}, {"keyctl", 250, {0, -3, 0}},
                   {"keyctl_join", 250, {1, BAD}}, {"keyctl_to_parent", 250, {9999}}, {"keyctl_wide", 250, {0 | WIDE, -3, 0}})},
    {"userfaultfd", CALLS({"userfaultfd", 323, {0xffff0000}}, {"userfaultfd_user_mode", 323, {1}})},
    {"machine",
     CALLS({"bpf", 321, {9999, BAD, 8}}, {"perf_event_open", 298, {BAD, 0, -1, -1, 0}}, {"kexec_load", 246, {0, 0x7fffffff, 0, 0}},
           {"kexec_file_load", 320, {-1, -1, 0, 0, -1}}, {"init_module", 175, {BAD, 0, BAD}}, {"finit_module", 313, {-1, BAD, 0}},
           {"delete_module", 176, {BAD, 0}}, {"open_by_handle_at", 304, {HERE, BAD, 0}}, {"name_to_handle_at", 303, {HERE, BAD, BAD, BAD, 0}},
           {"fanotify_init", 300, {0xffffffff, 0}}, {"fanotify_mark", 301, {-1, 0, 0, 0, 0}}, {"syslog", 103, {3, 0, 0}},
           {"swapon", 167, {BAD, 0}}, {"swapoff", 168, {BAD}}, {"acct", 163, {(long)nowhere}}, {"reboot", 169, {0, 0, 0, 0}},
           {"iopl", 172, {99}}, {"ioperm", 173, {-1, 1, 1}}, {"modify_ldt", 154, {0, (long)page, 16}}, {"settimeofday", 164, {BAD, 0}},
           {"clock_settime", 227, {1, (long)page}}, {"adjtimex", 159, {BAD}}, {"clock_adjtime", 305, {99, (long)page}},
           {"quotactl", 179, {0xffffffff, 0, 0, 0}}, {"quotactl_fd", 443, {-1, 0xffffffff, 0, 0}}, {"sethostname", 170, {BAD, -1}},
           {"setdomainname", 171, {BAD, -1}}, {"migrate_pages", 256, {0, 0, BAD, BAD}}, {"move_pages", 279, {0, 1, BAD, BAD, BAD, 0}},
           {"lsm_get_self_attr", 459, {0, BAD, BAD, 0}}, {"lsm_set_self_attr", 460, {0, BAD, 0, 0}}, {"lsm_list_modules", 461, {BAD, BAD, 0}},
           {"memfd_secret", 447, {0xff00}}, {"uselib", 134, {(long)nowhere}}, {"sysfs", 139, {3}}, {"ustat", 136, {0, BAD}},
           {"_sysctl", 156, {BAD}}, {"lookup_dcookie", 212, {0, BAD, 0}}, {"nfsservctl", 180, {0}}, {"vserver", 236, {0}})},
    {"ptrace", CALLS({"traceme", 101, {0, 0, 0, 0}}, {"process_vm_readv", 310, {1, BAD, 1, BAD, 1, 0}},
                     {"process_vm_writev", 311, {1, BAD, 1, BAD, 1, 0}}, {"pidfd_getfd", 438, {-1, 0, 0}}, {"kcmp", 312, {1, 1, 0, 0, 0}},
                     {"process_madvise", 440, {-1, BAD, 1, 4, 0}}, {"process_mrelease", 448, {-1, 0}}, {"kcmp_wide", 312, {1 | WIDE, 1, 0}})},
    {"personality", CALLS({"read_implies_exec", 135, {0x0400000}}, {"mmap_page_zero", 135, {0x0100000}}, {"addr_compat_layout", 135, {0x0200000}},
                          {"read_implies_exec_wide", 135, {0x0400000 | WIDE}}, {"sticky_timeouts", 135, {0x4000000}})},
    {"prctl", CALLS({"set_mm", 157, {35, 9999}}, {"set_securebits", 157, {28, 0}}, {"syscall_user_dispatch", 157, {59, 9999}},
                    {"set_io_flusher", 157, {57, 9}}, {"undumpable", 157, {4, 0}}, {"ptracer_any", 157, {0x59616d61, -1}},
                    {"undumpable_wide", 157, {4 | WIDE, 0}}, {"set_mm_wide", 157, {35 | WIDE, 9999}})},
    /* What the kernel looks at is the low half of each of these arguments. */
    {"wide", CALLS({"vsock", 41, {40, 1, 0}}, {"vsock_wide", 41, {40 | WIDE, 1, 0}}, {"raw_wide", 41, {2, 3 | WIDE, 1}},
                   {"mptcp_wide", 41, {2, 1, 262 | WIDE}}, {"pair_of_inet_wide", 53, {2 | WIDE, 1, 0, (long)page}},
                   {"tiocsti_wide", 16, {0, 0x5412 | WIDE, BAD}}, {"tioclinux_wide", 16, {0, 0x541c | WIDE, BAD}},
                   {"tiocsetd_wide", 16, {0, 0x5423 | WIDE, BAD}}, {"fiosetown_wide", 16, {0, 0x8901 | WIDE, BAD}},
                   {"siocspgrp_wide", 16, {0, 0x8902 | WIDE, BAD}}, {"f_setown_wide", 72, {0, 8 | WIDE, 0}},
                   {"f_setsig_wide", 72, {0, 10 | WIDE, 0}}, {"f_setown_ex_wide", 72, {0, 15 | WIDE, BAD}},
                   {"chmod_wide", 90, {(long)nowhere, 04755 | WIDE}}, {"fchmodat_wide", 268, {HERE, (long)nowhere, 04755 | WIDE}},
                   {"mknod_wide", 133, {(long)nowhere, 020600 | WIDE, 0x103}}, {"mknodat_wide", 259, {HERE | WIDE, (long)nowhere, 060600 | WIDE, 0}},
                   {"creat_wide", 85, {(long)nowhere, 04755 | WIDE}}, {"open_wide", 2, {(long)nowhere, 0101 | WIDE, 04755 | WIDE}},
                   {"openat_wide", 257, {HERE, (long)nowhere, 0101 | WIDE, 02755 | WIDE}},
                   {"setns_wide", 308, {-1 | WIDE, 0x40000000 | WIDE}}, {"prctl_wide", 157, {35 | WIDE, 9999}})},
    /* AF_… of sockets beside unix, the internet's and netlink, and their rarer kinds. */
    {"families", CALLS({"ax25", 41, {3, 5, 0}}, {"ipx", 41, {4, 2, 0}}, {"x25", 41, {9, 5, 0}}, {"key", 41, {15, 3, 2}}, {"packet", 41, {17, 3, 0}},
                       {"packet_datagram", 41, {17, 2, 0}}, {"rds", 41, {21, 5, 0}}, {"llc", 41, {26, 1, 0}}, {"can", 41, {29, 3, 1}},
                       {"tipc", 41, {30, 1, 0}}, {"bluetooth", 41, {31, 3, 1}}, {"rxrpc", 41, {33, 2, 2}}, {"isdn", 41, {34, 3, 0}},
                       {"alg", 41, {38, 5, 0}}, {"nfc", 41, {39, 5, 1}}, {"vsock", 41, {40, 1, 0}}, {"kcm", 41, {41, 2, 0}},
                       {"qipcrtr", 41, {42, 2, 0}}, {"smc", 41, {43, 1, 0}}, {"xdp", 41, {44, 3, 0}}, {"mctp", 41, {45, 2, 0}},
                       {"audit", 41, {16, 3, 9}}, {"netfilter", 41, {16, 3, 12}}, {"uevent", 41, {16, 3, 15}}, {"generic", 41, {16, 3, 16}},
                       {"xfrm", 41, {16, 3, 6}}, {"crypto", 41, {16, 3, 21}}, {"sock_diag", 41, {16, 3, 4}}, {"raw", 41, {2, 3, 1}},
                       {"sctp", 41, {2, 1, 132}}, {"sctp_many", 41, {2, 5, 132}}, {"dccp", 41, {2, 6, 33}}, {"udplite", 41, {2, 2, 136}},
                       {"mptcp", 41, {10, 1, 262}}, {"smc_over_tcp", 41, {2, 1, 256}}, {"packet_of_inet", 41, {2, 10, 0}},
                       {"pair_of_vsock", 53, {40, 1, 0, (long)page}}, {"pair_of_tipc", 53, {30, 1, 0, (long)page}},
                       {"pair_of_inet", 53, {2, 1, 0, (long)page}})},
    {"ioctl", CALLS({"tiocsti", 16, {0, 0x5412, BAD}}, {"tioclinux", 16, {0, 0x541c, BAD}}, {"tioccons", 16, {0, 0x541d, 0}},
                    {"tiocsetd", 16, {0, 0x5423, BAD}}, {"fiosetown", 16, {0, 0x8901, BAD}}, {"siocspgrp", 16, {0, 0x8902, BAD}},
                    {"userfaultfd_new", 16, {0, 0xaa00, 0}})},
    {"owner", CALLS({"f_setown", 72, {0, 8, 0}}, {"f_setown_ex", 72, {0, 15, BAD}}, {"f_setsig", 72, {0, 10, 0}})},
    {"lease", CALLS({"f_setlease", 72, {0, 1024, 0}}, {"f_setlease_wide", 72, {0, 1024 | WIDE, 0}})},
    {"namespaces",
     CALLS({"unshare_mount", 272, {CLONE_NEWNS}}, {"unshare_cgroup", 272, {CLONE_NEWCGROUP}}, {"unshare_uts", 272, {CLONE_NEWUTS}},
           {"unshare_ipc", 272, {CLONE_NEWIPC}}, {"unshare_user", 272, {CLONE_NEWUSER}}, {"unshare_pid", 272, {CLONE_NEWPID}},
           {"unshare_net", 272, {CLONE_NEWNET}}, {"unshare_time", 272, {0x80}},
           {"unshare_mount_with_files", 272, {CLONE_NEWNS | CLONE_FILES}},
           {"clone_uts", 56, {CLONE_NEWUTS | SIGCHLD}}, {"clone_ipc", 56, {CLONE_NEWIPC | SIGCHLD}}, {"clone_cgroup", 56, {CLONE_NEWCGROUP | SIGCHLD}},
           {"clone_mount", 56, {CLONE_NEWNS | SIGCHLD}},
           {"clone_user", 56, {CLONE_NEWUSER | SIGCHLD}}, {"clone_user_wide", 56, {CLONE_NEWUSER | SIGCHLD | WIDE}},
           {"clone_pid", 56, {CLONE_NEWPID | SIGCHLD}}, {"clone_net", 56, {CLONE_NEWNET | SIGCHLD}}, {"setns", 308, {-1, 0}},
           {"setns_kind", 308, {-1, CLONE_NEWNET}})},
};
static long make(const struct call *c) { return syscall(c->nr, c->a[0], c->a[1], c->a[2], c->a[3], c->a[4], c->a[5]); }
int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    unsigned g = 0;
    while (g < sizeof groups / sizeof *groups && strcmp(groups[g].name, argv[i])) g++;
    if (g == sizeof groups / sizeof *groups) die(2, "attackcalls: no group %s", argv[i]);
    for (const struct call *c = groups[g].calls; c->name; c++) {
      fflush(stdout);
      pid_t me = getpid(), pid = fork();
      if (pid < 0) { /* one process is all that this box may have */
        way(c->name, make(c));
        continue;
      }
      if (pid == 0) {
        pid_t it = getpid();
        long result = make(c);
        int error = errno;
        /* A clone that worked returns twice. */
        if (result == 0 && c->nr == 56 && getpid() != it && getpid() != me) _exit(0);
        errno = error;
        way(c->name, result);
        _exit(0);
      }
      waitpid(pid, NULL, 0);
    }
  }
  return 0;
}
