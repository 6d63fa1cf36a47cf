// ptracediff FROM COUNT [NOISE]: random small ptrace programs, each by its seed; what each call and each stop was goes to standard output, without
// anything that differs from run to run. One tracee runs at a time, so that the order is the program's own. With NOISE each has more time, and unless it is 0
// the tracer waits now and then for a moment, by this seed, so that what it leaves to time comes out in more than one way.
#include "guest.h"

#include <elf.h>
#include <errno.h>
#include <linux/ptrace.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQ(r, pid, a, d) (pause_a_moment(), syscall(SYS_ptrace, (long)(r), (long)(pid), (long)(a), (long)(d)))

static uint64_t state, noise;
// Out of 8 requests of the tracer so many come later than they might, by up to so many microseconds.
static unsigned noisy, delay;
// Whoever is held up is one that is played again, maybe on a busy machine.
static unsigned seconds = 2;

static unsigned noise_below(unsigned n) {
    noise = noise * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(noise >> 33) % n;
}

static void pause_a_moment(void) {
    if (noisy > noise_below(8))
        usleep(1 + noise_below(delay));
}

static void be_noisy(uint64_t seed) {
    static const unsigned delays[] = {500, 2000, 8000};
    noise = seed * 0x9e3779b97f4a7c15u + 1;
    noisy = 1u << noise_below(4);
    delay = delays[noise_below(3)];
}

static unsigned rnd(unsigned n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % n;
}

static const char *self;

// Every task that a tracee makes. What is not traced runs whenever it likes, and what it does to others (SIGCHLD, the end of a process) would come out
// in one way or the other: so the tracer waits for its end before it goes on. Its number is here before the call that makes it has returned.
#define SHARED_FD 77
#define MADE 128
static struct made {
    volatile pid_t pid;
    // A thread; traced by its parent, who leaves it where it is.
    volatile char thread, held;
    // A thread that does nothing more than end, beside whoever has waited for it.
    volatile char leaving;
    // The tracer has it, and has been told of its end.
    volatile char traced, told;
    // The tracer has seen its end.
    char over;
} *made, *mine;
static volatile int *nmade;
// What a thread's maker does while that thread ends, and whether the thread's end is told before, is left to time. In every eighth program; else the maker
// waits, as one tracee runs at a time.
static volatile int *loose;

static void share(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
    if (page == MAP_FAILED)
        _exit(99);
    nmade = page;
    loose = nmade + 1;
    made = (struct made *)((char *)page + 64);
}

static struct made *new_made(int thread) {
    int at = __atomic_fetch_add(nmade, 1, __ATOMIC_SEQ_CST);
    struct made *new = &made[at < MADE ? at : MADE - 1];
    new->thread = (char)thread;
    return new;
}

// ---------------------------------------------------------------- the tracee

static volatile sig_atomic_t handled[65];

static void handler(int sig) { handled[sig]++; }

static void ops(unsigned count, int depth, int thread);

struct job {
    struct made *made;
    unsigned count;
    int depth;
    // Until it has ended. Its own: the kernel clears it at its end, when there can be another thread to wait for.
    volatile int busy;
};

static int child_main(void *arg) {
    struct job *job = arg;
    ops(job->count, job->depth, 1);
    job->made->leaving = 1;
    if (*loose)
        job->busy = 0;
    syscall(SYS_exit, 3);
    return 0;
}

static void clone_thread(int depth) {
    static char stacks[8][65536] __attribute__((aligned(64)));
    static struct job jobs[8];
    static int used;
    if (used == 8)
        return;
    struct job *job = &jobs[used];
    job->count = rnd(3);
    job->depth = depth + 1;
    job->made = new_made(1);
    job->busy = 1;
    char *top = stacks[used++] + 65536 - 64;
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    if (rnd(15) == 0)
        flags |= CLONE_PTRACE;
    if (rnd(5) == 0)
        flags |= CLONE_UNTRACED;
    // Also when it is killed.
    flags |= CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    if (clone(child_main, top, flags, job, &job->made->pid, NULL, &job->busy) < 0)
        job->busy = 0;
    while (job->busy || (!*loose && job->made->traced && !job->made->told))
        ;
}

