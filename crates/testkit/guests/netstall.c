/* netstall PORT: a thread connects to a listener whose backlog is full, which blocks. Meanwhile: another connect to PORT + nothing stalls, and an alarm interrupts the
 * thread's connect as it does outside. Arguments: full-port open-port. Prints {"sibling","sibling_ms","alarm","alarm_ms","restarted"}. Proves N8, N13. */
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
static struct sockaddr_in full, open_;
static void *block(void *unused) {
  (void)unused;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  connect(fd, (void *)&full, sizeof full);
  return NULL;
}
static void nothing(int signal) { (void)signal; }
static struct sockaddr_in local(long port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return a;
}
int main(int argc, char **argv) {
  full = local(number(argc, argv, 1, 0));
  open_ = local(number(argc, argv, 2, 0));
  struct sigaction act = {.sa_handler = nothing};
  sigaction(SIGALRM, &act, NULL);
  long start = clock_ms(CLOCK_MONOTONIC);
  alarm(1);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  long done = connect(fd, (void *)&full, sizeof full);
  printf("{\"alarm\":\"%s\",\"alarm_ms\":%ld,", errname(done), clock_ms(CLOCK_MONOTONIC) - start);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  printf("\"goes_on\":\"%s\",", errname(connect(fd, (void *)&full, sizeof full)));
  pthread_t thread;
  for (int i = 0; i < 8; i++) pthread_create(&thread, NULL, block, NULL);
  struct timespec some = {0, 200000000};
  nanosleep(&some, NULL);
  start = clock_ms(CLOCK_MONOTONIC);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  done = connect(fd, (void *)&open_, sizeof open_);
  printf("\"sibling\":\"%s\",\"sibling_ms\":%ld}\n", errname(done), clock_ms(CLOCK_MONOTONIC) - start);
  fflush(stdout);
  _exit(0);
}
