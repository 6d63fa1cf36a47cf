/* netdns ELSEWHERE NAME...: asks the name server of /etc/resolv.conf for each name's A record: on a connected socket, on one that is not (and looks at where the
 * answer comes from, as some resolvers do), and over TCP. Prints code and number of answers of each, or the errno. ELSEWHERE is an address that is asked too. */
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
static struct sockaddr_in server = {.sin_family = AF_INET};
static size_t query(unsigned char *q, const char *name) {
  static const unsigned char head[12] = {0x12, 0x34, 1, 0, 0, 1};
  memcpy(q, head, 12);
  size_t at = 12;
  while (*name) {
    size_t len = strcspn(name, ".");
    q[at++] = (unsigned char)len;
    memcpy(q + at, name, len);
    at += len;
    name += len + (name[len] == '.');
  }
  memcpy(q + at, "\0\0\1\0\1", 5);
  return at + 5;
}
static void say(const char *how, const char *name, const unsigned char *got, long len) {
  if (len < 12) printf("\"%s %s\":\"%s\",", how, name, len < 0 ? errname(-1) : "short");
  else printf("\"%s %s\":\"%d/%d\",", how, name, got[3] & 15, got[7]);
}
static int await(int fd) {
  struct pollfd p = {fd, POLLIN, 0};
  if (poll(&p, 1, 3000) == 1) return 0;
  errno = ETIMEDOUT;
  return -1;
}
static void ask(const char *name) {
  unsigned char q[300], got[512];
  size_t len = query(q + 2, name);
  q[0] = 0, q[1] = (unsigned char)len;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  long done = connect(fd, (void *)&server, sizeof server);
  if (done == 0) done = send(fd, q + 2, len, 0);
  if (done > 0) done = await(fd) ? -1 : recv(fd, got, sizeof got, 0);
  say("connected", name, got, done);
  close(fd);
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  done = sendto(fd, q + 2, len, 0, (void *)&server, sizeof server);
  struct sockaddr_in from = {0};
  socklen_t size = sizeof from;
  if (done > 0) done = await(fd) ? -1 : recvfrom(fd, got, sizeof got, 0, (void *)&from, &size);
  say("unconnected", name, got, done);
  int same = from.sin_addr.s_addr == server.sin_addr.s_addr && from.sin_port == server.sin_port;
  printf("\"same_source %s\":%s,", name, same ? "true" : "false");
  struct iovec part = {q + 2, len};
  struct mmsghdr two[2] = {{.msg_hdr = {.msg_name = &server, .msg_namelen = sizeof server, .msg_iov = &part, .msg_iovlen = 1}}};
  two[1] = two[0];
  done = sendmmsg(fd, two, 2, 0) == 2 ? await(fd) : -1;
  say("many", name, got, done ? -1 : recv(fd, got, sizeof got, 0));
  close(fd);
  /* A socket of IPv6, by the mapped address. */
  struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = server.sin_port};
  mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
  memcpy(mapped.sin6_addr.s6_addr + 12, &server.sin_addr, 4);
  fd = socket(AF_INET6, SOCK_DGRAM, 0);
  done = connect(fd, (void *)&mapped, sizeof mapped);
  if (done == 0) done = send(fd, q + 2, len, 0);
  if (done > 0) done = await(fd) ? -1 : recv(fd, got, sizeof got, 0);
  say("mapped", name, got, done);
  close(fd);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  done = connect(fd, (void *)&server, sizeof server);
  if (done == 0) done = send(fd, q, len + 2, MSG_NOSIGNAL);
  if (done > 0) done = await(fd) ? -1 : recv(fd, got, 2, MSG_WAITALL);
  if (done == 2) done = recv(fd, got, (size_t)(got[0] << 8 | got[1]), MSG_WAITALL);
  say("stream", name, got, done);
  close(fd);
}
int main(int argc, char **argv) {
  char text[4096] = {0}, address[64] = "";
  int file = open("/etc/resolv.conf", O_RDONLY);
  if (file < 0 || read(file, text, sizeof text - 1) < 0) die(3, "/etc/resolv.conf: %s", strerror(errno));
  char *line = strstr(text, "nameserver ");
  if (!line || sscanf(line, "nameserver %63s", address) != 1) die(3, "no name server");
  inet_pton(AF_INET, address, &server.sin_addr);
  server.sin_port = htons(53);
  printf("{\"server\":\"%s\",", address);
  for (int n = 2; n < argc; n++) ask(argv[n]);
  struct sockaddr_in other = server;
  inet_pton(AF_INET, argc > 1 ? argv[1] : "127.0.0.1", &other.sin_addr);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  printf("\"elsewhere\":\"%s\",", errname(sendto(fd, "x", 1, 0, (void *)&other, sizeof other)));
  /* The virtual server is one at port 53 alone. */
  other = server;
  other.sin_port = htons(5353);
  printf("\"other_port\":\"%s\"}\n", errname(connect(fd, (void *)&other, sizeof other)));
  return 0;
}
