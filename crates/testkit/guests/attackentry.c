/* attackentry WHAT: ways into the kernel other than a plain system call. Proves S1, S2, S3, S5, S15, S24, S31.
 *   int80    getpid by the 32-bit gate
 *   far      a far return into a 32-bit code segment, and int 0x80 there
 *   sysenter | syscall32   write(2) from a 32-bit code segment by the other two instructions, of which a processor has one or the other. Nothing is there
 *            to return to: what counts is what was written
 *   x32      every number up to 1,023 with the x32 bit, which a kernel without that table does not have
 *   unknown  numbers between the tables and behind them
 *   clone3   a thread-like child, and one in namespaces of its own, with flags that lie behind a pointer
 *   vsyscall time(2) by the page at its fixed address
 *   uprobes  the calls of the kernel's own trampolines, by a child each, and how that ended
 *   nap      "ready", then a sleep of 400 ms, which somebody outside may stop and continue */
#include "guest.h"
#include <linux/sched.h>
#if defined(__x86_64__)
static int saved_here(void) {
  unsigned char *low = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) die(5, "low memory: %s", errname(-1));
  unsigned at = (unsigned)(uintptr_t)low;
  /* 32-bit: eax = 20 (getpid), int 0x80, far jump back. 64-bit: the stack as it was, return. */
  static const unsigned char narrow[] = {0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xea};
  memcpy(low, narrow, sizeof narrow);
  unsigned back = at + 64;
  memcpy(low + sizeof narrow, &back, 4);
  low[sizeof narrow + 4] = 0x33;
  low[sizeof narrow + 5] = 0;
  static const unsigned char wide[] = {0x48, 0x8b, 0x25, 0x39, 0, 0, 0, 0xc3}; /* mov rsp, [at + 128]; ret */
  memcpy(low + 64, wide, sizeof wide);
  int result;
  unsigned long stack = at + 8192 - 64, slot = at + 128, code = at;
  __asm__ volatile(
      "push %%rbp; push %%rbx; push %%r12; push %%r13; push %%r14; push %%r15\n"
      "lea 1f(%%rip), %%rax; push %%rax; mov %%rsp, (%[slot]); mov %[stack], %%rsp\n"
      "push $0x23; push %[code]; lretq\n"
      "1: pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbx; pop %%rbp\n"
      : "=&a"(result)
      : [slot] "D"(slot), [stack] "S"(stack), [code] "d"(code)
      : "memory", "rcx", "r8", "r9", "r10", "r11", "cc");
  return result;
}
/* Never returns: code and stack below 4 GiB, a far return into the 32-bit segment. */
__attribute__((noreturn)) static void narrow_write(int by_syscall) {
  unsigned char *low = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) die(5, "low memory: %s", errname(-1));
  unsigned at = (unsigned)(uintptr_t)low, text = at + 256;
  const char *said = by_syscall ? "syscall32 OK\n" : "sysenter OK\n";
  strcpy((char *)low + 256, said);
  /* eax = 4 (write), ebx = 1, ecx = text, edx = length. */
  static const unsigned char sets[] = {0xb8, 4, 0, 0, 0, 0xbb, 1, 0, 0, 0, 0xb9, 0, 0, 0, 0, 0xba, 0, 0, 0, 0};
  unsigned length = (unsigned)strlen(said);
  memcpy(low, sets, sizeof sets);
  memcpy(low + 11, &text, 4);
  memcpy(low + 16, &length, 4);
  /* sysenter has the stack in ebp, syscall the second argument. */
  static const unsigned char enter[] = {0x89, 0xe5, 0x0f, 0x34}, call[] = {0x89, 0xcd, 0x0f, 0x05};
  memcpy(low + sizeof sets, by_syscall ? call : enter, 4);
  __asm__ volatile("mov %[stack], %%rsp\npush $0x23\npush %[code]\nlretq\n"
                   :
                   : [stack] "r"((unsigned long)at + 8192 - 64), [code] "r"((unsigned long)at)
                   : "memory");
  __builtin_unreachable();
}
static long int80(void) {
  int result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
  return result;
}
/* How a child that makes this call ends. */
static void ends(const char *name, long nr) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    long result = syscall(nr);
    way(name, result);
    _exit(0);
  }
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) die(5, "no child");
  if (WIFSIGNALED(status)) printf("%s SIG%s\n", name, sigabbrev_np(WTERMSIG(status)));
}
static long narrow_time(void) { return ((long (*)(long *))0xffffffffff600400UL)(NULL); }
#endif
int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "unknown")) {
    for (long nr = 471; nr < 1100; nr++) {
      long result = syscall(nr);
      if (result != -1 || errno != ENOSYS) die(7, "%ld is answered %ld %s", nr, result, errname(result));
    }
    const long far[] = {1L << 20, 0x3fffffff};
    for (unsigned i = 0; i < sizeof far / sizeof *far; i++)
      if (syscall(far[i]) != -1 || errno != ENOSYS) die(7, "%ld is answered %s", far[i], errname(-1));
    way("unknown", (errno = ENOSYS, -1));
  } else if (!strcmp(what, "clone3")) {
    struct clone_args args = {.exit_signal = SIGCHLD}, apart = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    fflush(stdout);
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) _exit(0);
    way("clone3", pid);
    pid = syscall(SYS_clone3, &apart, sizeof apart);
    if (pid == 0) _exit(0);
    way("clone3_user", pid);
    /* What C libraries do then. */
    pid = fork();
    if (pid == 0) _exit(0);
    way("fork", pid);
    while (wait(NULL) > 0) {
    }
  } else if (!strcmp(what, "nap")) {
    puts("ready");
    fflush(stdout);
    struct timespec nap = {0, 400000000};
    way("nap", nanosleep(&nap, NULL));
#if defined(__x86_64__)
  } else if (!strcmp(what, "int80")) {
    errno = ENOSYS;
    way("int80", int80() > 0 ? 0 : -1);
  } else if (!strcmp(what, "far")) {
    errno = ENOSYS;
    way("far", saved_here() > 0 ? 0 : -1);
  } else if (!strcmp(what, "sysenter") || !strcmp(what, "syscall32")) {
    narrow_write(!strcmp(what, "syscall32"));
  } else if (!strcmp(what, "uprobes")) {
    ends("uretprobe", 335);
    ends("uprobe", 336);
  } else if (!strcmp(what, "x32")) {
    long first = number(argc, argv, 2, 0), last = number(argc, argv, 3, 1023);
    for (long nr = first; nr <= last; nr++) {
      long result = syscall(0x40000000L | nr);
      if (result != -1 || errno != ENOSYS) die(7, "%ld is answered %ld", nr, result);
    }
    way("x32", (errno = ENOSYS, -1));
  } else if (!strcmp(what, "vsyscall")) {
    long result = narrow_time();
    errno = (int)-result;
    way("vsyscall", result > 1000000 ? 0 : -1);
#endif
  } else {
    return 2;
  }
  return 0;
}
