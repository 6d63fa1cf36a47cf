/* netrules TCP UDP OTHER_TCP OTHER_UDP: every road to an address, where 127.0.0.1:TCP may be connected to, 127.0.0.1:UDP may be sent to, and the other two
 * may not. Prints each road's errno name; what is sent says which road it took. Proves W2, W3, W5 to W8, W10, W11. The same outside is the control. */
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
static struct sockaddr_in v4(const char *ip, long port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, ip, &a.sin_addr);
  return a;
}
static struct sockaddr_in6 v6(const char *ip, long port) {
  struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  inet_pton(AF_INET6, ip, &a.sin6_addr);
  return a;
}
static void say(const char *road, long result) { printf("\"%s\":\"%s\",", road, errname(result)); }
static void tcp(const char *road, int family, int protocol, void *address, socklen_t length) {
  int fd = socket(family, SOCK_STREAM, protocol);
  say(road, fd < 0 ? fd : connect(fd, address, length));
  if (fd >= 0) close(fd);
}
static void tcp4(const char *road, const char *ip, long port) {
  struct sockaddr_in a = v4(ip, port);
  tcp(road, AF_INET, 0, &a, sizeof a);
}
static void tcp6(const char *road, const char *ip, long port) {
  struct sockaddr_in6 a = v6(ip, port);
  tcp(road, AF_INET6, 0, &a, sizeof a);
}
/* One datagram by each call; it says the road's name. */
static void udp(const char *how, long port) {
  char road[64];
  struct sockaddr_in a = v4("127.0.0.1", port);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  snprintf(road, sizeof road, "sendto_%s", how);
  say(road, fd < 0 ? fd : sendto(fd, road, strlen(road), 0, (void *)&a, sizeof a));
  snprintf(road, sizeof road, "sendmsg_%s", how);
  struct iovec parts[2] = {{road, 4}, {road + 4, strlen(road) - 4}};
  struct msghdr m = {.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = parts, .msg_iovlen = 2};
  say(road, fd < 0 ? fd : sendmsg(fd, &m, 0));
  snprintf(road, sizeof road, "sendmmsg_%s", how);
  parts[1].iov_len = strlen(road) - 4;
  struct mmsghdr many[2] = {{.msg_hdr = m}, {.msg_hdr = m}};
  long sent = fd < 0 ? fd : sendmmsg(fd, many, 2, 0);
  /* Two messages of that length, or an error. */
  if (sent >= 0 && (sent != 2 || many[1].msg_len != strlen(road))) printf("\"%s\":\"%ld of %u\",", road, sent, many[1].msg_len);
  else say(road, sent);
  snprintf(road, sizeof road, "connected_%s", how);
  long done = fd < 0 ? fd : connect(fd, (void *)&a, sizeof a);
  if (done == 0) done = send(fd, road, strlen(road), 0);
  say(road, done);
  if (fd >= 0) close(fd);
}
int main(int argc, char **argv) {
  long allowed = number(argc, argv, 1, 0), datagrams = number(argc, argv, 2, 0);
  long other = number(argc, argv, 3, 0), other_udp = number(argc, argv, 4, 0);
  putchar('{');
  tcp4("tcp_allowed", "127.0.0.1", allowed);
  tcp4("tcp_zero", "0.0.0.0", allowed);
  tcp6("tcp_mapped", "::ffff:127.0.0.1", allowed);
  tcp6("tcp_mapped_zero", "::ffff:0.0.0.0", allowed);
  tcp4("tcp_closed_port", "127.0.0.1", 1);
  tcp4("tcp_other_port", "127.0.0.1", other);
  tcp4("tcp_other_port_zero", "0.0.0.0", other);
  tcp6("tcp_other_port_mapped", "::ffff:127.0.0.1", other);
  tcp6("tcp_six_any", "::", allowed);
  tcp4("tcp_other_address", "127.0.0.2", allowed);
  struct sockaddr_in a = v4("127.0.0.1", other), good = v4("127.0.0.1", allowed);
  tcp("mptcp", AF_INET, 262, &a, sizeof a);
  struct { struct sockaddr_in a; char rest[200]; } big = {.a = good};
  tcp("tcp_long_address", AF_INET, 0, &big, sizeof big);
  tcp("tcp_padded_address", AF_INET, 0, &big, 100);
  tcp("tcp_short_address", AF_INET, 0, &good, 8);
  tcp("tcp_no_memory", AF_INET, 0, (void *)8, 16);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  say("fastopen", sendto(fd, "fastopen", 8, MSG_FASTOPEN, (void *)&a, sizeof a));
  close(fd);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  int one = 1;
  say("fastopen_option", setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof one));
  char route[11] = {(char)131, 11, 4, 127, 0, 0, 1, 127, 0, 0, 1};
  say("source_route", setsockopt(fd, IPPROTO_IP, IP_OPTIONS, route, sizeof route));
  close(fd);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  /* Connected, dissolved, and connected again: each time it is asked. */
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  long done = connect(fd, (void *)&good, sizeof good);
  if (done == 0) done = connect(fd, &none, sizeof none);
  say("dissolved", done);
  say("again_other", connect(fd, (void *)&a, sizeof a));
  connect(fd, &none, sizeof none);
  say("again_allowed", connect(fd, (void *)&good, sizeof good));
  say("connected_twice", connect(fd, (void *)&good, sizeof good));
  say("data", send(fd, "data", 4, MSG_NOSIGNAL));
  close(fd);
  fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  say("nonblocking", connect(fd, (void *)&good, sizeof good));
  close(fd);
  say("closed", connect(fd, (void *)&good, sizeof good));
  fd = open("/dev/null", O_RDONLY);
  say("no_socket", connect(fd, (void *)&good, sizeof good));
  close(fd);
  udp("allowed", datagrams);
  udp("other", other_udp);
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in u = v4("127.0.0.1", other_udp), w = v4("127.0.0.1", datagrams);
  done = connect(fd, (void *)&w, sizeof w);
  say("connected_then_other", done < 0 ? done : sendto(fd, "x", 1, 0, (void *)&u, sizeof u));
  u.sin_family = AF_UNSPEC;
  say("unspecified_family", sendto(fd, "x", 1, 0, (void *)&u, sizeof u));
  close(fd);
  struct sockaddr_in at = v4("127.0.0.1", 0);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  say("bind_any", bind(fd, (void *)&at, sizeof at));
  say("listen_bound", listen(fd, 1));
  close(fd);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  say("listen_unbound", listen(fd, 1));
  close(fd);
  at.sin_port = htons(9);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  say("bind_tcp", bind(fd, (void *)&at, sizeof at));
  close(fd);
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  say("bind_udp", bind(fd, (void *)&at, sizeof at));
  close(fd);
  int raw = socket(AF_INET, SOCK_RAW, 255);
  say("raw", raw);
  int ping = socket(AF_INET, SOCK_DGRAM, 1);
  say("ping", ping);
  /* A pair of unix sockets still carries data and descriptors. */
  int pair[2];
  say("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  struct iovec part = {"pair", 4};
  union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control = {0};
  struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(&control.head), &pair[0], sizeof(int));
  say("pair_sends", sendmsg(pair[0], &m, 0));
  char got[8];
  struct iovec into = {got, sizeof got};
  struct msghdr r = {.msg_iov = &into, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  done = recvmsg(pair[1], &r, MSG_DONTWAIT);
  struct stat was, is;
  int received = -1;
  if (done == 4 && r.msg_controllen) memcpy(&received, CMSG_DATA(&control.head), sizeof(int));
  done = done == 4 && fstat(pair[0], &was) == 0 && fstat(received, &is) == 0 && was.st_ino == is.st_ino ? 0 : -1;
  printf("\"pair_receives\":\"%s\"}\n", errname(done));
  return 0;
}