static int vfork_main(void *arg) {
    (void)arg;
    syscall(SYS_getppid);
    _exit(6);
}

static void vfork_child(void) {
    static char stack[16384] __attribute__((aligned(64)));
    pid_t pid = clone(vfork_main, stack + sizeof stack - 64, CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | SIGCHLD, NULL, &new_made(0)->pid);
    int status = 0;
    waitpid(pid, &status, 0);
}

static pid_t fork_child(void) {
    struct made *new = new_made(0);
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT_SETTID | SIGCHLD, 0, &new->pid, 0, 0);
    if (pid == 0)
        mine = new;
    return pid;
}

static void ops(unsigned count, int depth, int thread) {
    for (unsigned i = 0; i < count; i++) {
        sigset_t set;
        switch (rnd(16)) {
        case 0:
        case 1:
            syscall(SYS_getppid);
            break;
        case 2:
            syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
            break;
        case 3:
            syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR2);
            break;
        case 4:
            syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGWINCH);
            break;
        case 5:
            sigemptyset(&set);
            sigaddset(&set, SIGUSR1);
            sigaddset(&set, SIGTRAP);
            sigprocmask(rnd(2) ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
            break;
        case 6:
            if (depth < 2) {
                unsigned n = rnd(3);
                uint64_t kept = state;
                pid_t pid = fork_child();
                if (pid == 0) {
                    ops(n, depth + 1, 0);
                    _exit(5 + (int)n);
                }
                state = kept;
                // The child has its share of the numbers.
                rnd(2);
                int status = 0;
                waitpid(pid, &status, __WALL);
            }
            break;
        case 7:
            if (depth < 2) {
                vfork_child();
            }
            break;
        case 8:
        case 9:
            if (depth < 2 && !thread)
                clone_thread(depth);
            break;
        case 10:
            if (rnd(3) == 0) {
                char seed[32];
                snprintf(seed, sizeof seed, "%llu", (unsigned long long)state);
                // A thread's exec ends the others.
                execl(self, self, "resume", seed, rnd(2) ? "1" : "2", (char *)NULL);
            }
            break;
        case 11:
            // Whoever is not traced would stand still for ever.
            if (rnd(3) == 0 && depth == 0 && !thread)
                syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGSTOP);
            break;
        case 12:
            if (rnd(4) == 0)
                syscall(SYS_exit_group, 7);
            break;
        case 13:
            if (rnd(8) == 0)
                syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), rnd(2) ? SIGKILL : SIGTERM);
            break;
        case 14:
            poll(NULL, 0, 1);
            break;
        default:
            if (!thread && syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) == 0 && mine != NULL)
                mine->held = 1;
        }
    }
}

static void prepare(void) {
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
    signal(SIGUSR2, SIG_IGN);
    // When the end of an untraced child is told is nobody's choice.
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

// ---------------------------------------------------------------- the tracer

#define MOST 32
static struct tracee {
    pid_t pid;
    int seized, alive, stopped, status, over;
} tracees[MOST];
static int ntracees;
static pid_t names[128];
static int nnames;

static int name(pid_t pid) {
    if (pid <= 0)
        return pid;
    for (int i = 0; i < nnames; i++)
        if (names[i] == pid)
            return i + 1;
    if (nnames < 128)
        names[nnames++] = pid;
    return nnames;
}

static struct made *made_of(pid_t pid) {
    for (int i = 0; i < *nmade && i < MADE; i++)
        if (made[i].pid == pid)
            return &made[i];
    return NULL;
}

static struct tracee *of(pid_t pid) {
    for (int i = 0; i < ntracees; i++)
        if (tracees[i].pid == pid)
            return &tracees[i];
    if (ntracees == MOST) {
        puts("full");
        fflush(stdout);
        _exit(0);
    }
    struct tracee *t = &tracees[ntracees++];
    memset(t, 0, sizeof *t);
    t->pid = pid;
    t->alive = 1;
    struct made *task = made_of(pid);
    if (task != NULL)
        task->traced = 1;
    return t;
}

// What proc_pid_status(5) says of a task in a line, from its first character on; 0 for nothing.
static int line_of(pid_t pid, const char *key, char *into, size_t size) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    int found = 0;
    while (!found && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, strlen(key)) == 0) {
            snprintf(into, size, "%s", line + strlen(key) + 1);
            found = 1;
        }
    fclose(file);
    return found;
}

