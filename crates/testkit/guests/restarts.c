/* restarts: system calls that signals interrupt, with and without SA_RESTART, and what became of each, a line each. Proves that a supervised
 * call behaves as one that nobody watches (signal(7), "Interruption of system calls"; P13). */
#include "guest.h"
#include <poll.h>
#include <sys/time.h>
static volatile sig_atomic_t count;
static int ends[2];
/* The third signal brings the data, so that a restarted read is interrupted three times. */
static void note(int sig) {
  (void)sig;
  if (++count == 3 && write(ends[1], "abcdefghijkl", 12) != 12) _exit(5);
}
static void arm(int flags) {
  struct sigaction act = {.sa_handler = note, .sa_flags = flags};
  sigaction(SIGALRM, &act, NULL);
  count = 0;
  if (pipe(ends)) _exit(6);
  struct itimerval every = {{0, 50000}, {0, 50000}};
  setitimer(ITIMER_REAL, &every, NULL);
}
static void disarm(void) {
  struct itimerval never = {0};
  setitimer(ITIMER_REAL, &never, NULL);
  close(ends[0]), close(ends[1]);
}
int main(void) {
  char text[32] = {0};
  arm(SA_RESTART);
  long got = read(ends[0], text, 4);
  printf("restart read %ld %s %s, %s signals\n", got, errname(got), text, count >= 3 ? "three" : "fewer");
  disarm();
  arm(0);
  got = read(ends[0], text, 4);
  printf("plain read %s\n", errname(got));
  disarm();
  arm(SA_RESTART);
  struct timespec second = {1, 0}, left = {0, 0};
  got = nanosleep(&second, &left);
  printf("nanosleep %s, left %s\n", errname(got), left.tv_nsec > 0 ? "some" : "none");
  disarm();
  arm(SA_RESTART);
  struct pollfd poller = {ends[0], POLLIN, 0};
  got = poll(&poller, 1, 10000);
  printf("poll %s\n", errname(got));
  disarm();
  /* Stopped and continued without a handler: restart_syscall(2) goes on with the same sleep. */
  pid_t parent = getpid();
  if (fork() == 0) {
    usleep(50000);
    kill(parent, SIGSTOP);
    usleep(50000);
    kill(parent, SIGCONT);
    _exit(0);
  }
  struct timespec wait = {0, 300000000};
  long begun = clock_ms(CLOCK_MONOTONIC);
  got = nanosleep(&wait, NULL);
  printf("stopped nanosleep %s %s\n", errname(got), clock_ms(CLOCK_MONOTONIC) - begun >= 300 ? "whole" : "cut");
  /* Registers that the kernel leaves alone. */
  long third = 4, first = 0;
  if (pipe(ends) || write(ends[1], "abcdefgh", 8) != 8) return 7;
#ifdef __x86_64__
  register long rdi __asm__("rdi") = ends[0];
  register char *rsi __asm__("rsi") = text;
  register long rdx __asm__("rdx") = 4;
  long rax = SYS_read;
  __asm__ volatile("syscall" : "+a"(rax), "+r"(rdi), "+r"(rsi), "+r"(rdx)::"rcx", "r11", "memory");
  got = rax, third = rdx, first = rdi - ends[0];
#else
  got = read(ends[0], text, 4);
#endif
  printf("registers %ld %ld, read %ld\n", first, third, got);
  return 0;
}
