/* custody busy N | forks | hops N | vfork | stopped | jobs | knock DIR NAME: what a box does while it is paused, held, throttled.
 *
 *   busy N   N processes, each double-forked in a session of its own, burn CPU, or this one with N = 0; "ready" when all of them do
 *   forks    makes a child every 5 ms; says "made" and "refused" when that changes
 *   hops N   N chains of processes of which each lives only to make the next one; "ready" when they run
 *   vfork    a child of vfork(2) that never executes: its parent sleeps in the kernel
 *   stopped  a child stops itself; "ready" when it stands, "went on" if anybody continues it, "alone" each 20 ms
 *   jobs     looks after its child as a shell does: says "saw" for a child that it saw stop; "tick" each 20 ms
 *   knock    reads DIR/.NAME and connects to the socket DIR/NAME; JSON of what came of it */
#include "guest.h"
#include <sys/socket.h>
#include <sys/un.h>

__attribute__((noreturn))
static void spin(void) {
  volatile long i = 0;
  for (;;) i++;
}

static void say(const char *word) {
  if (write(1, word, strlen(word)) < 0) _exit(9);
}

static int busy(long n) {
  int ready[2];
  if (pipe(ready)) return 5;
  for (long i = 0; i < n; i++) {
    pid_t child = fork();
    if (child < 0) return 6;
    if (child) {
      waitpid(child, NULL, 0);
      continue;
    }
    setsid();
    if (fork()) _exit(0);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    spin();
  }
  char byte;
  for (long i = 0; i < n; i++)
    if (read(ready[0], &byte, 1) != 1) return 7;
  say("ready\n");
  if (n > 0)
    for (;;) pause();
  spin();
}

static int forks(void) {
  int could = -1;
  for (;;) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    if (child < 0 && errno != EAGAIN) die(8, "fork: %s", errname(-1));
    if (child > 0) waitpid(child, NULL, 0);
    if (could != (child > 0)) say((could = child > 0) ? "made\n" : "refused\n");
    usleep(5000);
  }
}

static int hops(long n) {
  for (long i = 0; i < n; i++) {
    if (fork()) continue;
    for (;;)
      if (fork() > 0) _exit(0);
  }
  say("ready\n");
  for (;;) pause();
}

static int stopped(void) {
  pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);
    raise(SIGSTOP);
    say("went on\n");
    _exit(0);
  }
  int status;
  waitpid(child, &status, WUNTRACED);
  say("ready\n");
  for (;;) {
    usleep(20000);
    say("alone\n");
  }
}

static int jobs(void) {
  pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);
    spin();
  }
  say("ready\n");
  int status;
  for (;;) {
    if (waitpid(child, &status, WUNTRACED | WNOHANG) > 0) say(WIFSTOPPED(status) ? "saw\n" : "ended\n");
    usleep(20000);
    say("tick\n");
  }
}

static int knock(const char *dir, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/.%s", dir, name);
  int fd = open(path, O_RDONLY);
  printf("{\"read\":\"%s\"", errname(fd));
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  snprintf(to.sun_path, sizeof to.sun_path, "%s/%s", dir, name);
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  int connected = connect(s, (struct sockaddr *)&to, sizeof to);
  printf(",\"connect\":\"%s\"", errname(connected));
  const char *guess = "{\"key\":\"00000000000000000000000000000000\",\"request\":{\"kill\":{\"signal\":null}}}\n";
  char answer[256];
  long n = connected ? 0 : write(s, guess, strlen(guess)) > 0 ? read(s, answer, sizeof answer) : 0;
  printf(",\"answer\":%ld}\n", n < 0 ? 0 : n);
  return 0;
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "busy";
  if (!strcmp(mode, "busy")) return busy(number(argc, argv, 2, 1));
  if (!strcmp(mode, "forks")) return forks();
  if (!strcmp(mode, "hops")) return hops(number(argc, argv, 2, 1));
  if (!strcmp(mode, "stopped")) return stopped();
  if (!strcmp(mode, "jobs")) return jobs();
  if (!strcmp(mode, "knock") && argc > 3) return knock(argv[2], argv[3]);
  if (!strcmp(mode, "vfork")) {
    say("ready\n");
    if (vfork() == 0)
      for (;;) pause();
  }
  return 2;
}