static int is_over(const struct made *task) {
    char text[64];
    if (!line_of(task->pid, "State:", text, sizeof text))
        return 1;
    if (task->thread || text[0] != 'Z')
        return 0;
    // A moment after its end its parent is told. All of them have SIGCHLD blocked, and nobody takes it.
    if (!line_of(task->pid, "PPid:", text, sizeof text))
        return 1;
    pid_t parent = atoi(text);
    if (parent == getpid() || !line_of(parent, "ShdPnd:", text, sizeof text))
        return 1;
    return (strtoull(text, NULL, 16) >> (SIGCHLD - 1) & 1) != 0;
}

static int state_of(pid_t pid) {
    char text[64];
    return line_of(pid, "State:", text, sizeof text) ? text[0] : 'X';
}

// Until a tracee has something to tell.
static void settle_tracee(pid_t pid) {
    siginfo_t info;
    for (int turn = 0; turn < 300; turn++) {
        memset(&info, 0, sizeof info);
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOWAIT | WNOHANG | __WALL) != 0 || info.si_pid != 0)
            return;
        usleep(1000);
    }
}

// Until everything that nobody traces has come to its end, and what runs beside the tracee that stops to its next stop or end.
static void settle(void) {
    for (int i = 0; i < *nmade && i < MADE; i++) {
        struct made *task = &made[i];
        struct tracee *traced = NULL;
        for (int at = 0; at < ntracees; at++)
            if (tracees[at].pid == task->pid)
                traced = &tracees[at];
        if (traced != NULL && traced->alive && !traced->stopped && task->leaving) {
            settle_tracee(task->pid);
            task->leaving = 0;
        }
        if (task->pid == 0 || task->over || traced != NULL)
            continue;
        // What waits for one that is held here will not end, and be it an exec that waits for another thread.
        for (int turn = 0; turn < 300 && !task->held && !is_over(task); turn++)
            usleep(1000);
        task->over = 1;
    }
    // They may have ended others.
    for (int at = 0; at < ntracees; at++)
        if (tracees[at].alive && tracees[at].stopped && !tracees[at].over && state_of(tracees[at].pid) == 'Z') {
            settle_tracee(tracees[at].pid);
            tracees[at].over = 1;
        }
}

// Several run: what the next wait finds is in the order of the kernel's lists, not of time.
static void settle_several(pid_t who) {
    int running = 0;
    siginfo_t info;
    for (int at = 0; at < ntracees; at++)
        running += tracees[at].alive && !tracees[at].stopped;
    pause_a_moment();
    if (running < 2)
        return;
    while (waitid(who == -1 ? P_ALL : P_PID, who == -1 ? 0 : (id_t)who, &info, WEXITED | WSTOPPED | WNOWAIT | __WALL) < 0 && errno == EINTR)
        ;
    settle();
}

static struct {
    int code, status, pid;
} news[256];
static volatile int nnews;

static void chld(int sig, siginfo_t *info, void *context) {
    (void)sig;
    (void)context;
    if (nnews < 256) {
        news[nnews].code = info->si_code;
        news[nnews].status = info->si_status;
        news[nnews].pid = info->si_pid;
        nnews++;
    }
}

static int several, together, polled;

