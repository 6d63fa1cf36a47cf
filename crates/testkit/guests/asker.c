/* asker KIND WORD...: puts itself under a filter that notifies getppid(2), sends the listener over its standard input (a unix socket), and makes
 * the calls that the words say, a line of output each. KIND is "killable" (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) or "plain", as on a
 * kernel before 5.19. The call's first argument is an address where the word gives one. Proves what an answer is to its caller (N6 to N18).
 *
 *   call            one call
 *   text=TEXT       the address of TEXT
 *   edge            the address of "abcdefgh", behind which nothing is mapped
 *   hole            an address where nothing is mapped
 *   secret          "hidden" in memory, in a process that is not dumpable
 *   full            with no free descriptor
 *   fd              the result is a descriptor: what can be read from it, its status flags, whether it is close-on-exec
 *   open            the descriptors that are open: numbers
 *   take            pidfd_getfd(2) of every descriptor of the parent: how many could be taken, and how many of them are listeners
 *   alarm, alarm+   with a signal after 50 ms, whose handler has SA_RESTART if "+"
 *   pair            two threads ask, with a handler for SIGUSR1 that has SA_RESTART
 *   child           a child asks; its wait status */
#include "guest.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
static volatile sig_atomic_t signals;
static pid_t parent;
static void note(int sig) { signals += sig > 0; }
static long ask(const void *about) { return syscall(SYS_getppid, about); }
static void say(const char *word, long got) {
  if (got < 0) printf("%s %s, %d signals\n", word, errname(got), signals);
  else printf("%s %ld, %d signals\n", word, got, signals);
  fflush(stdout);
}
static void send_listener(int fd) {
  char byte = 0, space[CMSG_SPACE(sizeof fd)] = {0};
  struct iovec one = {&byte, 1};
  struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  struct cmsghdr *control = CMSG_FIRSTHDR(&message);
  control->cmsg_level = SOL_SOCKET, control->cmsg_type = SCM_RIGHTS, control->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(control), &fd, sizeof fd);
  if (sendmsg(0, &message, 0) != 1) die(125, "asker: sendmsg: %s", errname(-1));
  close(fd);
}
static void handle(int sig, int flags) {
  struct sigaction act = {.sa_handler = note, .sa_flags = flags};
  sigaction(sig, &act, NULL);
  signals = 0;
}
static void *other(void *word) {
  say(word, ask(NULL));
  return NULL;
}
static int is_listener(int fd) {
  char link[64], target[64] = {0};
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  return readlink(link, target, sizeof target - 1) > 0 && strstr(target, "seccomp") != NULL;
}
static void take(void) {
  int taken = 0, listeners = 0, pidfd = (int)syscall(434 /* pidfd_open */, parent, 0);
  for (int fd = 0; fd < 256; fd++) {
    int got = (int)syscall(438 /* pidfd_getfd */, pidfd, fd, 0);
    if (got < 0) continue;
    taken++;
    listeners += is_listener(got);
    close(got);
  }
  printf("take %d, listeners %d\n", taken, listeners);
  fflush(stdout);
}
static void obey(char *word) {
  char *value = strchr(word, '='), *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (value) *value++ = 0;
  if (!strcmp(word, "call")) say(word, ask(NULL));
  else if (!strcmp(word, "text")) say(word, ask(value));
  else if (!strcmp(word, "edge")) {
    munmap(page + 4096, 4096);
    say(word, ask(memcpy(page + 4088, "abcdefgh", 8)));
  } else if (!strcmp(word, "hole")) {
    munmap(page, 8192);
    say(word, ask(page));
  } else if (!strcmp(word, "secret")) {
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    say(word, ask("hidden"));
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  } else if (!strcmp(word, "full")) {
    struct rlimit before, none = {0, 0};
    getrlimit(RLIMIT_NOFILE, &before);
    none.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_NOFILE, &none);
    say(word, ask(NULL));
    setrlimit(RLIMIT_NOFILE, &before);
  } else if (!strcmp(word, "fd")) {
    char text[16] = {0};
    int fd = (int)ask(NULL);
    long got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    printf("fd %s %s, mode %d, cloexec %d\n", errname(got), text, fcntl(fd, F_GETFL) & O_ACCMODE, fcntl(fd, F_GETFD));
    fflush(stdout);
    close(fd);
  } else if (!strcmp(word, "open")) {
    printf("open");
    for (int fd = 0; fd < 1024; fd++)
      if (fcntl(fd, F_GETFD) >= 0) printf(" %d%s", fd, is_listener(fd) ? "(listener)" : "");
    puts("");
    fflush(stdout);
  } else if (!strcmp(word, "take")) take();
  else if (!strcmp(word, "alarm") || !strcmp(word, "alarm+")) {
    handle(SIGALRM, word[5] ? SA_RESTART : 0);
    struct itimerval once = {{0, 0}, {0, 50000}};
    setitimer(ITIMER_REAL, &once, NULL);
    say(word, ask(NULL));
  } else if (!strcmp(word, "pair")) {
    pthread_t thread;
    handle(SIGUSR1, SA_RESTART);
    pthread_create(&thread, NULL, other, "second");
    say("first", ask(NULL));
    pthread_join(thread, NULL);
  } else if (!strcmp(word, "child")) {
    pid_t pid = fork();
    if (pid == 0) _exit(ask(NULL) >= 0 ? 0 : 1);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
    }
    printf("child %s %d\n", WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    fflush(stdout);
  } else die(2, "asker: %s", word);
  munmap(page, 8192);
}
int main(int argc, char **argv) {
  if (argc < 2) return 2;
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = 4, .filter = code};
  unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
  if (!strcmp(argv[1], "killable")) flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  parent = getppid();
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (listener < 0) die(125, "asker: seccomp: %s", errname(-1));
  send_listener(listener);
  for (int i = 2; i < argc; i++) obey(argv[i]);
  return 0;
}