static void tell_news(void) {
    // After SIGKILL several threads end at once, and SIGCHLD does not queue.
    if (several || together)
        nnews = 0;
    // SIGCHLD does not queue. What comes with the end of a group-stop may or may not be lost.
    for (int i = 0; i < nnews; i++)
        if (news[i].code == CLD_CONTINUED) {
            news[0] = news[i];
            nnews = 1;
        }
    // Of a process with threads it is told more than once, in the order of their ends.
    int ends = 0;
    for (int i = 0; i < nnews; i++)
        if (news[i].code >= CLD_EXITED && news[i].code <= CLD_DUMPED)
            ends++;
    if (ends > 0)
        puts("  SIGCHLD end");
    for (int i = 0; i < nnews; i++) {
        // Whoever polls can have taken the state of a stop before SIGCHLD is made of it: ptrace_stop().
        if (polled && news[i].code == CLD_TRAPPED)
            news[i].status = 0;
        if (news[i].code > CLD_DUMPED)
            printf("  SIGCHLD code %d status %d of %d\n", news[i].code, news[i].status, name(news[i].pid));
    }
    nnews = 0;
}

static void late(int sig) {
    (void)sig;
    static const char text[] = "TIMEOUT\n";
    fflush(stdout);
    if (write(1, text, sizeof text - 1) < 0)
        _exit(1);
    kill(0, SIGKILL);
}

static const char *error(long result) {
    static char text[32];
    if (result >= 0)
        snprintf(text, sizeof text, "%ld", result);
    else
        snprintf(text, sizeof text, "E%d", errno);
    return text;
}

static void look(struct tracee *t, unsigned which) {
    struct user_regs_struct regs;
    siginfo_t info;
    unsigned long message = 0;
    uint64_t mask = 0;
    long r;
    memset(&info, 0, sizeof info);
    switch (which) {
    case 0:
        r = REQ(PTRACE_GETREGS, t->pid, 0, &regs);
        if (r == 0) {
            // Numbers of tasks are no results to compare.
            int id = regs.orig_rax == SYS_getpid || regs.orig_rax == SYS_gettid || regs.orig_rax == SYS_getppid;
            int makes = regs.orig_rax == SYS_clone || regs.orig_rax == SYS_vfork || regs.orig_rax == SYS_fork || regs.orig_rax == SYS_wait4;
            long rax = (long)regs.rax;
            if ((id || makes) && rax > 0)
                rax = name((pid_t)rax);
            // Nor are addresses.
            if (rax > 4096 || rax < -4096)
                rax = 4096;
            int call = (int)regs.orig_rax;
            printf("  regs orig_rax %d rax %ld\n", call, call < 0 ? 0 : rax);
        } else
            printf("  regs %s\n", error(r));
        break;
    case 1:
        r = REQ(PTRACE_GETSIGINFO, t->pid, 0, &info);
        printf("  siginfo %s", error(r));
        if (r == 0)
            printf(" signo %d errno %d code %d pid %d", info.si_signo, info.si_errno, info.si_code,
                   info.si_signo != SIGCHLD && info.si_code > 0 && info.si_code < 128 ? 0 : name(info.si_pid));
        puts("");
        break;
    case 2:
        r = REQ(PTRACE_GETEVENTMSG, t->pid, 0, &message);
        int event = t->status >> 16;
        printf("  message %s %ld\n", error(r), event >= 1 && event <= 5 ? name((pid_t)message) : (long)message);
        break;
    case 3: {
        struct __ptrace_syscall_info_copy {
            uint8_t op, pad[3];
            uint32_t arch;
            uint64_t ip, sp, words[8];
        } s;
        memset(&s, 0, sizeof s);
        r = REQ(0x420e, t->pid, rnd(4) ? sizeof s : rnd(sizeof s), &s);
        printf("  syscall_info %s op %d", error(r), s.op);
        if (s.op == 1 || s.op == 3)
            printf(" nr %lld", (long long)s.words[0]);
        puts("");
        break;
    }
    case 4:
        r = REQ(PTRACE_GETSIGMASK, t->pid, rnd(6) ? 8 : 4, &mask);
        // Who returns from a signal that it was not in takes an address from its stack for a mask, and that is another in every run.
        if (mask >> 46 == 1)
            mask = 0;
        printf("  sigmask %s %llx\n", error(r), (unsigned long long)mask);
        break;
    case 5: {
        struct {
            uint64_t off;
            uint32_t flags;
            int32_t nr;
        } args = {rnd(2), rnd(3), (int32_t)rnd(3) - (rnd(8) == 0)};
        siginfo_t many[4];
        r = REQ(PTRACE_PEEKSIGINFO, t->pid, &args, many);
        printf("  peeksiginfo %u %u %d %s", (unsigned)args.off, args.flags, args.nr, error(r));
        for (long i = 0; i < r; i++)
            printf(" signo %d code %d", many[i].si_signo, many[i].si_code);
        puts("");
        break;
    }
    case 6: {
        struct iovec iov = {&regs, rnd(3) ? sizeof regs : rnd(sizeof regs)};
        size_t asked = iov.iov_len;
        r = REQ(PTRACE_GETREGSET, t->pid, rnd(5) ? NT_PRSTATUS : 77, &iov);
        printf("  regset %zu %s %zu\n", asked, error(r), iov.iov_len);
        break;
    }
    case 7: {
        long word = 0;
        unsigned long at = rnd(3) ? 8 * rnd(27) : rnd(1200);
        r = REQ(PTRACE_PEEKUSR, t->pid, at, &word);
        printf("  peekuser %lu %s\n", at, error(r));
        break;
    }
    case 8: {
        long word = 0;
        unsigned long at = rnd(2) ? (unsigned long)&handled : 8;
        r = REQ(PTRACE_PEEKDATA, t->pid, at, &word);
        printf("  peek %d %s\n", at == 8, error(r));
        if (rnd(2)) {
            r = REQ(PTRACE_POKEDATA, t->pid, at, word);
            printf("  poke %s\n", error(r));
        }
        break;
    }
    case 9: {
        static const long strange[] = {10, 11, 18, 19, 20, 22, 23, 27, 34, 77, 0x4213, 0x42ff, -1};
        long request = strange[rnd(13)];
        r = REQ(request, t->pid, 0, 0);
        printf("  request %ld %s\n", request, error(r));
        break;
    }
    case 10: {
        unsigned at = rnd(4) ? 8 : 16;
        mask = 1ul << (SIGCHLD - 1);
        r = REQ(PTRACE_SETSIGMASK, t->pid, at, &mask);
        printf("  setsigmask %u %s\n", at, error(r));
        break;
    }
    case 11:
        r = REQ(PTRACE_GETREGS, t->pid, 0, rnd(2) ? (void *)8 : &regs);
        printf("  regs again %s\n", error(r));
        break;
    case 12:
        r = REQ(rnd(2) ? 0x420c : 0x420d, t->pid, rnd(2) ? 16 : 0, &regs);
        printf("  filter %s\n", r < 0 ? "refused" : "told");
        break;
    case 13: {
        struct {
            uint64_t words[8];
        } conf;
        unsigned size = rnd(2) ? 24 : 32;
        r = REQ(rnd(2) ? 0x420f : 0x4211, t->pid, size, &conf);
        printf("  conf %u %s\n", size, error(r));
        break;
    }
    default: {
        unsigned long offset = offsetof(struct user, u_debugreg) + 8 * rnd(8);
        unsigned long value = rnd(2) ? 0 : 0x400;
        r = REQ(PTRACE_POKEUSR, t->pid, offset, value);
        printf("  debugreg %lu %s\n", offset, error(r));
    }
    }
}

static void set_options(struct tracee *t) {
    unsigned options = 0;
    for (int bit = 0; bit < 8; bit++)
        if (rnd(2))
            options |= 1u << bit;
    if (rnd(3) == 0)
        options |= PTRACE_O_EXITKILL;
    if (rnd(12) == 0)
        options |= 1u << (8 + rnd(13));
    long r = REQ(PTRACE_SETOPTIONS, t->pid, 0, options);
    printf("  options %x %s\n", options, error(r));
}

// Whether a thread that its maker may be waiting for runs, other than this one.
static int thread_runs(pid_t but) {
    for (int at = 0; at < ntracees; at++)
        if (tracees[at].alive && !tracees[at].stopped && tracees[at].pid != but) {
            struct made *task = made_of(tracees[at].pid);
            if (task != NULL && task->thread)
                return 1;
        }
    return 0;
}

static char said[256];

// Waits for whatever comes, in one of the ways in which that can be done.
static pid_t wait_any(pid_t of_pid, int *status) {
    struct rusage usage;
    siginfo_t info;
    pid_t who = rnd(2) || (!*loose && thread_runs(of_pid)) ? -1 : of_pid;
    memset(&info, 0, sizeof info);
    unsigned how = rnd(5);
    polled = how == 0;
    settle_several(who);
    switch (how) {
    case 0: {
        pid_t pid;
        while ((pid = waitpid(who, status, __WALL | WNOHANG)) == 0)
            sched_yield();
        // The signal comes a moment after the state that a poll can see.
        usleep(3000);
        return pid;
    }
    case 1: {
        int r;
        int options = WEXITED | WSTOPPED | __WALL;
        if (rnd(2)) {
            r = waitid(who == -1 ? P_ALL : P_PID, who == -1 ? 0 : (id_t)who, &info, options | WNOWAIT);
            snprintf(said, sizeof said, "  waitid %d code %d status %x uid %d\n", r, info.si_code, info.si_status, (int)info.si_uid);
        }
        do
            r = waitid(who == -1 ? P_ALL : P_PID, who == -1 ? 0 : (id_t)who, &info, options);
        while (r < 0 && errno == EINTR);
        if (r < 0)
            return -1;
        snprintf(said + strlen(said), sizeof said - strlen(said), "  waitid code %d status %x\n", info.si_code, info.si_status);
        *status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED ? info.si_status << 8 | 0x7f : info.si_status;
        return info.si_pid;
    }
    case 2: {
        memset(&usage, 0xff, sizeof usage);
        pid_t pid = wait4(who, status, __WALL, &usage);
        snprintf(said, sizeof said, "  rusage %d\n", usage.ru_maxrss != -1);
        return pid;
    }
    default:
        return waitpid(who, status, __WALL | (rnd(2) ? WUNTRACED : 0));
    }
}

// The tracee that goes on: the newest, so that a parent that waits for its child finds it gone.
static struct tracee *newest(void) {
    for (int i = ntracees - 1; i >= 0; i--)
        if (tracees[i].alive && tracees[i].stopped)
            return &tracees[i];
    return NULL;
}

static void note(pid_t pid, int status) {
    struct tracee *t = of(pid);
    printf("%d: %x\n", name(pid), status);
    int event = status >> 16;
    // A new tracee is not known yet.
    if (WIFSTOPPED(status) && (event < PTRACE_EVENT_FORK || event > PTRACE_EVENT_CLONE))
        settle();
    if (WIFSTOPPED(status) && event >= PTRACE_EVENT_FORK && event <= PTRACE_EVENT_CLONE) {
        // Two stops at once, of which one may be told.
        usleep(3000);
        nnews = 0;
    }
    // So it is where one ends while others run, which may be about to end with it: of two that come at once one is told.
    int others = 0;
    for (int at = 0; at < ntracees; at++)
        others += tracees[at].pid != pid && tracees[at].alive && !tracees[at].stopped;
    if (others > 0 && (!WIFSTOPPED(status) || event == PTRACE_EVENT_EXIT))
        together = 1;
    tell_news();
    if (others == 0)
        together = 0;
    t->status = status;
    if (WIFSTOPPED(status)) {
        t->stopped = 1;
        t->alive = 1;
    } else {
        t->alive = t->stopped = 0;
        struct made *task = made_of(pid);
        if (task != NULL)
            task->told = 1;
    }
}

static int waits_for(pid_t pid) {
    int status = 0;
    errno = 0;
    said[0] = 0;
    pid_t got = wait_any(pid, &status);
    int known = got < 0;
    for (int i = 0; i < ntracees; i++)
        known |= tracees[i].pid == got;
    if (!known) {
        // A new one, which has stopped before the event of its maker was told. The event first.
        int event = 0;
        pid_t maker = 0;
        for (int turn = 0; turn < 20 && maker == 0; turn++) {
            usleep(1000);
            maker = waitpid(pid, &event, __WALL | WNOHANG);
        }
        int seized = pid > 0 && of(pid)->seized;
        of(got);
        if (maker > 0)
            note(maker, event);
        of(got)->seized = seized;
        note(got, status);
        return 1;
    }
    fputs(said, stdout);
    if (got < 0) {
        printf("wait: E%d\n", errno);
        tell_news();
        return 0;
    }
    note(got, status);
    int event = status >> 16;
    if (WIFSTOPPED(status) && event >= PTRACE_EVENT_FORK && event <= PTRACE_EVENT_CLONE) {
        unsigned long child = 0;
        REQ(PTRACE_GETEVENTMSG, got, 0, &child);
        // Its first stop, before anything else goes on.
        int first = 0;
        pid_t next = waitpid((pid_t)child, &first, __WALL);
        if (next > 0) {
            of(next)->seized = of(got)->seized;
            usleep(3000);
            nnews = 0;
            note(next, first);
        } else
            printf("child: E%d\n", errno);
    }
    return 1;
}

static int go_on(struct tracee *t) {
    static const long requests[] = {PTRACE_CONT, PTRACE_CONT, PTRACE_SYSCALL, PTRACE_SYSCALL, PTRACE_SYSCALL, PTRACE_SINGLESTEP, 31, 32, PTRACE_SINGLEBLOCK};
    long request = requests[rnd(9)];
    int event = t->status >> 16, signal = WSTOPSIG(t->status) & 0x7f, data = 0;
    int delivery = event == 0 && signal != SIGTRAP && WSTOPSIG(t->status) < 0x80;
    switch (rnd(8)) {
    case 0:
        data = SIGUSR1;
        break;
    case 1:
        data = SIGWINCH;
        break;
    case 2:
        data = 65 + (int)rnd(100);
        break;
    case 3:
        data = 0;
        break;
    default:
        data = delivery ? signal : 0;
    }
    long r = REQ(request, t->pid, 0, data);
    printf("  %d: go %ld %d %s\n", name(t->pid), request, data, error(r));
    if (r == 0)
        t->stopped = 0;
    return r == 0;
}

static void act(struct tracee *t) {
    if (getenv("PTRACEDIFF_REGS") != NULL) {
        look(t, 0);
        look(t, 1);
    }
    for (unsigned n = rnd(4); n > 0; n--)
        look(t, rnd(15));
    if (rnd(6) == 0)
        set_options(t);
    int event = t->status >> 16;
    if (rnd(12) == 0) {
        struct user_regs_struct regs;
        if (WSTOPSIG(t->status) == (SIGTRAP | 0x80) && REQ(PTRACE_GETREGS, t->pid, 0, &regs) == 0 && (long)regs.rax == -ENOSYS &&
            regs.orig_rax == SYS_getppid) {
            regs.orig_rax = rnd(2) ? (unsigned long)-1 : SYS_getuid;
            printf("  another call %s\n", error(REQ(PTRACE_SETREGS, t->pid, 0, &regs)));
        }
    }
    if (t->seized && rnd(8) == 0)
        printf("  interrupt %s\n", error(REQ(PTRACE_INTERRUPT, t->pid, 0, 0)));
    if (!t->seized && rnd(30) == 0)
        printf("  interrupt %s\n", error(REQ(PTRACE_INTERRUPT, t->pid, 0, 0)));
    if (rnd(10) == 0 || (t->seized && event == 128 && rnd(3) == 0)) {
        long r = REQ(PTRACE_LISTEN, t->pid, 0, 0);
        printf("  listen %s\n", error(r));
        if (r == 0) {
            // It may be on its way into its next stop already.
            usleep(noisy ? noise_below(6000) : 3000);
            printf("  interrupt %s\n", error(REQ(PTRACE_INTERRUPT, t->pid, 0, 0)));
            t->stopped = 0;
            waits_for(t->pid);
            return;
        }
    }
    if (rnd(60) == 0) {
        several = 1;
        printf("  kill %s\n", error(REQ(PTRACE_KILL, t->pid, 0, 0)));
        t->stopped = 0;
        waits_for(t->pid);
        return;
    }
    if (go_on(t))
        waits_for(t->pid);
}

static void play(uint64_t seed) {
    state = seed * 0x9e3779b97f4a7c15u + 1;
    setpgid(0, 0);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    signal(SIGALRM, late);
    alarm(seconds);
    if (rnd(3)) {
        struct sigaction action = {.sa_sigaction = chld, .sa_flags = SA_SIGINFO | SA_RESTART | (rnd(5) ? 0 : SA_NOCLDSTOP)};
        sigaction(SIGCHLD, &action, NULL);
    }
    int how = (int)rnd(3);
    unsigned count = 3 + rnd(10);
    int fd = memfd_create("made", 0);
    if (fd < 0 || dup2(fd, SHARED_FD) < 0 || ftruncate(SHARED_FD, 4096) < 0)
        _exit(99);
    share();
    *loose = seed % 8 == 7;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGCHLD, SIG_DFL);
        prepare();
        if (how == 0)
            syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        state ^= seed;
        ops(count, 0, 0);
        _exit(4);
    }
    name(getpid());
    int status = 0;
    if (how == 0) {
        pid_t got = waitpid(pid, &status, 0);
        note(got, status);
    } else {
        pid_t got = waitpid(pid, &status, WUNTRACED);
        printf("stopped %d %x\n", name(got), status);
        tell_news();
        long r = how == 1 ? REQ(PTRACE_ATTACH, pid, 0, 0) : REQ(PTRACE_SEIZE, pid, rnd(8) ? 0 : 1, rnd(4) ? 0 : PTRACE_O_EXITKILL | rnd(512));
        printf("attach %s\n", error(r));
        if (r < 0) {
            printf("again %s\n", error(REQ(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD)));
            how = 2;
        }
        printf("twice %s\n", error(REQ(PTRACE_ATTACH, pid, 0, 0)));
        got = waitpid(pid, &status, __WALL);
        note(got, status);
        of(pid)->seized = how == 2;
    }
    if (of(pid)->stopped)
        set_options(of(pid));
    kill(pid, SIGCONT);
    for (int turn = 0; turn < 150; turn++) {
        pause_a_moment();
        struct tracee *t = newest();
        if (t == NULL) {
            if (!waits_for(-1))
                break;
            continue;
        }
        act(t);
    }
    printf("nobody: %s\n", error(REQ(PTRACE_CONT, 1 << 22, 0, 0)));
    puts("done");
    fflush(stdout);
    kill(0, SIGKILL);
}

int main(int argc, char **argv) {
    self = argv[0];
    if (argc > 3 && strcmp(argv[1], "resume") == 0) {
        state = strtoull(argv[2], NULL, 10);
        share();
        prepare();
        ops((unsigned)atoi(argv[3]), 0, 0);
        return 8;
    }
    unsigned long from = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, count = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    if (argc > 3) {
        seconds = 20;
        if (strtoul(argv[3], NULL, 10) > 0)
            be_noisy(strtoul(argv[3], NULL, 10));
    }
    for (unsigned long seed = from; seed < from + count; seed++) {
        printf("seed %lu\n", seed);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            play(seed);
        int status;
        waitpid(pid, &status, 0);
        // What it has left behind is killed with its group.
        kill(-pid, SIGKILL);
    }
    return 0;
}
